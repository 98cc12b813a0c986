"""Pin the data set of a suite to the revision that its name has on the hub now, in the text of the suite file."""

from dataclasses import dataclass
from pathlib import Path

from pytest_llmbench.errors import Caught, UsageFault, caught
from pytest_llmbench.suites import yaml12
from pytest_llmbench.suites.datasets_rows import is_hub_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """What became of a suite: the data set, its revision, and whether that was written or stood there already."""

    path: Path
    dataset: str
    revision: str
    is_new: bool


def lock(path: Path, *, renews: bool = False) -> Lock | None:
    """Write the revision of a suite's data set into it; None where it has none of the hub.

    Args:
        path: the suite file.
        renews: replace a revision that is there.

    Raises:
        SuiteFault: the file is not YAML.
        UsageFault: the hub cannot be asked.
    """
    text = path.read_bytes().decode("utf-8")
    top = yaml12.compose(text, path)
    if top is None or not yaml12.is_mapping(top):
        return None
    data = yaml12.table(top, path, "a suite file").entries.get("data")
    if data is None or not yaml12.is_mapping(data):
        return None
    keys = yaml12.table(data, path, "`data`")
    if "dataset" not in keys.entries:
        return None
    node = keys.entries["dataset"]
    name = yaml12.text(node, path, "`dataset`")
    if not is_hub_name(name, path):
        return None
    before = keys.entries.get("revision")
    if before is not None and not renews:
        return Lock(path=path, dataset=name, revision=yaml12.text(before, path, "`revision`"), is_new=False)
    revision = _revision(name)
    if before is not None:
        start, end = before.start_mark.index, before.end_mark.index
        text = f"{text[:start]}{revision}{text[end:]}"
    else:
        place = node.end_mark.index
        # within braces the next entry follows a comma, else a line of its own
        indent = " " * int(data.start_mark.column)
        added = f", revision: {revision}" if getattr(data, "flow_style", False) else f"\n{indent}revision: {revision}"
        text = f"{text[:place]}{added}{text[place:]}"
    path.write_bytes(text.encode("utf-8"))
    return Lock(path=path, dataset=name, revision=revision, is_new=True)


def _revision(name: str) -> str:
    try:
        from huggingface_hub import HfApi
    except ImportError:
        raise UsageFault("llmbench lock needs the library datasets: pip install 'pytest-llmbench[datasets]'.") from None
    found = caught(HfApi().dataset_info, name, timeout=30)
    if isinstance(found, Caught):
        raise UsageFault(f'the hub was asked for "{name}", and gave no revision: {found.cause.splitlines()[0]}')
    if not found.sha:
        raise UsageFault(f'the hub has no revision of "{name}".')
    return str(found.sha)
