"""Replicas on a real Ray cluster of two nodes: what breaks there, and what must come of it."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from pytest_llmbench.cli import main
from pytest_llmbench.errors import ModelFault
from pytest_llmbench.values import Answer, AnswerError, Prompt, Request, Sampling

pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # Ray's own

TESTS = Path(__file__).parents[2]
PATIENCE_S = 120.0
"""How long another process may take before the test gives up, on a machine where much else is at work."""


def requests(n: int, **words: str) -> list[Request]:
    """Make requests; `c7="kill"` is what that one does."""
    return [
        Request(suite="s", case=f"c{i}", sample=0, prompt=Prompt(text=words.get(f"c{i}", "echo")), sampling=Sampling())
        for i in range(n)
    ]


def asked(log: Path) -> Counter[str]:
    """Count how often each case reached a model."""
    return Counter(line.split()[1] for line in log.read_text().splitlines())


def pids(log: Path) -> list[int]:
    return list(dict.fromkeys(int(line.split()[0]) for line in log.read_text().splitlines()))


def after(n: int, act: Callable[[], object]) -> Callable[[int, Answer | AnswerError], None]:
    """Give a listener that acts once when so many answers have come."""
    seen: list[int] = []

    def arrived(place: int, answer: Answer | AnswerError) -> None:
        seen.append(place)
        if len(seen) == n:
            act()

    return arrived


def texts(answers: Sequence[Answer | AnswerError]) -> list[str]:
    return [answer.text if isinstance(answer, Answer) else answer.cause for answer in answers]


EXPECTED = [f"answer to c{i}" for i in range(200)]


def test_a_killed_process_costs_no_answer(open_toy: Any, tmp_path: Path) -> None:
    """Two nodes answer; after kill -9 of a replica only what was at work or on its way is asked twice."""
    model = open_toy(delay_s=0.02)

    answers = model.answer(requests(200), arrived=after(40, lambda: os.kill(pids(tmp_path / "log")[0], signal.SIGKILL)))

    assert texts(answers) == EXPECTED
    assert {answer.node for answer in answers} == {1, 2}
    assert {answer.concurrency for answer in answers if answer.attempts == 1} == {8}
    assert {answer.concurrency for answer in answers if answer.attempts == 2} == {1}
    assert sum(n - 1 for n in asked(tmp_path / "log").values()) <= 16
    assert len(model.remarks) == 1
    assert "lost (process): its process ended" in model.remarks[0]


def test_a_case_that_ends_its_process_is_an_error_of_its_own(open_toy: Any) -> None:
    """The others of its batch are asked again alone; one that only raises ends no process."""
    model = open_toy()

    answers = model.answer(requests(40, c7="kill"))
    raised = model.answer(requests(2, c1="raise"))

    errors = {place: answer.cause for place, answer in enumerate(answers) if isinstance(answer, AnswerError)}
    assert list(errors) == [7]
    assert "asked alone, and the replica was lost again" in errors[7]
    assert all("ValueError: this case breaks the model" in answer.cause for answer in raised)


def test_a_halt_is_quick_and_the_next_call_answers(open_toy: Any) -> None:
    """What came is kept, the rest is "stopped"."""
    model = open_toy(delay_s=0.05)
    halt = threading.Event()

    answers = model.answer(requests(200), arrived=after(32, halt.set), halt=halt)

    n_answered = sum(isinstance(answer, Answer) for answer in answers)
    assert 32 <= n_answered <= 64
    assert {answer.cause for answer in answers if isinstance(answer, AnswerError)} == {"stopped"}
    assert texts(model.answer(requests(16))) == EXPECTED[:16]


def test_what_cannot_be_opened_is_said_within_seconds(open_toy: Any, tmp_path: Path) -> None:
    """No room, no weights, an address where nobody is, a package that the nodes do not have."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    without = {"runtime_env": {"env_vars": {"PYTHONPATH": str(tmp_path)}}}

    with pytest.raises(ModelFault, match=f"nobody answers at 127.0.0.1:{port}"):
        open_toy(cluster={"address": f"127.0.0.1:{port}"})
    with pytest.raises(ModelFault, match=r'"toy": the cluster has room for 2 of 3 replicas of 1 CPU each \('):
        open_toy(replicas=3)
    with pytest.raises(ModelFault, match=r'no replica of "toy" could be opened: the weights /nowhere are not there'):
        open_toy(weights="/nowhere")
    with pytest.raises(ModelFault, match="No module named 'toy_replica'"):
        open_toy(replicas=1, cluster=without)


def test_weights_that_differ_between_nodes(open_toy: Any, tmp_path: Path) -> None:
    """Missing on one node, its replica is left out; others there are refused before anything is asked."""
    (tmp_path / "first").write_text("w1")
    weights = str(tmp_path / "$NODE")

    model = open_toy(weights=weights)
    (tmp_path / "second").write_text("w2")
    model.close()
    with pytest.raises(ModelFault, match=r'"toy" are not the same model: weights differ on node . \(w[12] and w[12]\)'):
        open_toy(weights=weights)

    assert "could not be opened: the weights" in model.remarks[0]
    assert [replica.ended is None for replica in model.replicas].count(True) == 1
    assert not (tmp_path / "log").exists()


def test_the_package_is_shipped_to_the_nodes(open_toy: Any) -> None:
    """What this process runs is unpacked there and found before what is installed."""
    model = open_toy(replicas=1, cluster={"ship": True})

    (answer,) = model.answer(requests(1, c0="where"))

    paths = answer.text.split("\n")
    (shipped,) = [path for path in paths if "py_modules" in path]
    assert (Path(shipped) / "pytest_llmbench" / "models" / "cluster" / "replica.py").is_file()
    assert paths.index(shipped) < max(place for place, path in enumerate(paths) if path.endswith("site-packages"))


# -- whole runs

CONFTEST = """
import sys
sys.path.insert(0, {tests!r})
def pytest_llmbench_providers(config):
    from toy_replica import PROVIDER
    return {{"toy": PROVIDER}}
"""
N = 60


@pytest.fixture
def project(pytester: pytest.Pytester, nodes: Any) -> pytest.Pytester:
    """Make a project with a suite of 60 cases and the toy, here and on the cluster."""
    nodes.restore()
    pytester.makeini("[pytest]\n")
    pytester.makeconftest(CONFTEST.format(tests=str(TESTS)))
    cases = [{"id": f"c{i}", "expected": f"answer to c{i if i % 7 else 'x'}"} for i in range(N)]
    suite = {"suite": "s", "grader": "exact", "prompt": {"completion": "echo"}, "cases": cases}
    pytester.mkdir("cases").joinpath("s.yaml").write_text(json.dumps(suite))
    log = str(pytester.path / "log")
    cluster = f'cluster = {{ address = "{nodes.address}", replicas = 2, ship = false }}'
    pytester.mkdir("fixtures").joinpath("models.toml").write_text(
        f'[here]\nprovider = "toy"\nlog = "{log}"\nconcurrency = 8\n'
        f'[there]\nprovider = "toy"\nlog = "{log}"\nconcurrency = 4\ndelay_s = 0.2\n{cluster}\n'
    )
    return pytester


def command(model: str, *options: str) -> list[str]:
    return [
        sys.executable, "-m", "pytest", "-q", "--llm-model", f"m={model}", "--llm-no-fail", "--benchmark-quiet", *options,
        "cases",
    ]  # fmt: skip


def records(path: Path) -> list[dict[str, Any]]:
    found = json.loads(path.read_text())
    return [one["extra_info"]["llmbench"] for one in found["benchmarks"]] + found["llmbench"]["unmeasured"]


def test_one_process_two_replicas_and_two_shards_give_the_same_records(
    project: pytest.Pytester, capsys: pytest.CaptureFixture[str]
) -> None:
    """But for times, node and batch; and compare finds no difference."""
    for name, model, options in (
        ("here", "here", ()),
        ("there", "there", ()),
        ("shard-1", "here", ("--llm-shard=1/2",)),
        ("shard-2", "here", ("--llm-shard=2/2",)),
    ):
        subprocess.run(
            command(model, "--llm-answers=off", f"--benchmark-json={name}.json", *options), cwd=project.path, check=True,
            capture_output=True,
        )  # fmt: skip
    assert main(["merge", "shard-1.json", "shard-2.json", "-o", "merged.json"]) == 0

    def told(name: str) -> list[dict[str, Any]]:
        left_out = ("latency_s", "concurrency", "node")
        found = records(project.path / f"{name}.json")
        for record in found:
            record["model"] = "toy"
            record["samples"] = [{k: v for k, v in sample.items() if k not in left_out} for sample in record["samples"]]
        return sorted(found, key=lambda record: str(record["case"]))

    assert told("there") == told("here") == told("merged")
    there = json.loads((project.path / "there.json").read_text())
    assert {sample["node"] for record in records(project.path / "there.json") for sample in record["samples"]} == {1, 2}
    assert {sample["node"] for record in records(project.path / "here.json") for sample in record["samples"]} == {None}
    replicas = there["llmbench"]["models"]["m"]["replicas"]
    assert [replica["ended"] for replica in replicas] == [None, None]
    assert sum(replica["answers"] for replica in replicas) == N
    assert "replicas" not in json.loads((project.path / "here.json").read_text())["llmbench"]["models"]["m"]
    for name in ("there", "merged"):
        capsys.readouterr()
        assert main(["compare", "here.json", f"{name}.json", "--format", "json"]) in (0, 8)
        found = json.loads(capsys.readouterr().out)["suites"][0]
        assert (found["delta"], found["agreement"]["text"], found["differences"]) == (0, 1, [])


FREE = 24
"""So many cases of a run that is to be ended are answered; the further ones are held until it is."""


def is_held(log: Path, n: int) -> bool:
    """Return whether, behind the first n lines, a case is being held."""
    lines = log.read_text().splitlines()[n:] if log.exists() else []
    return any(int(line.rpartition("c")[2]) >= FREE for line in lines)


def test_ctrl_c_and_kill_lose_nothing(project: pytest.Pytester) -> None:
    """After Ctrl-C, and after kill -9 of pytest, no replica lives on, and the same command asks only for the rest."""
    log = project.path / "log"
    path = project.path / "cases" / "s.yaml"
    suite = json.loads(path.read_text())
    suite["prompt"]["completion"] = "{{ word }}"
    for place, case in enumerate(suite["cases"]):
        case["word"] = "echo" if place < FREE else "hold"
    path.write_text(json.dumps(suite))
    for end in (signal.SIGINT, signal.SIGKILL):
        before = len(log.read_text().splitlines()) if log.exists() else 0
        running = subprocess.Popen(
            command("there", "--benchmark-json=run.json"),
            cwd=project.path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        _wait_until(lambda run=running, n=before: run.poll() is not None or is_held(log, n))
        replicas = {int(line.split()[0]) for line in log.read_text().splitlines()[before:]}
        running.send_signal(end)
        output, _ = running.communicate(timeout=PATIENCE_S)

        assert running.returncode == (2 if end is signal.SIGINT else -9), output.decode()
        assert b"raylet" not in output
        _wait_until(lambda found=replicas: not any(psutil.pid_exists(pid) for pid in found))
    kept = asked(log)
    log.with_name("go").touch()

    last = subprocess.run(
        command("there", "--benchmark-json=run.json"), cwd=project.path, capture_output=True, text=True, check=True
    )

    found = records(project.path / "run.json")
    assert len(found) == N
    assert sum(sample["reused"] for record in found for sample in record["samples"]) > 0
    # at work, or on its way, at each end: at most two batches of 4 of each replica
    assert sum(asked(log).values()) - N <= 32
    assert len(kept) < N
    assert "were reused from an earlier run" in " ".join(last.stdout.split())


def test_x_stops_and_is_continued(project: pytest.Pytester) -> None:
    """With -x little more is asked than what the tests came to."""
    options = [word for word in command("there", "-x") if word != "--llm-no-fail"]

    first = subprocess.run(options, cwd=project.path, capture_output=True, text=True, check=False)

    assert first.returncode == 1
    assert len(asked(project.path / "log")) <= 24


# -- what the cluster does not forget at once


def test_a_killed_node_costs_no_answer(open_toy: Any, nodes: Any) -> None:
    """What it had is asked elsewhere; no case is suspected for it."""
    model = open_toy(delay_s=0.2)  # a process may outlive its node by a second

    answers = model.answer(requests(200), arrived=after(40, nodes.kill_second))

    assert texts(answers) == EXPECTED
    assert any("lost (" in remark for remark in model.remarks)


def test_a_node_that_starts_later_is_waited_for(open_toy: Any, nodes: Any) -> None:
    """With `wait_s` the run begins on the node that is there, though Ray may still count on one that just died."""
    nodes.kill_second()
    model = open_toy(cluster={"wait_s": 60}, delay_s=0.05)
    assert {answer.node for answer in model.answer(requests(8))} == {1}

    nodes.restore()
    _wait_until(lambda: {answer.node for answer in model.answer(requests(32))} > {1})

    assert texts(model.answer(requests(200))) == EXPECTED


def _wait_until(is_reached: Callable[[], bool]) -> None:
    """Wait for what another process does."""
    pause, deadline = threading.Event(), time.monotonic() + PATIENCE_S
    while not is_reached():
        assert time.monotonic() < deadline, f"it did not come to that within {PATIENCE_S:.0f} s"
        pause.wait(0.05)
