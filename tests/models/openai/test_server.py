"""Servers that a run starts and stops itself: real processes, small ones."""

import os
import shlex
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from pytest_llmbench.errors import ModelFault, UsageFault
from pytest_llmbench.models.base import OpenSettings
from pytest_llmbench.models.entries import OpenAIEntry
from pytest_llmbench.models.openai.provider import PROVIDER
from pytest_llmbench.models.openai.server import Server
from pytest_llmbench.values import PromptStyle

SERVER = """
import json, os, subprocess, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    n_before = n_asked = 0
    def do_GET(self):
        Handler.n_before += 1
        self.reply(503 if Handler.n_before < 3 else 404, {})
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        print("asked for", asked.get("max_tokens"), flush=True)
        if "--dead" in sys.argv:
            return self.reply(500, {"error": "EngineDeadError"})
        self.reply(200, {"choices": [{"message": {"content": "served"}}]})
        Handler.n_asked += 1
        if "--once" in sys.argv and Handler.n_asked == 2:
            print("no more", flush=True)
            os._exit(7)
    def reply(self, status, body):
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)
children = [
    subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"], start_new_session=is_apart)
    for is_apart in (False, True)
]
print("pids", os.getpid(), *(child.pid for child in children), flush=True)
HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
"""Answers 503 to the first looks and 404 to the next; has one child in its session and one out of it."""


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    (tmp_path / "server.py").write_text(SERVER)


COMMAND = f"{shlex.quote(sys.executable)} -S server.py {{port}}"


def served(serve=COMMAND, **fields):
    return OpenAIEntry.model_validate(
        {"provider": "openai", "model": "org/m:1", "stream": False, "serve": serve, **fields}
    )


def python(code):
    return f"{shlex.quote(sys.executable)} -S -c {shlex.quote(code)} {{port}}"


def opened(entry):
    return PROVIDER.open(entry, OpenSettings(timeout_s=5))


def log():
    """Find the log of the one server there was."""
    (found,) = Path(".llmbench").glob("serve-org-m-1-*.log")
    return found


def pids_in_log():
    _, *pids = next(line for line in log().read_text().splitlines() if line.startswith("pids")).split()
    return [int(pid) for pid in pids]


def are_gone(pids, within_s=10.0):
    """Wait for processes to end; an orphan that nobody reaps is gone too."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        if not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in pids):
            return True
        time.sleep(0.02)
    return False


def test_served(openai_requests):
    """The server is started, waited for while it loads, asked, and stopped with its children, those of another session too."""
    model = opened(served())
    pids = pids_in_log()

    (answer,) = model.answer(openai_requests("hello"))
    model.close()
    model.close()

    assert answer.text == "served"
    assert len(pids) == 3
    assert are_gone(pids, within_s=0.1)


def test_a_server_that_generates_nothing_is_found_out():
    """It lists its models; one token is asked for before the run begins, and its fault ends it. Nothing is left."""
    with pytest.raises(ModelFault, match=r'"org/m:1" is there and generates nothing: .*HTTP 500: .*EngineDeadError'):
        opened(served(f"{COMMAND} --dead"))

    assert "asked for 1\n" in log().read_text()
    assert are_gone(pids_in_log(), within_s=0.1)


def test_identity(openai_requests):
    """The identity names the program and a digest of the command, neither the port nor what may be secret in it."""
    settings = []
    for _ in range(2):
        with opened(served(f"{COMMAND} --api-key sk-secret")) as model:
            settings.append(model.identity.settings)

    assert settings[0] == settings[1]
    assert settings[0]["base_url"] == "served"
    assert settings[0]["serve"].startswith(f"{Path(sys.executable).name} sha256:")
    assert "secret" not in repr(settings)


def test_logs_of_their_own():
    """Servers of one model at the same time, as under -n, have a log each, named by the port."""
    code = "import sys, http.server as h; print('at', sys.argv[1], flush=True); "
    code += "h.HTTPServer(('127.0.0.1', int(sys.argv[1])), h.BaseHTTPRequestHandler).serve_forever()"
    entry = served(python(code))

    with opened(entry), opened(entry):
        logs = list(Path(".llmbench").glob("serve-*.log"))

    assert len(logs) == 2
    for path in logs:
        assert path.name == f"serve-org-m-1-{path.read_text().splitlines()[0].removeprefix('at ')}.log"


def test_old_logs_go():
    """Each run leaves a log, and none for ever."""
    Path(".llmbench").mkdir()
    for name, age_s in (("old", 8 * 24 * 3600), ("new", 6 * 24 * 3600)):
        path = Path(f".llmbench/serve-{name}-1.log")
        path.touch()
        os.utime(path, (time.time() - age_s,) * 2)

    opened(served()).close()

    assert len(list(Path(".llmbench").glob("serve-new-*.log"))) == 1
    assert not list(Path(".llmbench").glob("serve-old-*.log"))


def test_address_of_its_own(openai_requests):
    """A command without a port is asked where base_url says; a base_url may take the port too."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    fixed = served(f"{sys.executable} -S server.py {port}", base_url=f"http://127.0.0.1:{port}/other")
    with_port = served(base_url="http://localhost:{port}/other")

    for entry in (fixed, with_port):
        with opened(entry) as model:
            assert model.answer(openai_requests("hello"))[0].text == "served"


def test_only_looked_at():
    """To tell its style, nothing is started."""
    assert PROVIDER.prompt_style(served()) is PromptStyle.CHAT
    assert not Path(".llmbench").exists()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"serve": "no-such-server --port {port}"},
            'Model "org/m:1" cannot be served: there is no command "no-such-server"; install it, '
            "or write its path in serve.",
        ),
        (
            {"serve": "python server.py"},
            'Model "org/m:1" has a serve without {port}: write {port} where the command takes its port, '
            "or say in base_url where the server answers.",
        ),
        (
            {"serve": "python 'server.py {port}"},
            'Model "org/m:1" has a serve that cannot be read (No closing quotation); check its quotes.',
        ),
        ({"serve": " "}, 'Model "org/m:1" has an empty serve; write the command of a server, or leave it out.'),
    ],
)
def test_usage_faults(entry, message):
    """A command that cannot be started is told before anything is asked of any model."""
    with pytest.raises(UsageFault) as raised:
        PROVIDER.prompt_style(served(**entry))

    assert str(raised.value) == message


def test_ends_early():
    """A server that ends before it answers is a fault with its exit status, its last words and its log."""
    entry = served(python("print('loading', flush=True); raise SystemExit('CUDA out of memory')"))

    with pytest.raises(ModelFault) as raised:
        opened(entry)

    assert str(raised.value) == (
        'The server of model "org/m:1" ended with exit status 1; its last lines: loading | CUDA out of memory; '
        f"all of them are in {log()}."
    )
    assert log().read_text() == "loading\nCUDA out of memory\n"


def test_ends_in_silence():
    """A server that is killed before it says anything is told by its signal, as shells do."""
    with pytest.raises(ModelFault, match=r'^The server of model "org/m:1" ended with exit status 137; it printed'):
        opened(served(python("import os; os.kill(os.getpid(), 9)")))


def test_not_executable():
    """What is found but cannot be run is told in the system's words."""
    Path("server").write_bytes(b"\x7fnothing")
    Path("server").chmod(0o755)

    with pytest.raises(ModelFault, match=r"exit status 127; its last lines: ./server: Exec format error; all"):
        opened(served("./server {port}"))


def test_never_ready():
    """A server that never answers is stopped when its time is over."""
    code = "import os, time; print('pids', os.getpid(), flush=True); time.sleep(600)"

    with pytest.raises(ModelFault) as raised:
        opened(served(python(code), serve_timeout_s=1))

    assert str(raised.value).startswith('The server of model "org/m:1" did not answer at http://127.0.0.1:')
    assert str(raised.value).endswith(f"/v1 within 1 s; see {log()}, or give it more time with serve_timeout_s.")
    assert are_gone(pids_in_log())


def test_port_taken():
    """A port where something answers already is a fault: it would be asked in place of the model."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        with pytest.raises(ModelFault) as raised:
            opened(served(f"{sys.executable} server.py {port}", base_url=f"http://127.0.0.1:{port}/v1"))

    assert str(raised.value) == (
        f'The server of model "org/m:1" cannot have port {port}: something answers there already; '
        "stop it, or leave serve out to use it."
    )
    assert not Path(".llmbench").exists()


def test_log_that_cannot_be_written():
    """Where there can be no log, nothing is started."""
    Path(".llmbench").write_text("a file")

    with pytest.raises(ModelFault, match=r"^The log of model \"org/m:1\" cannot be written to \.llmbench/serve-org"):
        opened(served())


def test_dies_in_the_run(openai_requests):
    """When the server dies in the middle, all further requests are told so at once, with its last words."""
    with PROVIDER.open(served(f"{COMMAND} --once"), OpenSettings(timeout_s=5, concurrency=1)) as model:
        first, *others = model.answer(openai_requests(*(f"prompt {number}" for number in range(200))))

    assert first.text == "served"
    assert {error.is_fatal for error in others} == {True}
    assert "ended with exit status 7; its last lines: " in others[-1].cause
    assert "no more; all of them are in" in others[-1].cause


def test_stubborn():
    """A server that ignores being told to end is killed."""
    code = """
        import signal, sys, os
        from http.server import BaseHTTPRequestHandler, HTTPServer
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("pids", os.getpid(), flush=True)
        HTTPServer(("127.0.0.1", int(sys.argv[1])), BaseHTTPRequestHandler).serve_forever()
    """
    server = Server(served(python(textwrap.dedent(code))), grace_s=0.2)
    pids = pids_in_log()

    server.close()

    assert are_gone(pids, within_s=0.1)


OPENER = """
import sys, time
from pytest_llmbench.models import OpenSettings
from pytest_llmbench.models.entries import OpenAIEntry
from pytest_llmbench.models.openai.provider import PROVIDER
entry = OpenAIEntry(provider="openai", model="org/m:1", serve=sys.argv[1])
model = PROVIDER.open(entry, OpenSettings())
print("open", flush=True)
if sys.argv[2] == "raise":
    raise OSError("something else broke")
if sys.argv[2] == "wait":
    time.sleep(600)
"""


@pytest.mark.parametrize(
    ("then", "number"),
    [("wait", signal.SIGKILL), ("wait", signal.SIGINT), ("wait", signal.SIGTERM), ("raise", None), ("end", None)],
    ids=["kill -9", "Ctrl-C", "terminated", "exception", "end"],
)
def test_whatever_happens(then, number):
    """However the process ends that started a server, the server and its children end too."""
    command = [sys.executable, "-c", OPENER, COMMAND, then]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        assert process.stdout.readline() == b"open\n"
        pids = pids_in_log()
        if number is not None:
            os.kill(process.pid, number)

    assert len(pids) == 3
    assert are_gone(pids)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not kill a child with its parent")
def test_launcher_killed():
    """The server dies with its launcher, if that is killed."""
    model = opened(served())
    server, *_ = pids = pids_in_log()
    launcher = psutil.Process(server).ppid()

    os.kill(launcher, signal.SIGKILL)

    assert are_gone([server])
    model.close()
    for pid in pids[1:]:  # not covered: its children are nobody's now
        os.kill(pid, signal.SIGKILL)
