"""Trio tasks that obey core: events in, effects out."""
