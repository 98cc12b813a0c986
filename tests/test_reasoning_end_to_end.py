"""Models that reason, on the shipped clickbait suite: a local one, and one behind an API."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent


def run(tmp_path: Path, entry: str, *options: str) -> tuple[str, list[dict[str, Any]]]:
    (tmp_path / "models.toml").write_text(f"[m]\n{entry}")
    target = tmp_path / "run.json"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--llm-answers=off", "--llm-no-fail"]
    models, json_file = f"--llm-models-file={tmp_path / 'models.toml'}", f"--benchmark-json={target}"
    done = subprocess.run(
        [*command, models, json_file, "--llm-model=m", "--llm-limit=3", *options, "cases/clickbait.yaml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    records = [benchmark["extra_info"]["llmbench"] for benchmark in json.loads(target.read_text())["benchmarks"]]
    return done.stdout, [record["samples"][0] for record in records]


@pytest.mark.parametrize("is_opened_by_template", [False, True])
def test_a_local_model(tmp_path: Path, make_reciter: Callable[..., Path], is_opened_by_template: bool) -> None:
    """It keeps the suite's format though its reasoning has line ends, which are the suite's stop string."""
    end = "<think>\n" if is_opened_by_template else ""
    script = ("<think>", "It", " may\n", "be", " clickbait,\n", "or", " not.", "</think>", "\n\n", "yes", "\n", "so")
    folder = make_reciter(tmp_path / "model", *script, template_end=end)
    entry = (
        f'provider = "transformers"\nmodel = "{folder}"\nprompt_style = "chat"\nthreads = 1\nreasoning_tokens = 32\n'
    )

    _, samples = run(tmp_path, entry)

    assert [(sample["answer"], sample["format_ok"]) for sample in samples] == [("yes", True)] * 3
    assert {sample["reasoning"] for sample in samples} == {"It may\nbe clickbait,\nor not."}


def test_a_model_behind_an_api(tmp_path: Path, openai_server: Any) -> None:
    """It keeps the format as well; the server is sent the room for its reasoning, and no stop string."""
    openai_server.usual = openai_server.stream("<think>\nIt ", "may\n", "not.\n</think>", "\n\nyes", "\nso")

    _, samples = run(
        tmp_path, f'provider = "openai"\nmodel = "m"\nbase_url = "{openai_server.url}"\n', "--llm-reasoning-tokens=32"
    )

    assert [(sample["answer"], sample["format_ok"]) for sample in samples] == [("yes", True)] * 3
    assert {received.body["max_tokens"] for received in openai_server.received} == {4 + 32}
    assert not any("stop" in received.body for received in openai_server.received)


def test_cut_reasoning(tmp_path: Path, openai_server: Any) -> None:
    """Where the limit ends all reasoning, each answer is empty and says why, and the scoreboard names the key."""
    openai_server.usual = openai_server.stream("It may", key="reasoning_content", finish="length")

    shown, samples = run(tmp_path, f'provider = "openai"\nmodel = "m"\nbase_url = "{openai_server.url}"\n')

    explanation = "The answer is nothing but reasoning. It was cut off at max_tokens = 4."
    assert {(sample["reason"], sample["explanation"]) for sample in samples} == {("empty", explanation)}
    assert "clickbait / m: cut off 3 of 3 answers at their limit of tokens; raise reasoning_tokens" in " ".join(
        shown.split()
    )


THOUGHT = "At first the capital seems to be Sydney."
FORMS = (
    "<reasoning>{}</reasoning>\nCanberra",
    "<thought>{}</thought>\nCanberra",
    "[THINK]{}[/THINK]Canberra",
    "◁think▷{}◁/think▷Canberra",
    "<seed:think>{}</seed:think>Canberra",
    "<|START_THINKING|>{}<|END_THINKING|><|START_RESPONSE|>Canberra<|END_RESPONSE|>",
    "<|channel>thought\n{}\n<channel|>Canberra",
    "<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>final<|message|>Canberra<|return|>",
    "analysis{}assistantfinalCanberra",
    "{}</think>\nCanberra",
)


def test_verdicts_on_recorded_answers(pytester: pytest.Pytester) -> None:
    """A label named only in the reasoning is no answer, and the one behind it is the answer, under each grader."""
    answers = [form.format(THOUGHT) for form in FORMS]
    wanted = {"exact": "Canberra", "contains": "Sydney", "regex": "Canberra", "yes_no": "Canberra"}
    for grader, expected in wanted.items():
        labels = "labels: [Canberra, Sydney]\n" if grader == "yes_no" else ""
        cases = "".join(f"  - {{id: c{place}, expected: {expected}}}\n" for place in range(len(answers)))
        pytester.path.joinpath(f"{grader}.yaml").write_text(
            f"suite: {grader}\ngrader: {grader}\n{labels}prompt: {{completion: 'Which city?'}}\ncases:\n{cases}"
        )
    lines = [json.dumps({"case": f"c{place}", "answer": answer}) for place, answer in enumerate(answers)]
    pytester.path.joinpath("answers.jsonl").write_text("\n".join(lines))
    suites = [f"{grader}.yaml" for grader in wanted]

    result = pytester.runpytest(
        "--llm-model=m=recorded:answers.jsonl",
        "--llm-no-fail",
        "--benchmark-quiet",
        "--benchmark-json=run.json",
        *suites,
    )

    assert result.ret == 0
    block = json.loads(pytester.path.joinpath("run.json").read_text())["llmbench"]
    outcomes = {(record["suite"], record["outcome"]) for record in block["unmeasured"]}
    assert outcomes == {("exact", "passed"), ("contains", "failed"), ("regex", "passed"), ("yes_no", "passed")}
    assert {record["samples"][0]["reasoning"] for record in block["unmeasured"]} == {THOUGHT}
