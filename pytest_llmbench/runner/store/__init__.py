"""The answer store: answers kept in SQLite, so that an interrupted run pays for none twice."""
