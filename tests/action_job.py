"""A job of the GitHub Action offline: the script with stubs of pytest, gh and llmbench on PATH."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "run.sh"
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())

PYTEST = """#!/usr/bin/env bash
printf '%s\\n' "$@" "in $PWD" --- >>"$STUBS/pytest.txt"
env >"$STUBS/environment.txt"
git rev-parse HEAD >>"$STUBS/commits.txt" 2>/dev/null
if [ -f "$STUBS/hold" ]; then
  trap 'echo 2 >"$STUBS/status.txt"; rm "$STUBS/hold"' INT
  touch "$STUBS/held"
  while [ -f "$STUBS/hold" ]; do sleep 0.02; done
fi
[ -f "$STUBS/usage.md" ] && cat "$STUBS/usage.md" >>"$GITHUB_STEP_SUMMARY"
for first in "$STUBS"/first-*; do
  [ -f "$first" ] && { cat "$first"; status=${first##*-}; rm "$first"; exit "$status"; }
done
for argument; do
  case "$argument" in
    --benchmark-json=*) cp "$STUBS/run.json" "${argument#*=}" 2>/dev/null ;;
    --llm-summary=*) [ -f "$STUBS/usage.md" ] || printf '## summary\\n' >"${argument#*=}" ;;
  esac
done
[ -f "$STUBS/output.txt" ] && printf '%s\\n' "$(<"$STUBS/output.txt")"
exit "$(cat "$STUBS/status.txt")"
"""
GH = """#!/usr/bin/env bash
printf '%s\\n' "$@" --- >>"$STUBS/gh.txt"
[ -f "$STUBS/refuse" ] && [[ "$*" == *$(cat "$STUBS/refuse")* ]] && { echo 'HTTP 403: Resource not accessible' >&2; exit 1; }
while [ $# -gt 0 ]; do
  case "$1" in
    --jq) filter=$2; shift ;;
    --dir) folder=$2; shift ;;
    body=@*) cp "${1#*@}" "$STUBS/body.md" ;;
    *comments\\?*) pages=("$STUBS"/comments-*.json) ;;
    *artifacts\\?*) pages=("$STUBS"/artifacts*.json) ;;
    repos/us/it) pages=("$STUBS/repository.json") ;;
    *compare*) pages=("$STUBS/compare.json") ;;
    download) download=yes ;;
  esac
  shift
done
if [ -n "${download:-}" ]; then cp "$STUBS/artifact.json" "$folder/baseline.json"; fi
if [ -n "${pages:-}" ]; then jq -r "$filter" "${pages[@]}"; fi
"""
LLMBENCH = """#!/usr/bin/env bash
printf '%s\\n' "$@" --- >>"$STUBS/llmbench.txt"
env >"$STUBS/environment-$1.txt"
[ -f "$STUBS/refuse-$1" ] && exit 2
if [ "$1" = accept ]; then cp "$2" "$4"; fi
"""
RUN = {
    "datetime": "2026-11-01T00:00:00+00:00",
    "benchmarks": [],
    "llmbench": {"gate": {"verdict": "no worse"}, "unmeasured": []},
}
BOT = "github-actions[bot]"
MARKER = "<!-- llmbench:gate:. -->"


@dataclass
class Finished:
    """How the script ended, and what it left."""

    status: int
    log: str
    outputs: dict[str, str]


@dataclass
class Job:
    """A job in a folder of its own, with stubs on PATH before what is installed."""

    folder: Path
    stubs: Path
    usual: Mapping[str, str]

    def write(self, name: str, content: Any) -> None:
        (self.stubs / name).write_text(content if isinstance(content, str) else json.dumps(content))

    def summary(self) -> str:
        """Give the summary of the job."""
        path = self.stubs / "step.md"
        return path.read_text() if path.exists() else ""

    def calls(self, program: str) -> list[list[str]]:
        path = self.stubs / f"{program}.txt"
        return [call.splitlines() for call in path.read_text().split("---\n")[:-1]] if path.exists() else []

    def start(self, step: str, **variables: str) -> subprocess.Popen[str]:
        """Start a step in a group of its own."""
        (self.stubs / "outputs").write_text("")
        (self.stubs / "step.md").unlink(missing_ok=True)
        environment = {**self.usual, "GITHUB_OUTPUT": str(self.stubs / "outputs"), **variables}
        return subprocess.Popen(
            ["bash", str(SCRIPT), step],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, step: str, **variables: str) -> Finished:
        """Run a step to its end."""
        process = self.start(step, **variables)
        log, _ = process.communicate()
        return Finished(process.returncode, log, read_outputs((self.stubs / "outputs").read_text()))


def read_outputs(text: str) -> dict[str, str]:
    """Read a step's outputs as GitHub does."""
    found: dict[str, str] = {}
    lines = iter(text.splitlines())
    for line in lines:
        name, mark, value = line.partition("=") if "<<" not in line else line.partition("<<")
        if mark == "<<":
            inner = []
            while (next_line := next(lines)) != value:
                inner.append(next_line)
            value = "\n".join(inner)
        found[name] = value
    return found


def commit(folder: Path, message: str, *options: str) -> str:
    """Commit what is in a folder, which may be no repository yet; gives the SHA."""
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(folder))
    if not (folder / ".git").exists():
        subprocess.run([*git, "init", "-q", "-b", "main"], check=True)
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", message, *options], check=True)
    return subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()


def make_job(tmp_path: Path) -> Job:
    """Make a job of a pull request of the same repository; pytest ends with 0."""
    folder, stubs, programs = tmp_path / "a folder", tmp_path / "stubs", tmp_path / "bin"
    for made in (folder, stubs, programs):
        made.mkdir()
    for name, text in (("pytest", PYTEST), ("gh", GH), ("llmbench", LLMBENCH)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    (programs / "python").symlink_to(sys.executable)
    job = Job(
        folder,
        stubs,
        {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "STUBS": str(stubs),
            "GITHUB_REPOSITORY": "us/it",
            "GITHUB_WORKFLOW": "gate",
            "GITHUB_RUN_ID": "7",
            "GITHUB_RUN_ATTEMPT": "1",
            "GITHUB_JOB": "judge",
            "GITHUB_BASE_REF": "main",
            "GITHUB_STEP_SUMMARY": str(stubs / "step.md"),
            "GH_TOKEN": "secret",
            "DEFAULT_BRANCH": "main",
            "HEAD_REPOSITORY": "us/it",
            "HEAD_SHA": "0123456789abcdef",
            "PULL_REQUEST": "5",
            "JOB_INDEX": "0",
            "LLMBENCH_MODEL": "candidate",
            "VERDICT": "no worse",
            "SUMMARY": "summary.md",
            "BASELINE_AGE": "3 days old",
            "REPORT_URL": "https://example.org/run",
            **{
                f"LLMBENCH_{name.replace('-', '_').upper()}": str(made.get("default", ""))
                for name, made in ACTION["inputs"].items()
                if name not in ("model", "version", "install", "python-version", "working-directory")
            },
            "LLMBENCH_DIRECTORY": ".",
        },
    )
    job.write("status.txt", "0")
    job.write("run.json", RUN)
    job.write("comments-1.json", [])
    job.write("repository.json", {"default_branch": "main"})
    (folder / "baseline.json").write_text(json.dumps(RUN))
    (folder / "summary.md").write_text("<!-- llmbench -->\n## the summary\n")
    return job
