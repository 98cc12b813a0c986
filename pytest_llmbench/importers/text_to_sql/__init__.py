"""Folders of Spider and BIRD: questions on SQLite databases, each with the query that answers it."""
