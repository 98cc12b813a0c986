"""Requests written for a batch runner, and its answers graded."""

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from pytest_llmbench.cli import main
from pytest_llmbench.models.base import OpenSettings
from pytest_llmbench.models.entries import OpenAIEntry
from pytest_llmbench.models.openai.model import OpenAIModel
from pytest_llmbench.models.openai.request_body import request_body
from pytest_llmbench.values import Message, Prompt, Request, Sampling

SUITE = """
suite: capitals
grader: contains
sampling: {max_tokens: 8, temperature: 0.5, stop: ["\\n"], seed: 7}
prompt:
  chat:
    - {role: system, content: Be short.}
    - {role: user, content: "What is the capital of {{ country }}?"}
  completion: "The capital of {{ country }} is"
cases:
  - {id: france, country: France, expected: Paris}
  - {id: cote-d-ivoire, country: Côte d'Ivoire, expected: Yamoussoukro}
  - {id: nowhere, country: Nowhere, expected: none}
"""
MODELS = """
[api]
provider = "openai"
model = "gpt-4o-mini"
max_tokens_field = "max_completion_tokens"
sampling = { top_p = 0.9 }
extra_body = { top_k = 1 }

[base]
provider = "openai"
model = "org/base"
api = "completions"
base_url = "http://127.0.0.1:1/v1"

[torn]
provider = "openai"
model = "m"
prompt_style = "completion"

[local]
provider = "transformers"
model = "org/not-here"
prompt_style = "completion"

[unknown]
provider = "transformers"
model = "org/not-here"

[batch]
provider = "recorded"
answers = "../output.jsonl"
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    Path("pytest.ini").write_text("[pytest]\n")
    Path("cases/.hidden").mkdir(parents=True)
    Path("cases/capitals.yaml").write_text(SUITE, encoding="utf-8")
    Path("cases/other.yaml").write_text("a: 1\n")
    Path("cases/.hidden/capitals.yaml").write_text(SUITE, encoding="utf-8")
    Path("fixtures").mkdir()
    Path("fixtures/models.toml").write_text(MODELS)
    return tmp_path


def exported(*options):
    assert main(["export-requests", "cases", "-o", "requests.jsonl", *options]) == 0
    return [json.loads(line) for line in Path("requests.jsonl").read_text(encoding="utf-8").splitlines()]


def test_lines(project, capsys):
    """A line has the custom id, the method, the path and all that is asked, without a key, a stream, and the stop strings of a chat."""
    lines = exported("--llm-model", "api", "--llm-limit", "2")

    assert capsys.readouterr().out == "wrote 2 requests of 1 suite to requests.jsonl\n"
    assert [line["custom_id"] for line in lines] == ["capitals/france/0", "capitals/cote-d-ivoire/0"]
    assert lines[1] == {
        "custom_id": "capitals/cote-d-ivoire/0",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {
            "model": "gpt-4o-mini",
            "messages": [
                {"role": "system", "content": "Be short."},
                {"role": "user", "content": "What is the capital of Côte d'Ivoire?"},
            ],
            "max_completion_tokens": 8,
            "temperature": 0.5,
            "top_p": 0.9,
            "seed": 7,
            "top_k": 1,
        },
    }


def test_samples(project):
    """Several samples are lines of their own, each with a seed of its own."""
    lines = exported("--llm-model", "base", "--llm-limit", "1", "--llm-samples", "3")

    assert [(line["custom_id"], line["body"]["seed"]) for line in lines] == [
        ("capitals/france/0", 7),
        ("capitals/france/1", 8),
        ("capitals/france/2", 9),
    ]
    assert {line["url"] for line in lines} == {"/v1/completions"}
    assert lines[0]["body"]["prompt"] == "The capital of France is"


def test_local_model(project):
    """A local model whose style is known is asked for by its name, without a look at its weights."""
    lines = exported("--llm-model", "local")

    assert lines[0]["url"] == "/v1/completions"
    assert lines[0]["body"]["model"] == "org/not-here"


def test_other_models_file(project):
    """Another models file, and a model named by its target, can be given."""
    Path("mine.toml").write_text('[mine]\nprovider = "openai"\nmodel = "m-2"\n')

    mine = exported("--llm-model", "mine", "--llm-models-file", "mine.toml")
    named = exported("--llm-model", "openai:m-3")

    assert (mine[0]["body"]["model"], named[0]["body"]["model"]) == ("m-2", "m-3")


def test_what_the_provider_sends(openai_body_of):
    """The body is what the openai provider sends, but for the stream."""
    entry = {"extra_body": {"top_k": 1}, "max_tokens_field": "max_completion_tokens"}
    prompt = Prompt(messages=(Message(role="user", content="hi"),))
    sampling = Sampling(max_tokens=3, temperature=0.5, top_p=0.9, stop=("\n",), seed=1)
    request = Request(suite="s", case="c", sample=0, prompt=prompt, sampling=sampling)

    sent = openai_body_of(request, entry)

    table = {"provider": "openai", "model": "m-1", **entry}
    assert sent.pop("stream") is True
    assert sent.pop("stream_options") == {"include_usage": True}
    assert sent == request_body(OpenAIEntry.model_validate(table), request)


@pytest.fixture
def openai_body_of(monkeypatch):
    """Ask a server on this machine; give the body it got."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    bodies = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(400)
            self.end_headers()

        def log_message(self, *args):
            pass

    def ask(request, fields):
        server = HTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        table = {
            "provider": "openai",
            "model": "m-1",
            "base_url": f"http://127.0.0.1:{server.server_port}/v1",
            **fields,
        }
        with OpenAIModel(OpenAIEntry.model_validate(table), OpenSettings(timeout_s=5)) as model:
            model.answer([request])
        thread.join()
        server.server_close()
        return bodies[0]

    return ask


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["cases", "--llm-model", "batch"],
            'model "batch" is of the provider "recorded", which sends no requests; '
            "name one of openai, or a transformers model with a prompt_style.",
        ),
        (
            ["cases", "--llm-model", "unknown"],
            'model "unknown": it has no prompt_style, and which prompts it takes is not known before it is loaded; '
            'set prompt_style = "chat" or "completion" in its entry.',
        ),
        (
            ["cases", "--llm-model", "torn"],
            'model "torn": prompt_style is "completion", but the api is "chat", which takes chat prompts; '
            "change one of them.",
        ),
        (
            ["cases", "--llm-model", "api", "--llm-samples", "0"],
            "--llm-samples needs a whole number of at least 1, not 0.",
        ),
        (
            ["cases", "--llm-model", "api", "--llm-limit", "-1"],
            "--llm-limit needs a whole number of at least 1, not -1.",
        ),
        (["nowhere", "--llm-model", "api"], "nowhere: no such file or folder."),
        (
            ["cases/other.yaml", "--llm-model", "api"],
            "cases/other.yaml: this is not a suite file; it needs `suite`, and `grader` or `checks`, at its top level.",
        ),
        (
            ["fixtures", "--llm-model", "api"],
            "no suite file found; a suite is a .yaml file with `suite`, and `grader` or `checks`, at its top level.",
        ),
        (["cases", "--llm-model", "api", "-o", "cases"], "-o cases: this is a folder; name a file in it."),
        (
            ["cases", "--llm-model", "api", "-o", "cases/capitals.yaml"],
            "-o cases/capitals.yaml: this would overwrite one of the input files; name another file.",
        ),
        (
            ["cases", "--llm-model", "api", "-o", "fixtures/../fixtures/models.toml"],
            "-o fixtures/../fixtures/models.toml: this would overwrite one of the input files; name another file.",
        ),
    ],
)
def test_usage_faults(project, capsys, arguments, message):
    """What cannot be exported is said, with the way out, and nothing is written."""
    status = main(["export-requests", "-o", "requests.jsonl", *arguments])

    assert (status, capsys.readouterr().err) == (2, f"llmbench: {message}\n")
    assert not Path("requests.jsonl").exists()


def test_there_and_back(project):
    """A batch runner answers the exported lines, in any order, and the recorded provider grades its output."""
    lines = exported("--llm-model", "api", "--llm-samples", "2")
    answers = {"France": "Paris.", "Côte d'Ivoire": "Abidjan."}
    output = []
    for line in reversed(lines):
        country = line["body"]["messages"][-1]["content"].removeprefix("What is the capital of ").removesuffix("?")
        message = {"role": "assistant", "content": answers.get(country)}
        body = {"choices": [{"message": message, "finish_reason": "stop"}], "usage": {"completion_tokens": 2}}
        response = {"status_code": 200, "body": body}
        if country not in answers:
            response = {"status_code": 400, "body": {"error": {"message": "no such place"}}}
        output.append(json.dumps({"id": "r", "custom_id": line["custom_id"], "response": response, "error": None}))
    Path("output.jsonl").write_text("\n".join(output), encoding="utf-8")

    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--llm-model", "batch", "--llm-samples", "2"]
    run = subprocess.run(
        [*command, "--llm-no-fail", "--benchmark-json=run.json", "cases"], capture_output=True, text=True
    )

    assert run.returncode == 1, run.stdout + run.stderr  # for the error
    found = json.loads(Path("run.json").read_text())["llmbench"]
    records = {record["case"]: record for record in found["unmeasured"]}
    assert {case: record["outcome"] for case, record in records.items()} == {
        "france": "passed",
        "cote-d-ivoire": "failed",
        "nowhere": "error",
    }
    assert [sample["answer"] for sample in records["france"]["samples"]] == ["Paris.", "Paris."]
    assert records["nowhere"]["samples"][0]["error"] == "HTTP 400 in the batch: no such place"


def top(*pairs):
    """Give what a chat reply tells of one token: the written one first, and its likeliest others."""
    told = [{"token": token, "logprob": logprob} for token, logprob in pairs]
    return {"content": [{**told[0], "top_logprobs": told}]}


def test_choices_there_and_back(project):
    """A suite of labels asks for the likeliest tokens, and of those the likeliest label is the answer."""
    Path("cases/capitals.yaml").unlink()
    Path("cases/labels.yaml").write_text(
        "suite: labels\ngrader: yes_no\nanswer_by: choice\npositive: 'yes'\n"
        "prompt:\n  chat: [{role: user, content: '{{ q }}'}]\n"
        "cases:\n  - {id: a, q: A?, expected: 'yes'}\n  - {id: b, q: B?, expected: 'no'}\n"
        "  - {id: c, q: C?, expected: 'no'}\n"
    )
    lines = exported("--llm-model", "api")
    replies = {
        "A?": {"message": {"content": "Well"}, "logprobs": top(("Well", -0.5), (" yes", -1.5), (" no", -2.5))},
        "B?": {"message": {"content": "yes"}, "logprobs": top(("yes", -0.1), ("no", -3.0))},
        "C?": {"message": {"content": "no"}},
    }
    rows = [
        {
            "custom_id": line["custom_id"],
            "response": {"status_code": 200, "body": {"choices": [replies[line["body"]["messages"][0]["content"]]]}},
            "error": None,
        }
        for line in lines
    ]
    Path("output.jsonl").write_text("\n".join(map(json.dumps, rows)))

    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--llm-model", "batch", "--llm-no-fail"]
    run = subprocess.run([*command, "--benchmark-json=run.json", "cases"], capture_output=True, text=True)

    assert {(line["body"]["logprobs"], line["body"]["top_logprobs"]) for line in lines} == {(True, 20)}
    assert run.returncode == 1, run.stdout + run.stderr  # for the error
    records = {record["case"]: record for record in json.loads(Path("run.json").read_text())["llmbench"]["unmeasured"]}
    assert {case: record["outcome"] for case, record in records.items()} == {"a": "passed", "b": "failed", "c": "error"}
    assert [records[case]["samples"][0]["answer"] for case in "ab"] == ["yes", "yes"]
    assert "reports no probabilities" in records["c"]["samples"][0]["error"]


def test_probabilities_that_are_only_observed_are_not_asked_for(project):
    """A server without them would refuse every line."""
    suite = Path("cases/capitals.yaml").read_text(encoding="utf-8")
    labels = suite.replace("grader: contains", 'grader: yes_no\npositive: "yes"\nprobabilities: true')
    for word in ("Paris", "Yamoussoukro", "none"):
        labels = labels.replace(f"expected: {word}", 'expected: "no"')
    Path("cases/capitals.yaml").write_text(labels, encoding="utf-8")

    assert not any("logprobs" in line["body"] for line in exported("--llm-model", "api"))
