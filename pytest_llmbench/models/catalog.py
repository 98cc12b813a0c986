"""From `--llm-model` and the models file to entries that a provider can open."""

import importlib
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from pytest_llmbench.errors import ModelsFileFault, UsageFault
from pytest_llmbench.models.base import HasTraits, Provider, Traits
from pytest_llmbench.models.entries import PATH, PATH_OR_ID, PATH_OR_MODULE, Entry
from pytest_llmbench.models.presets import PRESETS
from pytest_llmbench.models.validation import chief_error, did_you_mean, known_keys, message_of, nearest_first, place

BUILT_IN = MappingProxyType(
    {
        "transformers": "transformers.provider",
        "openai": "openai.provider",
        "recorded": "recorded",
        "python": "python.provider",
        "http": "http.provider",
        **dict.fromkeys(PRESETS, "openai.provider"),
    }
)
"""Module below this package that holds PROVIDER, by provider."""
_MODULE = re.compile(r"\w+(\.\w+)*")
NAME_PATTERN = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """One model of a run: the role it plays, its name, and how it is opened.

    `traits` are what a run must know of the model before it is opened.
    """

    role: str
    name: str
    entry: Entry
    provider: Provider
    traits: Traits = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "traits", _traits(self.provider, self.entry))


def _traits(provider: Provider, entry: Entry) -> Traits:
    found = provider.traits(entry) if isinstance(provider, HasTraits) else Traits()
    keys = getattr(entry, "cluster", None)
    if keys is None:
        return found
    # its replicas take what the cluster gives them, and nothing here unless the cluster is this machine
    return replace(found, is_local=found.is_local and keys.address == "local", takes_device=False, is_placed=False)


class Catalog:
    """The models that can be named: those of the models file, and `PROVIDER:TARGET` for any provider.

    Args:
        file: the models file; it may be missing as long as no name needs it.
        extra: providers of other packages by name.
    """

    def __init__(self, file: Path, extra: Mapping[str, Provider]):
        self.file = file
        self._extra = extra

    def choose(self, options: Sequence[str], folder: Path, flag: str = "--llm-model") -> tuple[ModelSpec, ...]:
        """Resolve the `--llm-model` options, in order.

        Args:
            options: `[ROLE=]NAME` or `[ROLE=]PROVIDER:TARGET`.
            folder: what a relative path in a TARGET is relative to.
            flag: how messages are to call the option.

        Raises:
            UsageFault: an unknown model, provider or key, a broken models file, a role named twice.
        """
        tables = self._tables()
        specs = [self._choose(option, tables, folder, flag) for option in options]
        roles = [spec.role for spec in specs]
        twice = next((role for role in roles if roles.count(role) > 1), None)
        if twice is not None:
            raise UsageFault(
                f'two models have the role "{twice}"; give them different roles with --llm-model ROLE=NAME.'
            )
        return tuple(specs)

    def names(self) -> tuple[str, ...]:
        """Give the names in the models file, in its order."""
        return tuple(self._tables())

    def provider(self, name: str, where: str) -> Provider:
        """Give the provider of that name; `where` begins the message if there is none."""
        if name in self._extra:
            return self._extra[name]
        if name in BUILT_IN:
            provider: Provider = importlib.import_module(f"pytest_llmbench.models.{BUILT_IN[name]}").PROVIDER
            return provider
        known = nearest_first(name, (*BUILT_IN, *self._extra))
        guess = did_you_mean(name, known)
        raise UsageFault(f'{where}there is no provider "{name}"; the known ones are: {", ".join(known)}.{guess}')

    def _choose(self, option: str, tables: Mapping[str, Any], folder: Path, flag: str) -> ModelSpec:
        role, name = split_role(option, flag)
        if ":" in name:
            provider_name, target = name.split(":", 1)
            provider = self.provider(provider_name, f'{flag} "{option}": ')
            if not target:
                raise UsageFault(f'{flag} "{option}" names no target; write it after the colon.')
            table = {"provider": provider_name, provider.target_field: target}
            entry = _entry(provider, table, folder, f'{flag} "{option}"')
            return ModelSpec(role=role or _slug(target), name=name, entry=entry, provider=provider)
        if name not in tables:
            raise UsageFault(self._unknown(name, tables))
        return self._from_file(role or name, name, tables[name])

    def _from_file(self, role: str, name: str, table: Any) -> ModelSpec:
        where = f"{self.file}: [{name}]"
        if not isinstance(table, dict):
            raise ModelsFileFault(f"{where} is no table; a model is a table with its name in square brackets.")
        if not NAME_PATTERN.fullmatch(name):
            raise ModelsFileFault(
                f'{where}: "{name}" is not a valid model name; use letters, digits, ".", "_" and "-".'
            )
        if not isinstance(table.get("provider"), str):
            raise ModelsFileFault(f'{where} has no provider; add one, such as provider = "openai".')
        provider = self.provider(table["provider"], f"{where}: ")
        return ModelSpec(
            role=role, name=name, entry=_entry(provider, table, self.file.parent, where), provider=provider
        )

    def _tables(self) -> dict[str, Any]:
        try:
            return tomllib.loads(self.file.read_text(encoding="utf-8-sig"))
        except FileNotFoundError:
            return {}
        except tomllib.TOMLDecodeError as fault:
            raise ModelsFileFault(f"{self.file}: this is not TOML: {fault}.") from None
        except RecursionError:
            raise ModelsFileFault(f"{self.file}: this file is nested too deep; write it flatter.") from None
        except UnicodeDecodeError:
            raise ModelsFileFault(f"{self.file}: this file is not UTF-8; save it as UTF-8.") from None
        except OSError as fault:
            raise ModelsFileFault(f"{self.file}: this file cannot be read: {fault.strerror}.") from None

    def _unknown(self, name: str, tables: Mapping[str, Any]) -> str:
        header = f'["{name}"]' if "." in name else f"[{name}]"  # TOML reads a dot as a table in a table
        way_out = f"add {header} to it, or name one as PROVIDER:TARGET, such as transformers:./folder"
        if not self.file.is_file():
            return f'there is no model "{name}": there is no models file {self.file}; create it with {header} in it.'
        known = ", ".join(nearest_first(name, tables)) or "none"
        guess = did_you_mean(name, tables)
        return f'there is no model "{name}" in {self.file}; it has: {known}. To use another, {way_out}.{guess}'


def split_role(option: str, flag: str = "--llm-model") -> tuple[str | None, str]:
    """Split `[ROLE=]NAME`; a role counts only before the first colon.

    Raises:
        UsageFault: the role or the name is empty, or the role has other characters than a name may have.
    """
    head = option.split(":", 1)[0]
    role, equals, _ = head.partition("=")
    name = option[len(role) + 1 :] if equals else option
    if not name or (equals and not role):
        raise UsageFault(f'{flag} "{option}" is incomplete; write NAME or ROLE=NAME.')
    if equals and not NAME_PATTERN.fullmatch(role):
        raise UsageFault(f'{flag} "{option}": "{role}" is not a valid role; use letters, digits, ".", "_" and "-".')
    return (role if equals else None), name


def _slug(target: str) -> str:
    """Make a role of a target: the last part of a path or hub id, without what ids may not hold."""
    last = target.rstrip("/\\").replace("\\", "/").rsplit("/", 1)[-1]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", last).strip("-.") or "model"


def _entry(provider: Provider, table: Mapping[str, Any], folder: Path, where: str) -> Entry:
    fields = provider.entry_type.model_fields
    absolute = dict(table)
    for key, value in table.items():
        if key in fields and isinstance(value, str):
            absolute[key] = _located(value, fields[key].metadata, folder)
        elif key in fields and isinstance(value, list):
            marks = fields[key].metadata
            absolute[key] = [_located(one, marks, folder) if isinstance(one, str) else one for one in value]
    try:
        entry: Entry = provider.entry_type.model_validate(absolute)
    except ValidationError as fault:
        error = chief_error(fault)
        key = place(error)
        if error["type"] == "extra_forbidden":
            known = known_keys(error, provider.entry_type)
            guess = did_you_mean(key.rpartition(".")[2], known)
            owner = f'the keys of "{key.rpartition(".")[0]}"' if "." in key else "its keys"
            what = f'{where} has the unknown key "{key}"; {owner} are: {", ".join(known)}.{guess}'
            raise ModelsFileFault(what) from None
        if error["type"] == "missing":
            raise ModelsFileFault(f'{where} has no "{key}"; its provider needs one, see docs/models.md.') from None
        raise ModelsFileFault(f'{where}: "{key}": {message_of(error)}.') from None
    return entry


def _located(value: str, marks: Sequence[object], folder: Path) -> str:
    is_path = PATH in marks or (
        PATH_OR_ID in marks
        and not value.startswith("package:")
        and (value.startswith((".", "/", "~")) or value.endswith(".gguf") or (folder / value).exists())
    )
    is_path |= PATH_OR_MODULE in marks and (not _MODULE.fullmatch(value) or (folder / value).exists())
    return str((folder / Path(value).expanduser()).resolve()) if is_path else value
