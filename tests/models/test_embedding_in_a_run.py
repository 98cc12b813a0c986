"""An embedder in a whole run: what the plan shows of it, and what the benchmark JSON holds."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import pytest_llmbench.models.openai.embedding
import pytest_llmbench.plugin.activate
import pytest_llmbench.plugin.fixtures  # noqa: F401 - a run in this process forgets what it imported

SUITE = """\
suite: hours
prompt: {completion: "{{ q }}"}
checks:
  - {contains: Sunday}
  - {similar: {expected: ["We rest on Sundays.", "Closed on Sundays."], model: letters}}
cases:
  - {id: one, q: "?"}
  - {id: two, q: "!"}
"""


@pytest.fixture
def letters() -> Iterator[Any]:
    """Serve embeddings that count small letters, and note what was asked together."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            texts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["input"]
            server.batches.append(texts)
            rows = [
                {"index": place, "embedding": [text.count(chr(97 + letter)) for letter in range(26)]}
                for place, text in enumerate(texts)
            ]
            usage = {"prompt_tokens": 10 * len(texts), "total_tokens": 10 * len(texts)}
            body = json.dumps({"data": rows, "usage": usage}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        batches: list[list[str]] = []  # noqa: RUF012 - one server a test

    server = Server(("127.0.0.1", 0), Handler)
    server.batches = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_an_embedder_is_planned_asked_once_and_recorded(
    pytester: pytest.Pytester, letters: Any, read_run_strictly: Any
) -> None:
    """The plan counts the texts, the run sends each once, and the JSON says what the embedder is."""
    entry = f'[letters]\nprovider = "openai"\nmodel = "l-1"\nbase_url = "http://127.0.0.1:{letters.server_port}"\n'
    entry += "price = { input_per_million = 0.5, output_per_million = 0 }\n"
    lines = [{"case": case, "answer": "On Sunday we rest."} for case in ("one", "two")]
    files = {"cases/hours.yaml": SUITE, "fixtures/models.toml": entry}
    files["answers.jsonl"] = "".join(json.dumps(line) + "\n" for line in lines)
    pytester.makeini("[pytest]\n")
    for name, text in files.items():
        path = Path(pytester.path / name)
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    options = ("--llm-model", "recorded:answers.jsonl", "cases")

    planned = pytester.runpytest_inprocess(*options, "--llm-plan")
    assert letters.batches == []
    planned.stdout.fnmatch_lines(["The embedder letters would be given up to 4 texts; this is not counted above."])
    run = pytester.runpytest_inprocess(*options, "--benchmark-json=run.json")
    run.assert_outcomes(passed=2)
    run.stdout.fnmatch_lines(["embedder letters: 3 texts, 30 tokens, $0.000015"])

    assert letters.batches == [["On Sunday we rest.", "We rest on Sundays.", "Closed on Sundays."]]
    block = read_run_strictly(pytester.path / "run.json")["llmbench"]
    price = {"input_per_million": 0.5, "output_per_million": 0}
    assert block["embedding"] == {"letters": {"texts": 3, "input_tokens": 30, "price": price}}
    assert block["suites"]["hours"]["embedders"]["letters"]["model"] == "l-1"
    (check,) = [one for one in block["unmeasured"][0]["samples"][0]["parts"]["checks"] if one["kind"] == "similar"]
    assert (check["passed"], check["score"], check["advice"]) == (None, 0.9177, True)


def test_a_limit_on_costs_needs_the_price_of_an_embedder(pytester: pytest.Pytester, letters: Any) -> None:
    """Before anything is asked; with a price it counts."""
    entry = f'[letters]\nprovider = "openai"\nmodel = "l-1"\nbase_url = "http://127.0.0.1:{letters.server_port}"\n'
    files = {"cases/hours.yaml": SUITE, "fixtures/models.toml": entry}
    files["answers.jsonl"] = '{"case": "one", "answer": "On Sunday."}\n{"case": "two", "answer": "On Sunday."}\n'
    pytester.makeini("[pytest]\n")
    for name, text in files.items():
        path = Path(pytester.path / name)
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")

    refused = pytester.runpytest_inprocess("--llm-model", "recorded:answers.jsonl", "--llm-max-cost=1", "cases")

    assert (refused.ret, letters.batches) == (4, [])
    refused.stderr.fnmatch_lines(['*--llm-max-cost needs the price of embedder "letters": add price = { *'])
