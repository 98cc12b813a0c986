"""Near misses of a reference query, tried on the instances of its database."""
