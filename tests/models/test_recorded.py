"""Answers read from files."""

import hashlib
import json
import threading
from dataclasses import replace

import pytest

from pytest_llmbench.errors import ModelFault, UsageFault
from pytest_llmbench.models.base import STOPPED, OpenSettings
from pytest_llmbench.models.entries import RecordedEntry
from pytest_llmbench.models.recorded import PROVIDER
from pytest_llmbench.values import Answer, AnswerError, Prompt, PromptStyle, Request, Sampling


def entry(path, **fields):
    return RecordedEntry.model_validate({"provider": "recorded", "answers": str(path), **fields})


def request(case, sample=0, suite="jokes"):
    return Request(suite=suite, case=case, sample=sample, prompt=Prompt(text="?"), sampling=Sampling())


def completion(text="ok", finish_reason="stop", **more):
    return {"choices": [{"index": 0, "message": {"content": text}, "finish_reason": finish_reason}], **more}


def batch(custom_id, body=None, status=200, error=None):
    response = None if body is None else {"status_code": status, "request_id": "r", "body": body}
    return {"id": "b", "custom_id": custom_id, "response": response, "error": error}


@pytest.fixture
def recorded(tmp_path):
    """Write lines to a file and open it."""

    def write(*lines):
        path = tmp_path / "answers.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        return PROVIDER.open(entry(path), OpenSettings())

    return write


def texts(model, *requests):
    return [getattr(answer, "text", None) for answer in model.answer(requests)]


def test_answer(recorded):
    """A line gives its text, times and tokens; what else stands in it is passed over."""
    model = recorded(
        {
            "case": "sky",
            "answer": "Blue.",
            "latency_s": 1,
            "ttft_s": 0.25,
            "input_tokens": 9,
            "output_tokens": 2,
            "model": "m",
            "verdict": ["right"],
        }
    )

    answers = model.answer([request("sky")])

    assert answers == (Answer(text="Blue.", latency_s=1.0, ttft_s=0.25, input_tokens=9, output_tokens=2),)


def test_nothing_measured(recorded):
    """What was not recorded is unknown, not zero, and nothing was in flight."""
    model = recorded({"case": "sky", "answer": "", "suite": None, "latency_s": None})

    answers = model.answer([request("sky")])

    assert answers == (Answer(text="", latency_s=None, ttft_s=None, input_tokens=None, concurrency=None),)


def test_samples(recorded):
    """The lines of a case are its samples in order; extra ones are ignored, missing ones are errors that say so."""
    model = recorded(
        {"case": "sky", "answer": "first"}, {"case": "sea", "answer": "x"}, {"case": "sky", "answer": "second"}
    )

    answers = model.answer([request("sky", 1), request("sky"), request("sea"), request("sea", 1), request("sun")])

    assert [answer.text for answer in answers[:3]] == ["second", "first", "x"]
    path = model._recording.path
    assert answers[3:] == (
        AnswerError(
            cause=f'no recorded answer for case "sea" of suite "jokes", sample 2, in {path}, which has 1 of it; '
            "add a line."
        ),
        AnswerError(
            cause=f'no recorded answer for case "sun" of suite "jokes", sample 1, in {path}, which has none of it; '
            "add a line."
        ),
    )


def test_suites(recorded):
    """A line that names a suite counts for that one only, one that names none counts for all."""
    model = recorded(
        {"case": "sky", "answer": "for sql", "suite": "sql"},
        {"case": "sky", "answer": "for any"},
        {"case": "sky", "answer": "for jokes", "suite": "jokes"},
    )

    found = texts(model, request("sky"), request("sky", 1), request("sky", 0, "sql"), request("sky", 1, "sql"))

    assert found == ["for any", "for jokes", "for sql", "for any"]


@pytest.mark.parametrize(
    ("custom_id", "asked"),
    [
        ("sky", request("sky")),
        ("jokes/sky", request("sky")),
        ("jokes/sky/0", request("sky")),
        ("jokes/sky/3", request("sky", 3)),
        ("jokes/2024/1", request("2024", 1)),
        ("team/jokes/sky/1", request("sky", 1, "team/jokes")),
    ],
)
def test_custom_ids(recorded, custom_id, asked):
    """A batch's custom id is the case, the suite and the case, or these and the sample from 0."""
    model = recorded(batch(custom_id, completion("Blue.")))

    assert texts(model, asked, request("sea")) == ["Blue.", None]


def test_batch_out_of_order(recorded):
    """A batch gives its lines in any order; the samples are found by their numbers, and a missing one is an error."""
    model = recorded(batch("jokes/sky/2", completion("c")), batch("jokes/sky/0", completion("a")))

    found = model.answer([request("sky", sample) for sample in range(3)])

    assert [getattr(answer, "text", None) for answer in found] == ["a", None, "c"]
    assert "sample 2, in " in found[1].cause
    assert "has 2 of it" in found[1].cause


def test_batch_of_chats_and_completions(recorded):
    """Chats and completions are read with their tokens and finish reasons; their times are unknown."""
    usage = {"usage": {"prompt_tokens": 9, "completion_tokens": 2}}
    model = recorded(
        batch("sky", completion("Blue.", "content_filter", **usage)),
        batch("sea", {"choices": [{"text": " blue", "finish_reason": "length"}]}),
    )

    answers = model.answer([request("sky"), request("sea")])

    assert answers == (
        Answer(text="Blue.", finish_reason="content_filter", refusal="content filter", input_tokens=9, output_tokens=2),
        Answer(text=" blue", finish_reason="length"),
    )


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        (
            batch("sky", {"error": {"message": "context too long"}}, status=400),
            "HTTP 400 in the batch: context too long",
        ),
        (batch("sky", {}, status=500), "HTTP 500 in the batch: "),
        (
            batch("sky", error={"code": "batch_expired", "message": "not in time"}),
            "the batch failed: not in time",
        ),
        (batch("sky", {"choices": []}), "in the batch: the reply holds no message"),
        (batch("sky", {"error": "overloaded"}), "in the batch: overloaded"),
    ],
)
def test_batch_errors(recorded, line, cause):
    """What failed in the batch is an error of its case, in the server's words."""
    model = recorded(line)

    assert model.answer([request("sky")]) == (AnswerError(cause=cause),)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ('{"case": "a", "answer": "b"', 2, "is no JSON (Expecting ',' delimiter); write one JSON object a line"),
        ("[" * 100_000 + "]" * 100_000, 2, "is nested too deep; write it flatter"),
        ('["a", "b"]', 2, 'is no JSON object; write {"case": ..., "answer": ...}'),
        ('{"n": 1' + "0" * 5_000 + "}", 2, "has a number with too many digits to be read; correct it"),
        ('{"answer": "b"}', 2, 'has no "case"; a recorded answer needs "case" and "answer" as texts'),
        ('{"case": "a"}', 2, 'has no "answer"; a recorded answer needs "case" and "answer" as texts'),
        ('{"case": 7, "answer": "b"}', 2, 'has 7 as its "case"; a recorded answer needs "case" and "answer" as texts'),
        (
            '{"case": "a", "answer": null}',
            2,
            'has null as its "answer"; a recorded answer needs "case" and "answer" as texts',
        ),
        *(
            (
                f'\n\n{{"case": "a", "answer": "b", "latency_s": {value}}}',
                4,
                f"has {value} as its latency_s; it must be seconds, 0 or more, or left out",
            )
            for value in ("-0.1", "NaN", "Infinity", '"1"', "true", "9" * 40)
        ),
        (
            '{"case": "a", "answer": "b", "input_tokens": 1.5}',
            2,
            "has 1.5 as its input_tokens; it must be a whole number, 0 or more, or left out",
        ),
        (
            '{"custom_id": "/a", "response": {}}',
            2,
            'has the custom_id "/a"; it must be SUITE/CASE/SAMPLE, SUITE/CASE or CASE',
        ),
        (
            '{"custom_id": "s/a/first", "response": {}}',
            2,
            'has the custom_id "s/a/first"; it must be SUITE/CASE/SAMPLE, SUITE/CASE or CASE',
        ),
        ('{"custom_id": 7}', 2, "has the custom_id 7; it must be SUITE/CASE/SAMPLE, SUITE/CASE or CASE"),
        (
            '{"custom_id": "a", "method": "POST", "body": {}}',
            2,
            "has a custom_id but no response.body; it must be a line of a batch output file",
        ),
        (
            json.dumps(batch("a", {"output": []})),
            2,
            "has a response.body without `choices`; only batches of chat and completions can be read",
        ),
        (
            json.dumps(batch("s/a/0", completion())) + "\n" + json.dumps(batch("s/a/0", completion())),
            3,
            'has the custom_id "s/a/0" a second time; keep one of the two',
        ),
    ],
)
def test_faults_of_lines(tmp_path, text, line, message):
    """A line that is no answer is named with its file and number, before anything is asked."""
    path = tmp_path / "answers.jsonl"
    path.write_text('{"case": "first", "answer": "x"}\n' + text + "\n", encoding="utf-8")

    with pytest.raises(UsageFault) as raised:
        PROVIDER.prompt_style(entry(path))
    with pytest.raises(UsageFault):
        PROVIDER.open(entry(path), OpenSettings())

    assert str(raised.value) == f"{path}:{line}: this line {message}."


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b'{"case": "a", "answer": "b"}\n\xff\n', ":2: this line is not UTF-8; save the file as UTF-8."),
        (b"", ": this file has no answers; write one JSON object a line, see docs/models.md."),
        (b"\n \r\n", ": this file has no answers; write one JSON object a line, see docs/models.md."),
        (None, ": there is no such file; name the recorded answers in answers."),
    ],
)
def test_faults_of_files(tmp_path, raw, message):
    """A file that is missing, empty or no text is named."""
    path = tmp_path / "answers.jsonl"
    if raw is not None:
        path.write_bytes(raw)

    with pytest.raises(UsageFault) as raised:
        PROVIDER.prompt_style(entry(path))

    assert str(raised.value) == f"{path}{message}"


def test_folder(tmp_path):
    """A folder in the place of a file is told as what cannot be read."""
    with pytest.raises(UsageFault, match=r": this file cannot be read: .+\.$"):
        PROVIDER.prompt_style(entry(tmp_path))


def test_files_of_other_systems(tmp_path):
    """A byte order mark, Windows line ends, no last line end, and line separators within texts are read."""
    path = tmp_path / "answers.jsonl"
    path.write_bytes('\ufeff{"case": "a", "answer": "x\u2028y"}\r\n{"case": "b", "answer": "z"}'.encode())

    model = PROVIDER.open(entry(path), OpenSettings())

    assert texts(model, request("a"), request("b")) == ["x\u2028y", "z"]


def test_prompt_style(tmp_path):
    """Recorded answers take any prompt, unless their entry names a style."""
    path = tmp_path / "answers.jsonl"
    path.write_text('{"case": "a", "answer": "b"}\n')

    styles = [PROVIDER.prompt_style(entry(path, prompt_style=style)) for style in ("auto", "chat", "completion")]

    assert styles == [None, PromptStyle.CHAT, PromptStyle.COMPLETION]


def test_identity(recorded):
    """The identity is the file's name and the digest of its bytes."""
    model = recorded({"case": "a", "answer": "b"})

    assert (model.identity.provider, model.identity.model) == ("recorded", "answers.jsonl")
    assert model.identity.weights == hashlib.sha256(b'{"case": "a", "answer": "b"}\n').hexdigest()


def test_arrived_and_halt(recorded):
    """Each answer is told as it is found; after the halt the rest is stopped, and nobody is told."""
    model = recorded({"case": "a", "answer": "b"})
    halt = threading.Event()
    heard = []

    def arrived(index, answer):
        heard.append((index, answer.text))
        halt.set()

    answers = model.answer([request("a"), request("a")], arrived=arrived, halt=halt)

    assert heard == [(0, "b")]
    assert answers[1] == AnswerError(cause=STOPPED, attempts=0)


def test_closed(recorded):
    """A closed file may be closed again, and says that it is closed when asked."""
    model = recorded({"case": "a", "answer": "b"})

    with model:
        pass
    model.close()

    with pytest.raises(ModelFault, match=r"^answers\.jsonl is closed; open it again\.$"):
        model.answer([request("a")])


def test_many_lines(recorded):
    """Each of ten thousand lines is the answer to its own case, asked in any order."""
    numbers = range(10_000)
    model = recorded(*({"case": f"c{number}", "answer": f"words {number}", "latency_s": 0.5} for number in numbers))

    assert texts(model, *(request(f"c{number}") for number in reversed(numbers))) == [
        f"words {number}" for number in reversed(numbers)
    ]


def test_choices(recorded):
    """The likeliest choice is the answer; a line without the probability of one is an error."""
    model = recorded(
        {"case": "a", "choice_logprobs": {"x": -2, "y": -1.5, "z": -9}},
        {"case": "b", "answer": "x"},
    )
    asked = [replace(request(case), labels=("x", "y"), picks_label=True, delimiter=" ") for case in "ab"]

    likeliest, missing = model.answer(asked)

    assert (likeliest.text, likeliest.label_logprobs["y"], likeliest.finish_reason) == ("y", -1.5, "choice")
    assert missing.cause.endswith('has no log-probability of "x"; write those of all choices to "choice_logprobs".')


@pytest.mark.parametrize("given", [[-1], {}, {"x": "-1"}, {"x": True}, {"x": float("-inf")}])
def test_probabilities_of_choices_are_numbers(recorded, given):
    """Everything else is refused with its line."""
    with pytest.raises(UsageFault, match=r"answers\.jsonl:1: this line has "):
        recorded({"case": "a", "choice_logprobs": given})
