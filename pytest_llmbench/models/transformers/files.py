"""Where the files of a local model are: a folder, a GGUF file, inside a package, or on the hub.

Everything ends as a path on this machine; a hub id becomes the folder of one commit in the
hub's own cache, so what is loaded later is exactly what was found here.
"""

import hashlib
import importlib.util
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.models.transformers.gguf import file_sha256, read_header
from pytest_llmbench.models.transformers.libraries import quiet_loading

PACKAGE = "package:"
WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")

_SMALL_FILES = ("*.json", "*.jinja", "*.model", "*.txt", "*.py")
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalFiles:
    """A model or an adapter on this machine.

    `path` is a folder, or a GGUF file; `commit` is the hub's, where it came from there.
    """

    path: Path
    commit: str | None = None

    @property
    def is_gguf(self) -> bool:
        """One GGUF file rather than a folder."""
        return self.path.is_file()


def find_model(name: str, revision: str | None, *, with_weights: bool) -> LocalFiles:
    """Find a model's files; those of a hub id are fetched if they are not in its cache.

    Args:
        name: a path, `package:NAME/FILE` or a hub id.
        revision: the branch, tag or commit of a hub id.
        with_weights: fetch the weights too, not only what is small.

    Raises:
        UsageFault: there is no such model, or it is incomplete.
    """
    is_local = name.startswith(PACKAGE) or _is_path(name)
    if is_local and revision is not None:
        raise UsageFault(
            f'revision = "{revision}" names a version on the hub, but the model "{name}" is a file or folder here; '
            "leave the revision out."
        )
    if is_local:
        path = _in_package(name) if name.startswith(PACKAGE) else Path(name).expanduser()
        files = LocalFiles(path=path)
    else:
        files = _from_hub(name, revision, (("model*.safetensors", "pytorch_model*.bin") if with_weights else ()))
    if not files.path.exists():
        raise UsageFault(f'The model "{name}" is not there: {files.path} does not exist; correct the path.')
    if files.is_gguf:
        _check_gguf(files.path)
    elif files.commit is None or with_weights:
        _check_folder(files.path)
    return files


def find_adapter(name: str) -> LocalFiles:
    """Find a PEFT adapter's files.

    Raises:
        UsageFault: there is no such adapter, or it is incomplete.
    """
    files = LocalFiles(path=Path(name).expanduser()) if _is_path(name) else _from_hub(name, None, ADAPTER_WEIGHTS)
    if not files.path.is_dir():
        raise UsageFault(f'The adapter "{name}" is not there: {files.path} is no folder; correct the path.')
    for wanted in (("adapter_config.json",), ADAPTER_WEIGHTS):
        if not any((files.path / file).is_file() for file in wanted):
            raise UsageFault(
                f"{files.path} is no PEFT adapter: it has no {' or '.join(wanted)}; "
                "save the adapter there with its save_pretrained."
            )
    return files


def weights_digest(files: LocalFiles, cache_dir: Path) -> str:
    """Name the weights: the hub's commit, or a hash of the weight files' names and content."""
    if files.commit is not None:
        return files.commit
    if files.is_gguf:
        return f"sha256:{file_sha256(files.path, cache_dir)}"
    weights = sorted(files.path.glob("*.safetensors")) or sorted(files.path.glob("*.bin"))
    listing = "".join(f"{file.name} {file_sha256(file, cache_dir)}\n" for file in weights)
    return f"sha256:{hashlib.sha256(listing.encode()).hexdigest()}"


def _is_path(name: str) -> bool:
    return name.startswith((".", "/", "~")) or name.endswith(".gguf") or Path(name).exists() or "\\" in name


def _in_package(name: str) -> Path:
    package, _, file = name.removeprefix(PACKAGE).partition("/")
    # The package is found without importing it: one that wraps a model may import much to serve it.
    spec = importlib.util.find_spec(package) if package else None
    if spec is None or not spec.submodule_search_locations:
        raise UsageFault(
            f'The model "{name}" is inside the Python package {package or "NAME"}, which is not installed: '
            f"pip install {package.replace('_', '-') or 'NAME'}"
        )
    folder = Path(next(iter(spec.submodule_search_locations)))
    if not file or not (folder / file).exists():
        found = ", ".join(sorted(path.name for path in folder.glob("*.gguf"))) or "no .gguf file"
        raise UsageFault(
            f'The model "{name}" is not there: the package {package} has {found}; name one as package:{package}/FILE.'
        )
    return folder / file


def _check_gguf(gguf: Path) -> None:
    try:
        read_header(gguf)
    except ValueError as fault:
        raise UsageFault(f"{gguf} is no GGUF file: {fault}; fetch it again, or name another.") from None
    except OSError as fault:
        raise UsageFault(f"{gguf} cannot be read: {fault.strerror}; make it readable.") from None


def _check_folder(folder: Path) -> None:
    if (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file():
        raise UsageFault(f"{folder} holds an adapter; name its base model as model and this folder as adapter.")
    if not (folder / "config.json").is_file():
        raise UsageFault(f"{folder} holds no model: it has no config.json; save one there with save_pretrained.")
    if not any((folder / file).is_file() for file in WEIGHTS):
        raise UsageFault(
            f"{folder} has no weights: none of {', '.join(WEIGHTS)} is there; save the model there with "
            "save_pretrained, or name a .gguf file itself."
        )


def _from_hub(name: str, revision: str | None, weights: Sequence[str]) -> LocalFiles:
    """Fetch a hub repository's small files, and the first kind of weights it has."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    if not _HUB_ID.fullmatch(name):
        raise UsageFault(f'The model "{name}" is neither a file or folder here nor a hub id; correct the name.')
    wanted = [list(_SMALL_FILES), *([pattern] for pattern in weights)]
    try:
        for patterns in wanted:
            # snapshot_download falls back to the cache at once; from_pretrained asks for every
            # file by itself and tries an unreachable hub for 23 s each (huggingface_hub 2.4).
            with quiet_loading():
                folder = Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
            if patterns[0] in weights and any(folder.glob(patterns[0])):
                break
    except LocalEntryNotFoundError:
        raise UsageFault(
            f'The model "{name}" is no file or folder here, is not in the local cache of the Hugging Face hub, and the '
            "hub cannot be reached; correct the name, go online once to fetch it, or name a local folder."
        ) from None
    except HfHubHTTPError as fault:
        first_line = str(fault).strip().splitlines()[0]
        raise UsageFault(
            f'The hub does not give "{name}" ({type(fault).__name__}: {first_line}); correct the name or the revision, '
            "or log in with `hf auth login` if it is private or gated."
        ) from None
    return LocalFiles(path=folder, commit=folder.name)
