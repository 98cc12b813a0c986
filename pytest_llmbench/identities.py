"""In what the models of two runs differ, by what a run says of its model."""

from collections.abc import Iterator, Mapping
from dataclasses import fields

from pytest_llmbench.models import Identity
from pytest_llmbench.values import Json

REPORTED = frozenset({"libraries", "settings.system_fingerprint"})
"""Parts of an identity that change under an unchanged model: library versions, what a server calls its deployment."""


def identity_differences(old: Identity, new: Identity) -> tuple[str, ...]:
    """Name the parts in which two identities differ, those of settings one by one; empty if they are the same."""
    return tuple(_differences(old, new))


def _differences(old: Identity, new: Identity) -> Iterator[str]:
    for field in fields(Identity):
        was, now = getattr(old, field.name), getattr(new, field.name)
        if field.name == "settings":
            yield from (f"settings.{key}" for key in _changed(was, now))
        elif was != now:
            yield field.name


def _changed(old: Mapping[str, Json], new: Mapping[str, Json]) -> Iterator[str]:
    for key in sorted(old.keys() | new.keys()):
        if key not in old or key not in new or old[key] != new[key]:
            yield key
