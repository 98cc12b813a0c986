"""Read a log of Inspect: JSON, or a zip of JSON members, deflated or compressed with zstd.

Protects from archives that unfold to more than there is memory for: members and their sizes are counted before they
are read, and no member may be larger than it declares.
Source: the eval log format, version 2, of inspect_ai 0.3.285.
"""

import json
import struct
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pytest_llmbench.importers.base import SourceFault
from pytest_llmbench.importers.source import read_bytes

_ZSTD = 93
_MOST_MEMBERS = 200_000
_MOST_BYTES = 2 * 1024**3
_LARGEST = 64 * 1024**2
_LOCAL_HEADER = 30
_QUERY = (
    "SELECT filename, json FROM read_json_objects(?, compression = 'zstd', format = 'unstructured', filename = true, "
    "maximum_object_size = ?)"
)
_MAGIC = b"PK\x03\x04"


def is_log(path: Path) -> bool:
    """Return whether a file looks like a log: by its ending and beginning, or by its first keys."""
    try:
        with path.open("rb") as file:
            begin = file.read(400)
    except OSError:
        return False
    if path.suffix == ".eval":
        return True
    return path.suffix == ".json" and b'"version"' in begin and b'"status"' in begin and b'"eval"' in begin


def read_log(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Give the header of a log and its samples, in the order of their ids.

    Raises:
        SourceFault: it is no log, is not finished, or unfolds to too much.
    """
    content = read_bytes(path)
    if not content.startswith(_MAGIC):
        whole = _parsed(content, path)
        samples = whole.pop("samples", None)
        are_samples = isinstance(samples, list) and all(isinstance(one, dict) for one in samples)
        if not are_samples or "eval" not in whole:
            raise SourceFault(f"{path}: this is no log of Inspect with samples.")
        return whole, samples
    members = dict(_members(path))
    if "header.json" not in members:
        raise SourceFault(f"{path}: this log has no header.json: it is no log of Inspect, or its run did not finish.")
    header = _parsed(members["header.json"], path)
    names = sorted(name for name in members if name.startswith("samples/") and name.endswith(".json"))
    return header, [_parsed(members[name], path) for name in names]


def _parsed(content: bytes, path: Path) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as fault:
        raise SourceFault(f"{path}: this is no log of Inspect: {fault}.") from None
    if not isinstance(found, dict):
        raise SourceFault(f"{path}: this is no log of Inspect.")
    return found


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(path) as archive:
            listed = [one for one in archive.infolist() if one.filename.startswith(("header.json", "samples/"))]
            _check_sizes(listed, path)
            yield from ((one.filename, _read(archive, one, path)) for one in listed if one.compress_type != _ZSTD)
            compressed = [one for one in listed if one.compress_type == _ZSTD]
            yield from _unfolded(path, compressed) if compressed else ()
    except (zipfile.BadZipFile, NotImplementedError, struct.error) as fault:
        raise SourceFault(f"{path}: this archive cannot be read: {fault}.") from None


def _check_sizes(listed: list[zipfile.ZipInfo], path: Path) -> None:
    if len(listed) > _MOST_MEMBERS:
        raise SourceFault(f"{path}: this archive has over {_MOST_MEMBERS:,} members.")
    if sum(one.file_size for one in listed) > _MOST_BYTES or any(one.file_size > _LARGEST for one in listed):
        limits = f"{_MOST_BYTES >> 20:,} MiB, or a member to over {_LARGEST >> 20} MiB"
        raise SourceFault(f"{path}: this archive unfolds to over {limits}.")


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> bytes:
    with archive.open(member) as file:
        content = file.read(member.file_size + 1)
    if len(content) > member.file_size:
        raise SourceFault(f"{path}: the member {member.filename} is larger than it declares.")
    return content


def _unfolded(path: Path, members: list[zipfile.ZipInfo]) -> Iterator[tuple[str, bytes]]:
    """Unfold members of zstd, which Python's zipfile cannot: DuckDB reads them as JSON, up to a size each."""
    import duckdb

    with tempfile.TemporaryDirectory() as scratch, path.open("rb") as file, duckdb.connect() as connection:
        names: dict[str, str] = {}
        for number, member in enumerate(members):
            file.seek(member.header_offset)
            header = file.read(_LOCAL_HEADER)
            name_length, extra_length = struct.unpack("<HH", header[26:30])
            file.seek(member.header_offset + _LOCAL_HEADER + name_length + extra_length)
            place = Path(scratch) / f"{number}.json.zst"
            place.write_bytes(file.read(member.compress_size))
            names[str(place)] = member.filename
        try:
            for place, text in connection.execute(_QUERY, [list(names), _LARGEST]).fetchall():
                yield names[place], text.encode()
        except duckdb.Error as fault:
            message = str(fault).splitlines()[0]
            raise SourceFault(f"{path}: this archive cannot be read: {message}.") from None
