"""A benchmark JSON as the object that it is: read, and checked to have our block."""

import json
from pathlib import Path
from typing import Any

from pytest_llmbench.errors import RunFileFault
from pytest_llmbench.results.run_json import SCHEMA, JsonObject


def read_run_file(path: Path) -> JsonObject:
    """Read a benchmark JSON that has our block.

    Raises:
        RunFileFault: it cannot be read, is no benchmark JSON, has no block of ours or a newer one.
    """
    return checked_run_object(path, _load(path))


def checked_run_object(path: Path, found: Any) -> JsonObject:
    """Check what was read of a file as `read_run_file` does."""
    if not isinstance(found, dict) or not isinstance(found.get("benchmarks"), list):
        raise RunFileFault(f"{path}: this is not a benchmark JSON; write one with pytest --benchmark-json.")
    block = found.get("llmbench")
    if not isinstance(block, dict) or not isinstance(block.get("schema"), int):
        raise RunFileFault(
            f"{path}: this is a plain pytest-benchmark file; only runs with --llm-model can be read here."
        )
    if block["schema"] > SCHEMA:
        message = (
            f"{path}: this file has schema {block['schema']}, this pytest-llmbench reads up to {SCHEMA}; update it."
        )
        raise RunFileFault(message)
    return found


def _load(path: Path) -> Any:
    try:
        # other programs write NaN into JSON; here it counts as null
        return json.loads(path.read_bytes(), parse_constant=lambda _: None)
    except FileNotFoundError:
        raise RunFileFault(f"{path}: there is no such file; write one with pytest --benchmark-json={path}.") from None
    except OSError as fault:
        raise RunFileFault(f"{path}: this file cannot be read: {fault.strerror}.") from None
    except UnicodeDecodeError:
        raise RunFileFault(f"{path}: this is not a benchmark JSON: it is not UTF-8.") from None
    except json.JSONDecodeError as fault:
        message = f"{path}:{fault.lineno}: this is not JSON, or it was cut off: {fault.msg}."
        raise RunFileFault(message) from None
    except ValueError as fault:
        raise RunFileFault(f"{path}: this is not a benchmark JSON: {fault}.") from None
    except RecursionError:
        raise RunFileFault(f"{path}: this is not a benchmark JSON: it is nested too deep.") from None
