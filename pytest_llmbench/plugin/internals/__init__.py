"""The quarantine: the only files that use private names of pytest, pytest-benchmark and xdist."""
