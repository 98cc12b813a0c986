"""A small runner of workflows: it fills in the expressions of a job and of its action, and runs the scripts for real.

Actions of others are not run; what they were given is kept.
"""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from action_job import read_outputs

_TOKEN = re.compile(r"\s+|(?P<text>'[^']*')|(?P<name>[A-Za-z_][\w.-]*)|(?P<sign>&&|\|\||!=|==|!|[(),])|(?P<number>\d+)")
_SIGNS = {"&&": " and ", "||": " or ", "!": " not "}


@dataclass
class Runner:
    """One job in a checkout; `github` is the context of its event, `variables` the environment of its runner."""

    folder: Path
    github: Mapping[str, Any]
    inputs: Mapping[str, Any]
    variables: Mapping[str, str]
    used: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    outputs: dict[str, str] = field(default_factory=dict)
    log: str = ""

    def run(self) -> bool:
        """Run the workflow of the checkout; returns whether its job is green."""
        workflow = yaml.safe_load((self.folder / ".github/workflows/llmbench.yml").read_text())
        (job,) = workflow["jobs"].values()
        context = {"github": self.github, "inputs": self.inputs, "secrets": {}, "steps": {}, "strategy": {}}
        for step in job["steps"]:
            given = {name: self._filled(value, context) for name, value in step.get("with", {}).items()}
            if not step["uses"].startswith("./"):
                self.used.append((step["uses"], given))
                continue
            env = {name: self._filled(value, context) for name, value in step.get("env", {}).items()}
            if not self._act(self.folder / step["uses"], given, env):
                return False
        return True

    def _act(self, place: Path, given: Mapping[str, str], env: Mapping[str, str]) -> bool:
        action = yaml.safe_load((place / "action.yml").read_text())
        inputs = {name: str(made.get("default", "")) for name, made in action["inputs"].items()}
        assert set(given) <= set(inputs)
        context = {"github": self.github, "inputs": {**inputs, **given}, "steps": {}, "strategy": {"job-index": 0}}
        is_green = True
        for step in action["runs"]["steps"]:
            condition = step.get("if", "success()")
            text = (
                condition if re.search(r"(always|cancelled|success)\(\)", condition) else f"success() && ({condition})"
            )
            if not self._value(text, context, is_green=is_green):
                continue
            own = {name: self._filled(value, context) for name, value in step.get("env", {}).items()}
            if "uses" in step:
                filled = {name: self._filled(value, context) for name, value in step["with"].items()}
                self.used.append((step["uses"], filled))
                done = {"artifact-url": "https://example.org/artifact"}
            else:
                folder = self.folder / self._filled(step.get("working-directory", "."), context)
                status, done = self._script(step["run"], folder, {**env, **own, "GITHUB_ACTION_PATH": str(place)})
                is_green = is_green and status == 0
            context["steps"][step.get("id", "")] = {"outputs": done}
        self.outputs = {name: self._filled(made["value"], context) for name, made in action["outputs"].items()}
        return is_green

    def _script(self, script: str, folder: Path, env: Mapping[str, str]) -> tuple[int, dict[str, str]]:
        output = self.folder.parent / "output"
        output.write_text("")
        found = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
            cwd=folder,
            env={**self.variables, **env, "GITHUB_OUTPUT": str(output)},
            capture_output=True,
            text=True,
        )
        self.log += found.stdout + found.stderr
        return found.returncode, read_outputs(output.read_text())

    def _filled(self, text: object, context: Mapping[str, Any]) -> str:
        return re.sub(
            r"\$\{\{(.*?)\}\}", lambda found: _text(self._value(found[1], context, is_green=True)), _text(text)
        )

    def _value(self, expression: str, context: Mapping[str, Any], *, is_green: bool) -> Any:
        def looked_up(name: str) -> Any:
            found: Any = context
            for part in name.split("."):
                found = found.get(part) if isinstance(found, Mapping) else None
            return "" if found is None else found  # which are equal there

        python, place = "", 0
        while place < len(expression):
            token = _TOKEN.match(expression, place)
            assert token is not None, expression[place:]
            place = token.end()
            name = token["name"]
            if name is None:
                python += _SIGNS.get(token[0], token[0])
            elif expression[place : place + 1] == "(":
                python += name
            else:
                python += f"looked_up({name!r})"
        functions = {
            "looked_up": looked_up,
            "always": lambda: True,
            "success": lambda: is_green,
            "cancelled": lambda: False,
            "hashFiles": lambda name: "c0ffee" if (self.folder / name).is_file() else "",
        }
        return eval(python.strip(), {"__builtins__": {}}, functions)


def _text(value: Any) -> str:
    """Write a value as GitHub does: nothing is empty, truth values are small."""
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def runner_variables(programs: Path) -> dict[str, str]:
    """Give the environment of a runner, with programs of the test before what is installed."""
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    return {
        "PATH": path,
        "GITHUB_REPOSITORY": "us/it",
        "GITHUB_WORKFLOW": "llmbench",
        "GITHUB_JOB": "gate",
        "GITHUB_RUN_ID": "7",
        "GITHUB_RUN_ATTEMPT": "1",
        "GITHUB_BASE_REF": "main",
        "GITHUB_REF": "refs/heads/main",
        "GITHUB_SHA": "0" * 40,
    }
