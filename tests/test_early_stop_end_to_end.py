"""A gate that stops early against a server: what is sent, what a killed run goes on with, and what completes it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

ROOT = Path(__file__).parents[1]
CASES = 500
CONCURRENCY = 16
pytestmark = pytest.mark.slow


def _answer_to(prompt: str) -> str:
    """Give what the mock server answers."""
    spec = spec_from_file_location("mock_server", ROOT / "benchmarks" / "mock_server.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["mock_server"] = module_from_spec(spec)
    spec.loader.exec_module(module)
    answer: str = module.answer_to(prompt)
    return answer


class Server:
    """A mock server in a process of its own."""

    def __init__(self, process: "subprocess.Popen[str]", url: str):
        self.process = process
        self.url = url

    @property
    def requests(self) -> int:
        """How many requests it was sent."""
        with urlopen(self.url.removesuffix("/v1") + "/stats") as reply:
            found: dict[str, Any] = json.loads(reply.read())
        return int(found["requests"])


@pytest.fixture
def server() -> Iterator[Server]:
    """Start a server that takes 10 ms for an answer."""
    command = [sys.executable, str(ROOT / "benchmarks" / "mock_server.py"), "--latency-ms=10"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield Server(process, process.stdout.readline().strip())
        process.communicate()


@pytest.fixture
def project(tmp_path: Path, server: Server) -> Path:
    """Make a project in which the server's model is right on 60% of the cases, and the incumbent was on 80%."""
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider --benchmark-quiet\n")
    rows, answers = "", ""
    for i in range(CASES):
        answer = _answer_to(f"question {i}")
        wrong = "no" if answer == "yes" else "yes"
        expected = answer if i % 5 < 3 else wrong
        rows += f'  - {{id: c{i}, question: "question {i}", expected: "{expected}"}}\n'
        given = expected if i % 5 < 4 else ("no" if expected == "yes" else "yes")
        answers += json.dumps({"case": f"c{i}", "answer": given}) + "\n"
    (tmp_path / "cases").mkdir()
    head = 'suite: asked\ngrader: exact\nprompt: {chat: [{role: user, content: "{{ question }}"}]}\ncases:\n'
    (tmp_path / "cases" / "asked.yaml").write_text(head + rows)
    (tmp_path / "fixtures").mkdir()
    (tmp_path / "fixtures" / "old.jsonl").write_text(answers)
    (tmp_path / "fixtures" / "models.toml").write_text(
        '[old]\nprovider = "recorded"\nanswers = "old.jsonl"\n'
        f'[new]\nprovider = "openai"\nmodel = "mock"\nbase_url = "{server.url}"\nconcurrency = {CONCURRENCY}\n'
    )
    made = pytest_in(tmp_path, "--llm-model", "model=old", "--llm-no-fail", "--benchmark-json=base.json")
    assert made.returncode == 0, made.stdout
    return tmp_path


def command(*options: str) -> list[str]:
    return [sys.executable, "-m", "pytest", *options, "cases"]


def pytest_in(folder: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "COLUMNS": "1000", "OPENAI_API_KEY": "none"}
    return subprocess.run(command(*options), cwd=folder, env=environment, capture_output=True, text=True)


GATED = ("--llm-model", "model=new", "--llm-baseline=base.json")


def suite_of(path: Path) -> Any:
    (suite,) = json.loads(path.read_text())["llmbench"]["gate"]["suites"]
    return suite


def test_a_disaster_costs_a_quarter_of_the_requests_and_can_be_completed(project: Path, server: Server) -> None:
    """At 20 points worse at most a quarter is sent, exit 1; again it stops there; completed, the verdict is the same."""
    first = pytest_in(project, *GATED, "--llm-stop-early=loss", "--benchmark-json=first.json")

    assert first.returncode == 1, first.stdout
    sent = server.requests
    assert sent <= CASES / 4 + CONCURRENCY
    stop = suite_of(project / "first.json")["stopping"]
    assert (stop["reason"], stop["asked"]) == ("worse", sent)

    # a run that stopped at a look is finished: the next one asks anew, in the same order
    again = pytest_in(project, *GATED, "--llm-stop-early=loss", "--benchmark-json=again.json")
    assert again.returncode == 1
    assert server.requests == 2 * sent
    repeated = suite_of(project / "again.json")["stopping"]
    assert repeated.pop("gates") == 2
    assert stop.pop("gates") == 1
    assert repeated == stop
    assert "2 gates so far asked in this order of cases" in again.stdout

    # another margin would judge the stored answers a second time
    refused = pytest_in(project, *GATED, "--llm-stop-early=off", "--llm-reuse=all", "--llm-margin=10")
    assert refused.returncode == pytest.ExitCode.USAGE_ERROR
    assert 'suite "asked" was judged early with another margin (0.05, now 0.1)' in refused.stderr

    whole = pytest_in(project, *GATED, "--llm-stop-early=off", "--llm-reuse=all", "--benchmark-json=whole.json")
    assert whole.returncode == 1
    assert server.requests == sent + CASES
    suite = suite_of(project / "whole.json")
    assert suite["verdict"] == "worse"
    assert suite["stopping"]["look"] == stop["look"]
    assert len(suite["stopping"]["beyond"]) == CASES - sent
    assert "incomplete" not in json.loads((project / "whole.json").read_text())["llmbench"]
    assert f"right on the first {sent} of 500 cases" in whole.stdout
    assert "completed since" in whole.stdout
    compare = subprocess.run(
        [str(Path(sys.executable).with_name("llmbench")), "compare", "base.json", "whole.json"],
        cwd=project,
        env={**os.environ, "COLUMNS": "1000"},
        capture_output=True,
        text=True,
    )
    assert compare.returncode == 1, compare.stderr
    assert "completed since" in compare.stdout


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_run_keeps_its_plan(project: Path, server: Server, sign: signal.Signals) -> None:
    """After a kill or Ctrl-C another margin is refused; the same command sends only the rest, and stops at the same look."""
    options = (*GATED, "--llm-stop-early=loss", "--llm-concurrency=2")
    whole = pytest_in(project, *options, "--llm-reuse=none", "--benchmark-json=whole.json")
    assert whole.returncode == 1
    sent = server.requests
    environment = {**os.environ, "OPENAI_API_KEY": "none"}
    with subprocess.Popen(
        command(*options), cwd=project, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        give_up = time.monotonic() + 60
        while server.requests < sent + 20 and process.poll() is None and time.monotonic() < give_up:
            os.sched_yield()
        process.send_signal(sign)
    before = server.requests

    refused = pytest_in(project, *options, "--llm-margin=4")
    resumed = pytest_in(project, *options, "--benchmark-json=resumed.json")

    assert refused.returncode == pytest.ExitCode.USAGE_ERROR
    assert "different: margin (0.05, now 0.04); repeat the command as it was, or begin anew with --llm-reuse none." in (
        refused.stderr
    )
    assert resumed.returncode == 1
    new = server.requests - before
    assert new < sent - 10
    one, other = (suite_of(project / f"{name}.json")["stopping"] for name in ("whole", "resumed"))
    assert one.pop("gates") < other.pop("gates")
    assert one == other
