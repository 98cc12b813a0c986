"""Replicas of a model on a Ray cluster, behind the one verb of any model."""
