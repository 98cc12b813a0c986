"""Files that are written for people: checked before the work begins, written when it is done."""

from collections.abc import Iterable
from pathlib import Path

from pytest_llmbench.errors import UsageFault

_NO_PAGES = frozenset({".yaml", ".yml", ".csv", ".json", ".jsonl", ".parquet", ".toml", ".ini", ".cfg", ".py"})
"""What suites, their data, runs and configuration end in."""


def check_target(target: Path, option: str, sources: Iterable[Path] = ()) -> None:
    """Check that a file can be written where it is to be, and is none of those it is made from.

    Raises:
        UsageFault: its folder does not exist, it is a folder itself, or one of its sources.
    """
    folder = target.absolute().parent
    if not folder.is_dir():
        raise UsageFault(f"{option} {target}: the folder {folder} does not exist; create it first.")
    if target.is_dir():
        raise UsageFault(f"{option} {target}: this is a folder; name a file in it.")
    if target.resolve() in {source.resolve() for source in sources}:
        raise UsageFault(f"{option} {target}: this would overwrite one of the input files; name another file.")


def check_page(target: Path, option: str) -> None:
    """Check that a page of a run would not overwrite a suite, its data, a run, or code.

    An option whose value was forgotten takes the next argument, which often is a suite file.

    Raises:
        UsageFault: such a file is there.
    """
    if target.suffix.lower() in _NO_PAGES and target.exists():
        raise UsageFault(f"{option} {target}: this would overwrite a file that is no report; name another file.")


def write_target(target: Path, text: str) -> None:
    """Write a file.

    Raises:
        UsageFault: it cannot be written.
    """
    write_content(target, text.encode())


def write_content(target: Path, content: bytes) -> None:
    """Write a file of bytes.

    Raises:
        UsageFault: it cannot be written.
    """
    try:
        target.write_bytes(content)
    except OSError as fault:
        raise UsageFault(f"{target}: cannot be written: {fault.strerror}.") from None
