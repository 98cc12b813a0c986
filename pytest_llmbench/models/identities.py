"""Compare and join the identities of models. Pure functions."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace

from pytest_llmbench.models.base import Identity
from pytest_llmbench.values import Json

OF_MACHINE = ("settings.gpu", "settings.threads", "settings.device", "server_model")
"""Parts of an identity in which copies of one model may differ: what a machine, or a server, is called."""

SEVERAL = " + "
"""Stands between the names of several machines or GPUs."""


def identity_differences(old: Identity, new: Identity) -> tuple[str, ...]:
    """Name the parts in which two identities differ, those of settings one by one; empty if they are the same."""
    return tuple(_differences(old, new))


def _differences(old: Identity, new: Identity) -> Iterator[str]:
    for field in fields(Identity):
        if field.name == "training":  # what is known of a model changes none of its answers
            continue
        was, now = getattr(old, field.name), getattr(new, field.name)
        if field.name == "settings":
            yield from (f"settings.{key}" for key in _changed(was, now))
        elif was != now:
            yield field.name


def _changed(old: Mapping[str, Json], new: Mapping[str, Json]) -> Iterator[str]:
    for key in sorted(old.keys() | new.keys()):
        if key not in old or key not in new or old[key] != new[key]:
            yield key


def joined_identity(identities: Sequence[Identity]) -> Identity:
    """Give the identity of several copies of a model; what their machines are called stands side by side."""
    first = identities[0]
    settings = dict(first.settings)
    for part in OF_MACHINE:
        key = part.removeprefix("settings.")
        found = {str(one.settings[key]) for one in identities if one.settings.get(key) is not None}
        if len(found) > 1:
            settings[key] = SEVERAL.join(sorted(found))
    server_model = next((one.server_model for one in identities if one.server_model is not None), None)
    return replace(first, settings=settings, server_model=server_model)
