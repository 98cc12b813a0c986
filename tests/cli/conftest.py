"""What the tests of the command share."""

# pytester forgets what a run imported, and the C part of yaml makes the nodes of its first import for good
import yaml  # noqa: F401
