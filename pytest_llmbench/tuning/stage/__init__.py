"""The process in which a stage trains: the only place where TRL is loaded."""
