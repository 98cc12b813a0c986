"""Graders: one file a kind, each a pure function of a case and an answer."""
