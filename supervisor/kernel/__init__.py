"""Thin words for system calls and /sys; one kernel facility a file."""
