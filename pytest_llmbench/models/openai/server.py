"""A server for the run: started from a model's entry, waited for, and stopped whatever happens.

`serve = "vllm serve ... --port {port}"` is run without a shell, with a free loopback port, in a process group of its
own under a small launcher (`server_process.py`) that outlives this process by just long enough to end the server,
should this process be killed.  What the server prints goes to a log file.
"""

import atexit
import hashlib
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from pytest_llmbench.errors import ModelFault, UsageFault
from pytest_llmbench.models.entries import OpenAIEntry

PORT = "{port}"
POLL_S = 0.1
GRACE_S = 10.0
"""How long a server that is to end may take; then it is killed."""
CLOSE_S = 10.0  # beyond that, for the launcher
LOG_FOLDER = Path(".llmbench")
KEPT_LOG_S = 7 * 24 * 3600
"""Age at which the log of an earlier server is taken away."""
LOG_LINES = 5
LOG_END_BYTES = 4000
LOADING = 503
"""What servers answer while they load their model."""
TOKEN_S = 120.0
"""How long one token may take."""


def check_serve(entry: OpenAIEntry) -> None:
    """Check an entry's `serve` without starting anything.

    Raises:
        UsageFault: it cannot be started.
    """
    if entry.serve is None:
        return
    command = _split(entry)
    if PORT not in entry.serve and entry.base_url is None:
        raise UsageFault(
            f'Model "{entry.model}" has a serve without {PORT}: write {PORT} where the command takes its port, '
            "or say in base_url where the server answers."
        )
    if os.name != "posix":
        raise UsageFault(f'Model "{entry.model}" has serve, which works on Linux and macOS only; give base_url alone.')
    if shutil.which(command[0]) is None:
        raise UsageFault(
            f'Model "{entry.model}" cannot be served: there is no command "{command[0]}"; install it, '
            "or write its path in serve."
        )


def addressed(entry: OpenAIEntry, port: int) -> OpenAIEntry:
    """Give the entry with the address its server has on a port."""
    if entry.serve is None:
        return entry
    url = entry.base_url or f"http://127.0.0.1:{PORT}/v1"
    return entry.model_copy(update={"base_url": url.replace(PORT, str(port))})


def served_name(command: str) -> str:
    """Name a command in an identity: its program, and a digest, since it may hold secrets."""
    digest = hashlib.sha256(command.encode()).hexdigest()[:16]
    return f"{Path(shlex.split(command)[0]).name} sha256:{digest}"


class Server:
    """A running server of a model.

    Args:
        entry: of a model that has `serve`.
        grace_s: how long it may take to end when it is to.

    Raises:
        ModelFault: it ends or does not answer in time, its port is taken, its log cannot be written.
    """

    def __init__(self, entry: OpenAIEntry, grace_s: float = GRACE_S):
        self._grace_s = grace_s
        self.entry = addressed(entry, _free_port())
        self._lock = threading.Lock()
        url = self.entry.base_url or ""
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", entry.model).strip("-.") or "model"
        self._log = LOG_FOLDER / f"serve-{name}-{port}.log"  # servers at the same time have ports of their own
        if _is_taken(parts.hostname or "", port):
            raise ModelFault(
                f'The server of model "{entry.model}" cannot have port {port}: something answers there already; '
                "stop it, or leave serve out to use it."
            )
        self._process = self._start([part.replace(PORT, str(port)) for part in _split(entry)])
        atexit.register(self.close)
        try:
            self._wait(url, entry.serve_timeout_s)
            self._have_a_token(url, entry.serve_timeout_s)
        except BaseException:
            self.close()
            raise

    @property
    def end(self) -> str | None:
        """Why nobody answers, if it has ended by itself; None while it runs."""
        status = self._process.poll()
        if status is None:
            return None
        lines = self._last_lines()
        output = f"its last lines: {lines}; all of them are in {self._log}" if lines else "it printed nothing"
        return f'the server of model "{self.entry.model}" ended with exit status {status}; {output}'

    def close(self) -> None:
        """Stop it, with all that it started; safe to call twice."""
        with self._lock:
            atexit.unregister(self.close)
            if self._process.stdin is not None:
                self._process.stdin.close()
            self._process.terminate()  # a fork of ours may still hold the other end of its input
            try:
                self._process.wait(self._grace_s + CLOSE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _start(self, command: list[str]) -> "subprocess.Popen[bytes]":
        launcher = Path(__file__).with_name("server_process.py")
        with self._opened_log() as log:
            return subprocess.Popen(  # noqa: S603 - the command is the user's own
                # no site packages: what is imported must not wait for, or change with, the environment
                [sys.executable, "-I", "-S", str(launcher), str(os.getpid()), str(self._grace_s), *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # the terminal's Ctrl-C is ours
            )

    def _opened_log(self) -> IO[bytes]:
        try:
            LOG_FOLDER.mkdir(exist_ok=True)
            self._log.unlink(missing_ok=True)
            for old in LOG_FOLDER.glob("serve-*.log"):
                if time.time() - old.stat().st_mtime > KEPT_LOG_S:
                    old.unlink(missing_ok=True)
            return self._log.open("ab")
        except OSError as fault:
            raise ModelFault(
                f'The log of model "{self.entry.model}" cannot be written to {self._log}: {fault.strerror}.'
            ) from None

    def _wait(self, url: str, timeout_s: float) -> None:
        until = time.monotonic() + timeout_s
        while not _answers(f"{url.rstrip('/')}/models"):
            end = self.end
            if end is not None:
                raise ModelFault(f"{end[0].upper()}{end[1:]}.")
            if time.monotonic() > until:
                raise ModelFault(
                    f'The server of model "{self.entry.model}" did not answer at {url} within {timeout_s:g} s; '
                    f"see {self._log}, or give it more time with serve_timeout_s."
                )
            time.sleep(POLL_S)

    def _have_a_token(self, url: str, timeout_s: float) -> None:
        """Have one token generated: a server whose engine is dead may still list its models (vllm#53157).

        What refuses this request as it is written, such as a missing key, says nothing of the engine.
        """
        entry, until = self.entry, time.monotonic() + timeout_s
        limit_s = min(timeout_s, entry.timeout_s or TOKEN_S)
        while (fault := _fault_of(url, entry, limit_s)) is not None:
            end = self.end
            if end is not None:
                raise ModelFault(f"{end[0].upper()}{end[1:]}.")
            if fault != str(LOADING) or time.monotonic() > until:
                raise ModelFault(
                    f'The server of model "{entry.model}" is there and generates nothing: a request for one token met '
                    f"{fault}; see {self._log}."
                )
            time.sleep(POLL_S)

    def _last_lines(self) -> str:
        with self._log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - LOG_END_BYTES))
            lines = log.read().decode(errors="replace").splitlines()
        return " | ".join(line.strip() for line in lines[-LOG_LINES:] if line.strip())


def _split(entry: OpenAIEntry) -> list[str]:
    try:
        command = shlex.split(entry.serve or "")
    except ValueError as fault:
        raise UsageFault(
            f'Model "{entry.model}" has a serve that cannot be read ({fault}); check its quotes.'
        ) from None
    if not command:
        raise UsageFault(f'Model "{entry.model}" has an empty serve; write the command of a server, or leave it out.')
    return command


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _is_taken(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def _fault_of(url: str, entry: OpenAIEntry, limit_s: float) -> str | None:
    """Ask for one token; give what is wrong, the status of a server that still loads alone, None if nothing is."""
    is_chat = entry.api == "chat"
    asked = {"messages": [{"role": "user", "content": "Hi"}]} if is_chat else {"prompt": "Hi"}
    body = {**entry.extra_body, "model": entry.model, **asked, entry.max_tokens_field: 1}
    request = urllib.request.Request(  # noqa: S310 - the address is the server's own
        f"{url.rstrip('/')}/{'chat/completions' if is_chat else 'completions'}",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    without_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        without_proxy.open(request, timeout=limit_s).close()
    except urllib.error.HTTPError as fault:
        text = fault.read(LOG_END_BYTES).decode(errors="replace").strip()
        fault.close()
        if fault.code == LOADING:
            return str(LOADING)
        is_of_engine = fault.code >= HTTPStatus.INTERNAL_SERVER_ERROR and fault.code != HTTPStatus.NOT_IMPLEMENTED
        return f"HTTP {fault.code}: {text[:300]}" if is_of_engine else None
    except TimeoutError:
        return f"no answer within {limit_s:g} s"
    except (OSError, HTTPException) as fault:
        return str(fault)
    return None


def _answers(url: str) -> bool:
    """Tell whether a server answers, whatever it says, unless that it still loads."""
    without_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        without_proxy.open(url, timeout=2).close()
    except urllib.error.HTTPError as fault:
        fault.close()
        return fault.code != LOADING
    except (OSError, HTTPException):
        return False
    return True
