"""The check `similar` with an embedder behind an API: a server on loopback that counts letters."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pytest_llmbench.errors import LlmbenchError, ModelFault, SuiteFault
from pytest_llmbench.grading.base import Severity
from pytest_llmbench.grading.checks.similar import embedders_of
from pytest_llmbench.models.base import OpenSettings
from pytest_llmbench.models.catalog import Catalog
from pytest_llmbench.models.embedders import shared_embedders
from pytest_llmbench.models.entries import OpenAIEntry
from pytest_llmbench.models.openai.embedding import EndpointEmbedder
from pytest_llmbench.models.openai.retries import RetryPolicy
from pytest_llmbench.report.terminal.checks import check_lines
from pytest_llmbench.suites.loader import LoadedSuite
from pytest_llmbench.values import Answer, Grade, Json

GradeBy = Callable[..., Grade]
Load = Callable[[str], LoadedSuite]

ENTRIES = """\
[letters]
provider = "openai"
model = "letters-1"
base_url = "{url}"
max_retries = 0

[chatty]
provider = "recorded"
answers = "answers.jsonl"
"""

SUITE = """\
suite: tickets
prompt: {completion: "{{ q }}"}
checks: [{similar: {expected: "{{ want }}", model: letters, min: 0.9}, advice: false}]
cases:
  - {id: one, q: "?", want: abc}
  - {id: two, q: "!", want: xyz}
"""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    status = 200
    batches: list[list[str]]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Serve embeddings that count the letters a to z, and note what was asked together."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert (self.path, asked["model"]) == ("/embeddings", "letters-1")
            made.batches.append(asked["input"])
            rows = [
                {"index": number, "embedding": [text.count(chr(97 + letter)) for letter in range(26)]}
                for number, text in enumerate(asked["input"])
            ]
            body = json.dumps({"model": "letters-1-2026", "data": rows[::-1]}).encode()
            self.send_response(made.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    made = Server(("127.0.0.1", 0), Handler)
    made.batches = []
    threading.Thread(target=made.serve_forever, daemon=True).start()
    file = tmp_path / "models.toml"
    file.write_text(ENTRIES.format(url=f"http://127.0.0.1:{made.server_port}"), encoding="utf-8")
    shared_embedders().use(Catalog(file, {}), OpenSettings(root=tmp_path))
    yield made
    shared_embedders().close()
    made.shutdown()
    made.server_close()


def part(grade: Grade) -> Any:
    """Give what the record holds of the last check."""
    checks: Any = grade.parts["checks"]
    return checks[-1]


CHECK = "{{similar: {{expected: {expected}, model: letters{more}}}{keys}}}"


def similar(expected: str, more: str = "", keys: str = "") -> str:
    return CHECK.format(expected=expected, more=more, keys=keys)


def test_a_check_that_only_measures_is_advice_without_a_verdict(server: Server, grade: GradeBy) -> None:
    """Without a `min` the cosine is recorded, nothing passes or fails, and the grade is that of the other checks."""
    made = grade("aab", "{contains: aab}", similar("ab"))

    found: dict[str, Json] = part(made)
    assert (made.passed, made.score) == (True, 1.0)
    assert {key: found[key] for key in ("passed", "score", "advice")} == {
        "passed": None,
        "score": 0.9487,
        "advice": True,
    }
    assert found["explanation"] == 'similar 0.95 to "ab", found "aab".'
    assert list(check_lines(made.parts)) == [
        'measured similar (advice): similar 0.95 to "ab", found "aab".',
        "passed contains",
    ]


@pytest.mark.parametrize(
    ("answer", "min_", "passes"), [("aab", 0.94, True), ("aab", 0.95, False), (" b ", 1, True), ("zz", 0, True)]
)
def test_the_best_of_several_references_decides_where_it_counts(
    answer: str, min_: float, passes: bool, server: Server, grade: GradeBy
) -> None:
    """With `min` and `advice: false`, the score is the highest cosine, and it passes from `min` on."""
    made = grade(answer, similar("[ab, b]", f", min: {min_}", ", advice: false"))

    assert made.passed is passes
    assert part(made)["reason"] == ("correct" if passes else "different")


def test_a_min_alone_leaves_it_advice(server: Server, grade: GradeBy) -> None:
    """A threshold without `advice: false` passes or fails, and is never counted."""
    made = grade("zz", "{contains: zz}", similar("ab", ", min: 0.5"))

    assert made.passed
    assert (part(made)["passed"], part(made)["advice"]) == (False, True)


def test_references_are_embedded_together_and_each_text_once(server: Server, load: Load, tmp_path: Path) -> None:
    """The first answer takes all references of the suite along; a text that is known is not sent again."""
    suite = load(SUITE)
    grader = suite.kind.build(suite.suite, tmp_path)
    one, two = suite.suite.cases

    scores = [grader(case, Answer(text=text)).score for case, text in ((one, "abc"), (two, "abc"), (two, "xyzz"))]

    assert scores == [1.0, 0.0, 0.9428]
    assert server.batches == [["abc", "xyz"], ["xyzz"]]
    (embedder,) = embedders_of(suite.suite, tmp_path)
    identity = shared_embedders().identity(embedder)
    assert identity is not None
    assert (identity.provider, identity.model, identity.server_model) == ("openai", "letters-1", "letters-1-2026")


def test_what_will_be_asked_anyway_fills_a_batch(server: Server, load: Load, tmp_path: Path) -> None:
    """An answer that must be embedded takes others along that came meanwhile."""
    suite = load(SUITE)
    grader = suite.kind.build(suite.suite, tmp_path)
    answers = [f"{'ab' * number}c" for number in range(1, 101)]
    shared_embedders().further = lambda: answers

    for answer in answers:
        grader(suite.suite.cases[0], Answer(text=answer))

    assert [len(batch) for batch in server.batches] == [64, 37]


def test_an_embedder_that_fails_is_an_error_and_no_wrong_answer(server: Server, grade: GradeBy) -> None:
    """Where the check counts, the sample has no grade; as advice the cause stands in its part."""
    server.status = 500

    with pytest.raises(
        LlmbenchError, match=r'check "similar" could not be tried: .*The embedder "letters-1" gives no '
    ):
        grade("aab", similar("ab", ", min: 0.5", ", advice: false"))
    as_advice = grade("aab", "{contains: a}", similar("ab"))

    assert as_advice.passed
    assert "HTTP 500" in part(as_advice)["error"]
    assert next(check_lines(as_advice.parts)).startswith("broken similar (advice): The embedder")


@dataclass(frozen=True, slots=True, kw_only=True)
class NoPause(RetryPolicy):
    """Pauses of no length, noted."""

    base_s: float = 0
    attempts: list[int] = field(default_factory=list)

    def pause_s(self, attempts: int, asked_s: float | None = None) -> float:
        self.attempts.append(attempts)
        return 0.0


def test_a_server_that_is_down_is_not_waited_for_with_every_answer() -> None:
    """The first answer waits for all its retries, and none behind it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    entry = OpenAIEntry(provider="openai", model="m", base_url=f"http://127.0.0.1:{port}", max_retries=2)
    policy = NoPause()
    embedder = EndpointEmbedder(entry, OpenSettings(), policy)

    for _ in range(3):
        with pytest.raises(ModelFault, match="Cannot connect"):
            embedder.embed(["a"])
    embedder.close()

    assert policy.attempts == [1, 2]


def test_within_another_check_it_must_decide_and_be_advice_or_not(server: Server, grade: GradeBy) -> None:
    """`not` over it says itself whether it counts."""
    within = similar("ab", ", min: 0.5")

    made = grade("zz", f"{{not: {within}, advice: false}}")

    assert made.passed
    with pytest.raises(SuiteFault, match="write `advice: true` or `false` beside `not`"):
        grade("zz", f"{{not: {within}}}")
    with pytest.raises(SuiteFault, match="must decide, and this one has no `min`"):
        grade("zz", f"{{any: [{similar('ab')}], advice: true}}")


FAULTS = {
    "no min": (similar("ab", keys=", advice: false"), "without a `min` in `similar`, nothing is decided; write one"),
    "no model": ("{similar: {expected: ab}}", "model"),
    "no entry": (
        similar("ab").replace("letters", "leters"),
        r'suite.yaml:4: case "one": check similar: there is no model "leters" in .* Did you mean "letters"\?',
    ),
    "answers": (similar("ab").replace("letters", "chatty"), 'provider "recorded", which gives no embeddings; name one'),
}


@pytest.mark.parametrize(("check", "message"), FAULTS.values(), ids=list(FAULTS))
def test_a_check_that_cannot_work_is_named(check: str, message: str, server: Server, grade: GradeBy) -> None:
    """Before anything is asked, with the line of the case."""
    with pytest.raises(SuiteFault, match=message):
        grade("a", "{contains: a}", check)


def test_a_missing_package_is_an_error_before_a_run_and_a_warning_without(load: Load, tmp_path: Path) -> None:
    """`llmbench validate` works on a machine that has no embedder."""
    suite = load(SUITE.replace("letters", '"package:no_such_package/model"'))

    found = [suite.kind.check(suite.suite, tmp_path, is_thorough=thorough) for thorough in (False, True)]

    assert [one.severity for (one,) in found] == [Severity.ERROR, Severity.WARNING]
    assert "pip install no-such-package" in found[0][0].message


@pytest.mark.slow
def test_a_local_embedder_gives_means_that_do_not_depend_on_the_batch(tmp_path: Path) -> None:
    """A random encoder: padding is left out of the mean, vectors have length 1, and the digest of the weights is known."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = ["[PAD]", "[UNK]", "a", "b", "c"]
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]").save_pretrained(tmp_path)
    config = transformers.BertConfig(
        vocab_size=5, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    torch.manual_seed(0)
    network = transformers.BertModel(config)
    network.save_pretrained(tmp_path)
    embedders = shared_embedders()
    embedders.use(Catalog(tmp_path / "none.toml", {}), OpenSettings(cache_dir=tmp_path / "cache"))
    embedder = embedders.named(str(tmp_path), tmp_path, tmp_path)

    together = embedders.vectors(embedder, ["a", "b c a b"])
    embedders.use(Catalog(tmp_path / "none.toml", {}), OpenSettings(cache_dir=tmp_path / "cache"))
    (alone,) = embedders.vectors(embedder, ["a"])

    states = network.eval()(torch.tensor([[2]])).last_hidden_state[0, 0]
    assert together[0] == pytest.approx(alone, abs=1e-5)
    assert alone == pytest.approx((states / states.norm()).tolist(), abs=1e-5)
    assert sum(number * number for number in together[1]) == pytest.approx(1)
    identity = embedders.identity(embedder)
    assert identity is not None
    assert str(identity.weights).startswith("sha256:")
    embedders.close()
