"""The unprivileged side of the helper: lower specs to requests, talk over the socket."""
