"""Databases that SQL answers run on: their files, how they are built, how they are opened."""
