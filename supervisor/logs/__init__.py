"""Output and events as JSON records in segments, and back out."""
