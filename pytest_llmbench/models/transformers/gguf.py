"""GGUF files, dequantised once and kept as safetensors.

transformers takes five to ten times as long to load a GGUF file as the same weights in
safetensors, so the first start writes a folder that `from_pretrained` reads, and later starts
use it.  A folder is known by the content of the GGUF file, the dtype and the version of
transformers, which decides how the conversion is done.

Processes that start together may all convert; each works in a folder of its own and renames
it when it is whole, and the first one wins.  What is kept is checked against the digests in its
manifest before it is used, and made anew if they differ.
"""

import contextlib
import hashlib
import importlib.metadata
import json
import os
import shutil
import struct
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

MAGIC = b"GGUF"
MANIFEST = "llmbench-manifest.json"
STALE_S = 24 * 3600.0

# Value types of a GGUF header: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
_WIDTH = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING = 8
_ARRAY = 9


def read_header(gguf: Path) -> dict[str, str]:
    """Read the text values of a GGUF file's header, such as its architecture and chat template.

    Raises:
        ValueError: it is no GGUF file; the message has the reason.
        OSError: it cannot be read.
    """
    with gguf.open("rb") as file:
        if file.read(4) != MAGIC:
            raise ValueError(f'it does not begin with "{MAGIC.decode()}"')
        try:
            version, _, n_values = _unpack(file, "<IQQ")
            if version not in (2, 3):
                raise ValueError(f"its format version is {version}, versions 2 and 3 can be read")
            texts = {}
            for _ in range(n_values):
                key = _read_text(file)
                (kind,) = _unpack(file, "<I")
                if kind == _STRING:
                    texts[key] = _read_text(file)
                else:
                    _skip(file, kind)
        except (struct.error, KeyError, UnicodeDecodeError):
            raise ValueError("its header is cut off or damaged") from None
    return texts


def prepared_folder(gguf: Path, dtype: str, cache_dir: Path) -> Path:
    """Return the folder with the model of a GGUF file in plain form, made now if there is none.

    Args:
        gguf: the file.
        dtype: torch's name of the dtype the weights are kept in.
        cache_dir: where prepared folders are kept.

    Raises:
        OSError: the folder cannot be written.
    """
    version = importlib.metadata.version("transformers")
    shelf = cache_dir / "gguf"
    folder = shelf / f"{file_sha256(gguf, cache_dir)}-{dtype}-transformers-{version}"
    if _is_whole(folder, cache_dir):
        return folder
    shelf.mkdir(parents=True, exist_ok=True)
    _sweep(shelf)
    work = Path(tempfile.mkdtemp(prefix="making-", dir=shelf))
    try:
        _convert(gguf, work, dtype)
        digests = {file.name: _sha256(file) for file in sorted(work.iterdir())}
        (work / MANIFEST).write_text(json.dumps({"files": digests}, indent=1), encoding="utf-8")
        _put(work, folder, cache_dir)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if not _is_whole(folder, cache_dir):  # this also remembers the hashes for the next start
        raise OSError(f"{folder} does not hold what was written to it")
    return folder


def any_prepared_folder(gguf: Path, cache_dir: Path) -> Path | None:
    """Return a folder that was made of a GGUF file before, in whatever dtype; None if there is none."""
    version = importlib.metadata.version("transformers")
    folders = (cache_dir / "gguf").glob(f"{file_sha256(gguf, cache_dir)}-*-transformers-{version}")
    return next((folder for folder in folders if (folder / MANIFEST).is_file()), None)


def file_sha256(path: Path, cache_dir: Path) -> str:
    """Hash a file, or remember its hash if size and modification time are those of the last time."""
    stat = path.stat()
    stamp = [str(path), stat.st_size, stat.st_mtime_ns]
    note = cache_dir / "hashes" / f"{hashlib.sha256(str(path).encode()).hexdigest()}.json"
    with contextlib.suppress(OSError, ValueError):  # no note, or a damaged one: hash again
        seen = json.loads(note.read_text(encoding="utf-8"))
        if isinstance(seen, dict) and seen.get("stamp") == stamp:
            return str(seen["sha256"])
    digest = _sha256(path)
    with contextlib.suppress(OSError):  # a cache that cannot be written only costs the next start time
        note.parent.mkdir(parents=True, exist_ok=True)
        draft = note.with_name(f"{note.name}.{uuid.uuid4().hex}")
        draft.write_text(json.dumps({"stamp": stamp, "sha256": digest}), encoding="utf-8")
        draft.replace(note)
    return digest


def refuse_missing_weights(loading: Mapping[str, Any]) -> None:
    """Refuse a model that transformers would complete with random numbers.

    Args:
        loading: what `from_pretrained(output_loading_info=True)` returns.

    Raises:
        ValueError: weights of the model are not among those stored.
    """
    missing = sorted(loading["missing_keys"])
    if missing:
        named = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise ValueError(f"{len(missing)} of its weights are not stored ({named}), so it would answer at random")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _take(file: BinaryIO, n_bytes: int) -> bytes:
    """Read so many bytes; a damaged length is found before memory is allocated for it."""
    if n_bytes > os.fstat(file.fileno()).st_size:
        raise struct.error
    taken = file.read(n_bytes)
    if len(taken) < n_bytes:
        raise struct.error
    return taken


def _unpack(file: BinaryIO, layout: str) -> tuple[Any, ...]:
    return struct.unpack(layout, file.read(struct.calcsize(layout)))


def _read_text(file: BinaryIO) -> str:
    (length,) = _unpack(file, "<Q")
    return _take(file, length).decode("utf-8")


def _skip(file: BinaryIO, kind: int) -> None:
    """Pass over a value that is no text."""
    if kind != _ARRAY:
        _take(file, _WIDTH[kind])
        return
    kind, length = _unpack(file, "<IQ")
    if kind in _WIDTH:
        _take(file, _WIDTH[kind] * length)
        return
    for _ in range(length):
        if kind == _STRING:
            _take(file, *_unpack(file, "<Q"))
        else:
            _skip(file, kind)


def _convert(gguf: Path, folder: Path, dtype: str) -> None:
    """Write the model and the tokenizer of a GGUF file to a folder."""
    import torch
    import transformers

    how: dict[str, Any] = {"gguf_file": gguf.name}
    tokenizer = transformers.AutoTokenizer.from_pretrained(gguf.parent, **how)
    if hasattr(transformers, "GgufConfig"):
        # transformers 5.23 can leave the weights in their blocks; a plain model is what is kept here.
        how["quantization_config"] = transformers.GgufConfig(dequantize=True)
    with _plain_bar_switched_off():
        network, loading = transformers.AutoModelForCausalLM.from_pretrained(
            gguf.parent, dtype=getattr(torch, dtype), output_loading_info=True, **how
        )
    refuse_missing_weights(loading)
    # transformers 5.23 refuses to save what came from a GGUF file ("quantized with gguf and is not
    # serializable") although the weights are plain by now: take the marks off.
    for owner, mark in (
        (network.config, "quantization_config"),
        (network, "hf_quantizer"),
        (network, "is_quantized"),
        (network, "quantization_method"),
    ):
        if hasattr(owner, mark):
            delattr(owner, mark)
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@contextlib.contextmanager
def _plain_bar_switched_off() -> Iterator[None]:
    """Draw the bar of the conversion with transformers' own tqdm, which can be switched off.

    transformers 5.23 draws this one past its switch (`logging.disable_progress_bar`).
    """
    from transformers import modeling_gguf_pytorch_utils as conversion
    from transformers.utils import logging

    bar = conversion.tqdm
    conversion.tqdm = logging.tqdm
    try:
        yield
    finally:
        conversion.tqdm = bar


def _is_whole(folder: Path, cache_dir: Path) -> bool:
    """Return whether a prepared folder holds what its manifest lists."""
    try:
        files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        return bool(files) and all(file_sha256(folder / name, cache_dir) == digest for name, digest in files.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _put(work: Path, folder: Path, cache_dir: Path) -> None:
    """Rename the finished folder to its place, unless another process has put a whole one there."""
    while True:
        try:
            os.rename(work, folder)
        except OSError:
            if not folder.exists():
                raise
        else:
            return
        if _is_whole(folder, cache_dir):
            return
        damaged = folder.with_name(f"making-{uuid.uuid4().hex}")
        with contextlib.suppress(FileNotFoundError):  # another process has moved it
            os.rename(folder, damaged)
        shutil.rmtree(damaged, ignore_errors=True)


def _sweep(shelf: Path) -> None:
    """Remove what processes that were killed have left behind."""
    for left in shelf.glob("making-*"):
        with contextlib.suppress(OSError):  # its owner has just finished with it
            if left.stat().st_mtime < time.time() - STALE_S:
                shutil.rmtree(left, ignore_errors=True)
