"""Install the wheel in an empty environment and run what `llmbench init` writes.

    python .ci/wheel.py newest|oldest|pre|plugins [WHEEL]

`oldest` takes each dependency in the lowest version that pyproject.toml allows, `pre` its pre-releases, and `plugins`
installs the pytest plugins that people have beside it and runs with each of them.  Without a WHEEL it is built.
"""

import os
import re
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent
PLUGINS = {
    "pytest-xdist": ("-n", "2"),
    "pytest-rerunfailures": ("--reruns", "1"),
    "pytest-timeout": ("--timeout", "60"),
    "pytest-randomly": (),
    "pytest-cov": ("--cov=cases",),
}
"""Plugins, and the options to run with each."""
ACTION = ".github/actions/llmbench"


def lowest(requirement: str) -> str:
    """Give a requirement with its lowest version alone: `pytest>=9,<10` is `pytest==9`."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    least = re.search(r">=([0-9.]+)", requirement)
    if name is None or least is None:
        raise SystemExit(f'pyproject.toml has a dependency without a lowest version: "{requirement}".')
    return f"{name[0]}=={least[1]}"


def main() -> None:
    """Install and run; ends with the first step that goes wrong."""
    kind, *given = sys.argv[1:]
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        venv.create(place / "venv", with_pip=True)
        programs = place / "venv" / ("Scripts" if os.name == "nt" else "bin")
        python, llmbench = str(programs / "python"), str(programs / "llmbench")
        pip = [python, "-m", "pip", "--disable-pip-version-check", "-q"]
        if given:
            wheel = Path(given[0]).resolve()
        else:
            step([*pip, "wheel", "--no-deps", "-w", str(place / "dist"), str(ROOT)], ROOT)
            (wheel,) = (place / "dist").glob("*.whl")
        needed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
        more = {"oldest": [lowest(one) for one in needed], "pre": ["--pre"], "plugins": list(PLUGINS)}.get(kind, [])
        step([*pip, "install", "--no-compile", str(wheel), *more], place)
        project = place / "project"
        project.mkdir()
        step([llmbench, "init"], project)
        missing = [name for name in ("action.yml", "run.sh") if not (project / ACTION / name).is_file()]
        if missing:
            raise SystemExit(f"llmbench init wrote no {ACTION}/{missing[0]}")
        runs = [()] if kind != "plugins" else [(), *PLUGINS.values()]
        for options in runs:
            # one of its three answers is wrong on purpose
            step(
                [
                    python,
                    "-m",
                    "pytest",
                    "-q",
                    "--llm-model",
                    "example",
                    "--benchmark-json=run.json",
                    *options,
                    "cases/",
                ],
                project,
                expected=1,
            )
            step([llmbench, "show", "run.json"], project)


def step(command: list[str], folder: Path, expected: int = 0) -> None:
    """Run a command that has to end with a status."""
    print("==", *command, flush=True)
    status = subprocess.run(command, cwd=folder, check=False).returncode
    if status != expected:
        raise SystemExit(f"the exit status is {status}, not {expected}")


if __name__ == "__main__":
    main()
