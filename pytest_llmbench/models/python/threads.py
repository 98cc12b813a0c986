"""The threads in which applications run, by name: what they print is captured apart."""

THREADS = "llmbench-app"
"""How their names begin."""
