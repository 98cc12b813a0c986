"""What an SQL statement may do."""
