"""Models: what answers a prompt, and the providers that open one."""

from pytest_llmbench.models.base import (
    STOPPED,
    CountsTokens,
    Identity,
    Model,
    Opened,
    OpenSettings,
    Provider,
    Traits,
    Wrapped,
)

__all__ = ["STOPPED", "CountsTokens", "Identity", "Model", "OpenSettings", "Opened", "Provider", "Traits", "Wrapped"]
