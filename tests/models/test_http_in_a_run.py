"""A service behind a URL in a whole run, as the documentation shows it."""

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import pytest_llmbench.models.http.provider
import pytest_llmbench.plugin.activate
import pytest_llmbench.plugin.fixtures  # noqa: F401 - a run in this process forgets what it imported

PAGE = (Path(__file__).parent.parent.parent / "docs" / "applications.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("## A service behind a URL")[2]
(ENTRY,) = re.findall(r"^```toml\n# fixtures/models.toml\n(.*?)^```", SECTION, re.DOTALL | re.MULTILINE)
SENT, REPLY = (json.loads(block) for block in re.findall(r"^```json\n(.*?)^```", SECTION, re.DOTALL | re.MULTILINE))
(SUITE,) = re.findall(r'^```yaml title="cases/support.yaml"\n(.*?)^```', PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def service() -> Iterator[Any]:
    """Serve the documented reply, and note what comes."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.received.append((self.path, self.headers["Authorization"], body))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(REPLY).encode())

        def log_message(self, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = False
        received: list[tuple[str, str, Any]] = []  # noqa: RUF012 - one server a test

    with Server(("127.0.0.1", 0), Handler) as server:
        server.received = []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_the_documented_service_is_tested_as_shown(
    pytester: pytest.Pytester, service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page's entry sends the page's request and reads the page's reply; nothing is stored without a version."""
    monkeypatch.setenv("APP_AUTH", "Bearer s3cret")
    pytester.makeini("[pytest]\n")
    for name, text in {"cases/support.yaml": SUITE, "fixtures/models.toml": ENTRY}.items():
        (pytester.path / name).parent.mkdir()
        (pytester.path / name).write_text(text.replace("127.0.0.1:8000", f"127.0.0.1:{service.server_port}"))

    options = ("--llm-model", "app", "cases", "-k", "refund", "--llm-reuse", "all", "--benchmark-json=run.json")
    pytester.runpytest_inprocess(*options).assert_outcomes(passed=1, deselected=1)
    pytester.runpytest_inprocess(*options).assert_outcomes(passed=1, deselected=1)

    paths, keys, bodies = zip(*service.received, strict=True)
    assert paths == ("/api/chat",) * 2
    assert keys == ("Bearer s3cret",) * 2
    session = re.compile(r"support-refund-0-[0-9a-f]{12}")
    assert session.fullmatch(SENT["session"])
    assert all(session.fullmatch(body.pop("session")) for body in bodies)
    assert [*bodies] == [{key: value for key, value in SENT.items() if key != "session"}] * 2
    text = (pytester.path / "run.json").read_text()
    sample = json.loads(text)["benchmarks"][0]["extra_info"]["llmbench"]["samples"][0]
    assert (sample["answer"], sample["output_tokens"]) == ("It takes two days.", 5)
    assert sample["parts"]["app"] == {"context": ["Refunds take two days."]}
    assert "s3cret" not in text
