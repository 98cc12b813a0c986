"""Files that are written for people: seen to be possible before the work is done, written when it is."""

from pathlib import Path

from pytest_llmbench.errors import UsageFault


def check_target(target: Path, option: str) -> None:
    """See that a file can be written, as far as its place tells.

    Raises:
        UsageFault: its folder does not exist, or it is a folder itself.
    """
    folder = target.absolute().parent
    if not folder.is_dir():
        raise UsageFault(f"{option} {target}: there is no folder {folder}; create it first.")
    if target.is_dir():
        raise UsageFault(f"{option} {target}: this is a folder; name a file in it.")


def write_target(target: Path, text: str) -> None:
    """Write a file.

    Raises:
        UsageFault: it cannot be written.
    """
    try:
        target.write_bytes(text.encode())
    except OSError as fault:
        raise UsageFault(f"{target}: cannot be written: {fault.strerror}.") from None
