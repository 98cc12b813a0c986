"""The SQL statement in a model's answer."""
