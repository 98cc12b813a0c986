"""The kinds of sources, and how one is recognised by its content."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_llmbench.importers.base import Imported, SourceFault
from pytest_llmbench.importers.source import Folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of source.

    `claims(path)` tells whether a path looks like one; it reads little and raises nothing.
    `read(path, folder)` imports it.
    """

    name: str
    claims: Callable[[Path], bool]
    read: Callable[[Path, Folder], Imported]
    about: str


_TASK = "lm-eval:"
"""What comes before the name of a task of lm-evaluation-harness, which is no file."""


def _promptfoo_claims(path: Path) -> bool:
    from pytest_llmbench.importers.promptfoo import config

    if path.is_dir():
        return any((path / name).is_file() for name in (*config.FILES, *config.CODE))
    if path.suffix.lower() not in (".yaml", ".yml", ".json"):
        return path.name in config.CODE
    return path.name in config.FILES or config.looks_like(path)


def _promptfoo(path: Path, folder: Folder) -> Imported:
    from pytest_llmbench.importers.promptfoo import config

    file = config.find(path)
    if file is None:
        raise SourceFault(f"{path}: there is no {config.FILES[0]} in this folder.")
    tree = folder.tree(file)
    if not config.is_promptfoo(tree):
        raise SourceFault(f"{file}: this is no configuration of promptfoo; it needs `prompts`, and `tests`.")
    return config.read(file, tree, folder)


def _inspect_claims(path: Path) -> bool:
    from pytest_llmbench.importers.inspect import archive, samples

    return path.is_file() and (archive.is_log(path) or samples.looks_like(path))


def _inspect(path: Path, folder: Folder) -> Imported:
    from pytest_llmbench.importers.inspect import archive, log, samples

    if not path.is_file():
        raise SourceFault(f"{path} is no file; name a log, LOG.eval or LOG.json, or a file of samples.")
    if not archive.is_log(path):
        return samples.read(path, folder)
    folder.note(path)
    return log.read(path)


def _lm_eval_claims(path: Path) -> bool:
    from pytest_llmbench.importers.lm_eval import samples, task_file

    return samples.samples_file(path) is not None or task_file.looks_like(path)


def _lm_eval(path: Path, folder: Folder) -> Imported:
    from pytest_llmbench.importers.lm_eval import frozen, samples

    log = samples.samples_file(path)
    if log is not None:
        return samples.read(log, folder)
    if path.is_dir():
        raise SourceFault(f"{path}: name one log of samples, samples_TASK_TIME.jsonl, or the YAML file of one task.")
    return frozen.read(path, folder)


def _spider_claims(path: Path) -> bool:
    from pytest_llmbench.importers.text_to_sql import layout

    return layout.claims(path, layout.SPIDER)


def _spider(path: Path, folder: Folder) -> Imported:
    from pytest_llmbench.importers.text_to_sql import layout

    return layout.read(path, folder, layout.SPIDER)


def _bird_claims(path: Path) -> bool:
    from pytest_llmbench.importers.text_to_sql import layout

    return layout.claims(path, layout.BIRD)


def _bird(path: Path, folder: Folder) -> Imported:
    from pytest_llmbench.importers.text_to_sql import layout

    return layout.read(path, folder, layout.BIRD)


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            name="promptfoo",
            claims=_promptfoo_claims,
            read=_promptfoo,
            about="promptfooconfig.yaml, or the folder that holds it",
        ),
        Kind(
            name="lm-eval",
            claims=_lm_eval_claims,
            read=_lm_eval,
            about="lm-eval:TASK, the YAML file of a task, or samples_TASK_TIME.jsonl with its results_TIME.json",
        ),
        Kind(
            name="inspect",
            claims=_inspect_claims,
            read=_inspect,
            about="a log, LOG.eval or LOG.json, or samples in CSV, JSON or JSON lines",
        ),
        Kind(
            name="spider",
            claims=_spider_claims,
            read=_spider,
            about="the folder with dev.json and database/DB/DB.sqlite",
        ),
        Kind(
            name="bird",
            claims=_bird_claims,
            read=_bird,
            about="the folder with dev.json and dev_databases/DB/DB.sqlite",
        ),
    )
}
"""The kinds by name, as `--from` takes them."""


def kind_of(path: Path, name: str | None) -> Kind:
    """Give the kind of a source.

    Args:
        path: the source.
        name: the kind, where the user named one.

    Raises:
        SourceFault: there is no such source or kind, or more than one kind fits.
    """
    if name is not None:
        return KINDS[name]
    if str(path).startswith(_TASK):
        return KINDS["lm-eval"]
    if not path.exists():
        raise SourceFault(f"there is no {path}; name a file or folder to import, or {_TASK}TASK.")
    found = [kind for kind in KINDS.values() if kind.claims(path)]
    if len(found) == 1:
        return found[0]
    names = " or ".join(f"--from {kind.name}" for kind in found)
    if found:
        raise SourceFault(f"{path} may be of several kinds; pass {names}.")
    known = "; ".join(f"{kind.name} ({kind.about})" for kind in KINDS.values())
    raise SourceFault(f"{path} is of no kind that can be imported; the kinds are: {known}.")
