"""The figures of docs/architecture.md, measured anew: `make bench`, or one module at a time."""
