"""Install the wheel in an empty environment and run what `llmbench init` writes.

    python .ci/wheel.py newest|oldest|pre|plugins [WHEEL]

`oldest` takes each dependency in the lowest version that pyproject.toml allows, `pre` its pre-releases, and `plugins`
installs the pytest plugins that people have beside it, and the examples of docs/plugins.md as a package of somebody
else's, and runs with each of the plugins.  Without a WHEEL it is built.
"""

import os
import re
import shutil
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


DOWNSTREAM = {
    "pyproject.toml": """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "llmbench-downstream"
version = "1"

[project.entry-points.pytest11]
downstream = "llmbench_downstream"

[tool.hatch.build.targets.wheel]
only-include = ["llmbench_downstream.py"]
""",
    "project/cases/brevity.yaml": """\
suite: brevity
grader: brief
prompt: {completion: "{{ q }}"}
cases:
  - {id: short, q: be brief, max_words: 3}
  - {id: long, q: be very very brief, max_words: 3}
  - {id: broken, q: fail, max_words: 3}
""",
    "project/fixtures/models.toml": "[shout]\nprovider = 'program'\ncommand = './shout.sh'\n",
    "project/pytest.ini": "[pytest]\n",
    "project/shout.sh": '#!/bin/sh\nread line\nif [ "$line" = fail ]; then exit 3; fi\necho "$line!"\n',
}
"""A package with the examples, and in *project* who uses it: a right answer, a wrong one and a broken one."""


def write_downstream(folder: Path) -> None:
    """Write `DOWNSTREAM`, with the provider and the grader of docs/plugins.md as the module."""
    page = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    module = "\n\n".join(re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE))
    for name, text in {**DOWNSTREAM, "llmbench_downstream.py": module}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (folder / "project" / "shout.sh").chmod(0o755)


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
        pytest = [python, "-m", "pytest", "-q", "--benchmark-json=run.json"]
        if kind != "plugins":
            # one of its three answers is wrong on purpose
            step([*pytest, "--llm-model", "example", "cases/"], project, expected=1)
            step([llmbench, "show", "run.json"], project)
            # SQL goes through other libraries, and more of what they keep to themselves
            shutil.copytree(ROOT / "examples" / "text-to-sql", place / "sql")
            step([*pytest, "--llm-model", "model=production", "cases/"], place / "sql")
            return
        write_downstream(place / "downstream")
        step([*pip, "install", "--no-compile", str(place / "downstream")], place)
        for options in [(), *PLUGINS.values()]:
            for model, folder in (("example", project), ("shout", place / "downstream" / "project")):
                step([*pytest, "-p", "no:cacheprovider", "--llm-model", model, *options, "cases/"], folder, expected=1)
                step([llmbench, "show", "run.json"], folder)


def step(command: list[str], folder: Path, expected: int = 0) -> None:
    """Run a command that has to end with a status."""
    print("==", *command, flush=True)
    status = subprocess.run(command, cwd=folder, check=False).returncode
    if status != expected:
        raise SystemExit(f"the exit status is {status}, not {expected}")


if __name__ == "__main__":
    main()
