"""Answers from a file instead of a model: published ones, another tool's, or a batch run's.

Two kinds of lines are read, both JSON:

    {"case": "sky", "answer": "It scatters blue light.", "suite": "jokes", "latency_s": 0.8}
    {"custom_id": "jokes/sky/0", "response": {"status_code": 200, "body": {...}}, "error": null}

The first is ours; `suite`, `latency_s`, `ttft_s`, `input_tokens` and `output_tokens` may be left out, other
fields are passed over.  With `choice_logprobs` a line needs no `answer`, in a suite of choices.  The second is the
output of OpenAI's batch API (chat or completions), where the
custom id is `SUITE/CASE/SAMPLE` with the sample from 0, `SUITE/CASE`, or the case id alone.
"""

import hashlib
import json
import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from pytest_llmbench.errors import ModelFault, UsageFault
from pytest_llmbench.models.base import STOPPED, Identity, Opened, OpenSettings, Training, Traits
from pytest_llmbench.models.entries import RecordedEntry
from pytest_llmbench.models.label_forms import LABEL_PICKED
from pytest_llmbench.models.reasoning import AUTO, Marks, marks_of
from pytest_llmbench.models.tool_calls import calls_in
from pytest_llmbench.values import Answer, AnswerError, Arrived, PromptStyle, Request, ToolCall

if TYPE_CHECKING:
    from pytest_llmbench.models.recorded_batch import Batched
    from pytest_llmbench.models.training_manifest import TrainingManifest

LONGEST_S = 1e9  # also keeps out NaN, infinity, and whole numbers no float can hold


class RecordedProvider:
    """Opens files of answers."""

    entry_type = RecordedEntry
    target_field = "answers"

    def traits(self, entry: RecordedEntry) -> Traits:
        """Give the traits of a file: its answers exist already, and nothing is opened but the file."""
        del entry
        return Traits(is_local=False, is_free=True, is_recorded=True, scores_choices=True)

    def prompt_style(self, entry: RecordedEntry) -> PromptStyle | None:
        """Take any style, unless the entry names the one its answers were asked in; read the file.

        Raises:
            UsageFault: the file is missing, or a line of it is no answer.
        """
        Recording(Path(entry.answers))
        self.training(entry)
        return None if entry.prompt_style == "auto" else PromptStyle(entry.prompt_style)

    def open(self, entry: RecordedEntry, settings: OpenSettings) -> "RecordedModel":
        """Read the file.

        Raises:
            UsageFault: as `prompt_style`.
        """
        known = self.training(entry)
        if known is not None:
            known.check_weights_beside(settings.cache_dir)
        recording = Recording(Path(entry.answers), marks_of(entry.reasoning))
        return RecordedModel(recording, None if known is None else known.training)

    def training(self, entry: RecordedEntry) -> "TrainingManifest | None":
        """Give what is known of the training of the model whose answers were recorded.

        Raises:
            UsageFault: the manifest cannot be read.
        """
        if entry.training is None:
            return None
        from pytest_llmbench.models.training_manifest import read_manifest

        return read_manifest(Path(entry.training))


class RecordedModel(Opened):
    """A file of answers, as a model."""

    concurrency = 1

    def __init__(self, recording: "Recording", training: Training | None = None):
        self._recording: Recording | None = recording
        self.identity = Identity(
            provider="recorded", model=recording.path.name, weights=recording.sha256, training=training
        )

    def answer(
        self, requests: Sequence[Request], *, arrived: Arrived | None = None, halt: threading.Event | None = None
    ) -> tuple[Answer | AnswerError, ...]:
        """Look the answers up (see `Model.answer`)."""
        if self._recording is None:
            raise ModelFault(f"{self.identity.model} is closed; open it again.")
        answers: list[Answer | AnswerError] = []
        for index, request in enumerate(requests):
            if halt is not None and halt.is_set():
                answers.append(AnswerError(cause=STOPPED, attempts=0))
                continue
            answers.append(self._recording.find(request))
            if arrived is not None:
                arrived(index, answers[-1])
        return tuple(answers)

    def close(self) -> None:
        """Forget the answers."""
        self._recording = None


_Found: TypeAlias = "Answer | AnswerError | Batched"


class Recording:
    """The answers of a file by suite, case and sample.

    A line that names no suite counts for the case of that id in each suite.  Lines without a number of
    their own are the samples of their case in the order they stand in.

    Raises:
        UsageFault: the file cannot be read, or a line of it is no answer.
    """

    def __init__(self, path: Path, marks: Marks | None = AUTO):
        self.path = path
        self._marks = marks
        raw = _bytes_of(path)
        self.sha256 = hashlib.sha256(raw).hexdigest()
        self._in_order: defaultdict[tuple[str, int], list[tuple[str | None, _Found]]] = defaultdict(list)
        self._numbered: defaultdict[tuple[str, str], dict[int, _Found]] = defaultdict(dict)
        self._samples: dict[tuple[str, str, int], tuple[_Found, ...]] = {}
        for number, line in enumerate(_text_of(raw, path).split("\n"), start=1):  # splitlines() also splits at U+2028
            if line and not line.isspace():
                self._add(_Line(path, number, line))
        if not self._in_order and not self._numbered:
            raise UsageFault(f"{path}: this file has no answers; write one JSON object a line, see docs/models.md.")

    def find(self, request: Request) -> Answer | AnswerError:
        """Give the recorded answer to a request, or the error that there is none."""
        found = self._find(request)
        if isinstance(found, AnswerError):
            return found
        if request.delimiter is not None:
            return self._compared(request, found if isinstance(found, Answer) else found.answer)
        return found if isinstance(found, Answer) else found.to(request, self._marks)

    def _compared(self, request: Request, found: Answer) -> Answer | AnswerError:
        """Answer with the likeliest of the choices of a request."""
        known = found.label_logprobs or {}
        missing = next((choice for choice in request.labels if choice not in known), None)
        if missing is None:
            text = max(request.labels, key=lambda choice: known[choice])
            return replace(found, text=text, finish_reason=LABEL_PICKED)
        cause = f'the recorded answer to case "{request.case}" in {self.path} has no log-probability of "{missing}"'
        return AnswerError(cause=f'{cause}; write those of all choices to "choice_logprobs".')

    def _find(self, request: Request) -> _Found:
        suite, case, sample = request.suite, request.case, request.sample
        key = (suite, case, request.turn)
        numbered = self._numbered.get((suite, case), {}) if request.turn == 0 else {}
        if sample in numbered:
            return numbered[sample]
        if key not in self._samples:
            lines = self._in_order.get((case, request.turn), ())
            self._samples[key] = tuple(answer for only, answer in lines if only in (None, suite))
        samples = self._samples[key]
        if sample < len(samples):
            return samples[sample]
        return AnswerError(
            cause=f'no recorded answer for case "{case}" of suite "{suite}", {_turn(request)}sample {sample + 1}, in '
            f"{self.path}, "
            f"which has {len(samples) + len(numbered) or 'none'} of it; add a line."
        )

    def _add(self, line: "_Line") -> None:
        if "custom_id" not in line.table:
            self._in_order[line.text("case"), line.turn()].append((line.suite(), line.answer()))
            return
        suite, case, sample = line.custom_id()
        if suite is None or sample is None:
            self._in_order[case, 0].append((suite, line.batch_answer()))
        elif sample in self._numbered[suite, case]:
            raise line.fault(f'has the custom_id "{suite}/{case}/{sample}" a second time; keep one of the two')
        else:
            self._numbered[suite, case][sample] = line.batch_answer()


class _Line:
    """One line of the file: a JSON object whose fields are checked as they are read."""

    def __init__(self, path: Path, number: int, line: str):
        self._where = f"{path}:{number}"
        try:
            table = json.loads(line)
        except json.JSONDecodeError as fault:
            raise self.fault(f"is no JSON ({fault.msg}); write one JSON object a line") from None
        except ValueError:  # of Python, which reads no more than 4,300 digits
            raise self.fault("has a number with too many digits to be read; correct it") from None
        except RecursionError:
            raise self.fault("is nested too deep; write it flatter") from None
        if not isinstance(table, dict):
            raise self.fault('is no JSON object; write {"case": ..., "answer": ...}')
        self.table: dict[str, Any] = table

    def fault(self, what: str) -> UsageFault:
        return UsageFault(f"{self._where}: this line {what}.")

    def text(self, key: str) -> str:
        value = self.table.get(key)
        if not isinstance(value, str):
            what = "no" if key not in self.table else f"{json.dumps(value)[:40]} as its"
            raise self.fault(f'has {what} "{key}"; a recorded answer needs "case" and "answer" as texts')
        return value

    def suite(self) -> str | None:
        return None if self.table.get("suite") is None else self.text("suite")

    def answer(self) -> Answer:
        calls = self._tool_calls()
        logprobs = self._choice_logprobs()
        is_without_text = (bool(calls) or logprobs is not None) and self.table.get("answer") is None
        return Answer(
            text="" if is_without_text else self.text("answer"),
            label_logprobs=logprobs,
            tool_calls=calls,
            latency_s=self._seconds("latency_s"),
            ttft_s=self._seconds("ttft_s"),
            input_tokens=self._count("input_tokens"),
            output_tokens=self._count("output_tokens"),
        )

    def _choice_logprobs(self) -> dict[str, float] | None:
        given = self.table.get("choice_logprobs")
        if given is None:
            return None
        numbers = given.values() if isinstance(given, dict) else ()
        if not numbers or any(isinstance(one, bool) or not isinstance(one, int | float) for one in numbers):
            raise self.fault(
                f"has {json.dumps(given)[:40]} as its choice_logprobs; it must be the log-probability of each choice, "
                '{"TEXT": -1.5, ...}'
            )
        if not all(-LONGEST_S < one < LONGEST_S for one in numbers):
            raise self.fault("has a log-probability that is no finite number; a probability of 0 has none")
        return {text: float(one) for text, one in given.items()}

    def _tool_calls(self) -> tuple[ToolCall, ...]:
        listed = self.table.get("tool_calls")
        if listed is None:
            return ()
        is_list = isinstance(listed, list) and all(isinstance(call, dict) for call in listed)
        calls = calls_in(self.table) if is_list else ()
        if not is_list or not all(call.name for call in calls):
            raise self.fault(
                f"has {json.dumps(listed)[:40]} as its tool_calls; it must be a list of "
                '{"name": ..., "arguments": {...}}'
            )
        return calls

    def custom_id(self) -> tuple[str | None, str, int | None]:
        """Split a custom id; case ids hold no slash."""
        custom_id = self.table["custom_id"]
        parts = custom_id.rsplit("/", 2) if isinstance(custom_id, str) else []
        match parts:
            case [case] if case:
                return None, case, None
            case [suite, case] if suite and case:
                return suite, case, None
            case [suite, case, sample] if suite and case and sample.isascii() and sample.isdigit():
                return suite, case, int(sample)
        raise self.fault(
            f"has the custom_id {json.dumps(custom_id)[:80]}; it must be SUITE/CASE/SAMPLE, SUITE/CASE or CASE"
        )

    def batch_answer(self) -> _Found:
        from pytest_llmbench.models.recorded_batch import batch_answer

        return batch_answer(self.table, self.fault)

    def turn(self) -> int:
        """Give the number of the turn, which the file counts from 1."""
        turn = self._count("turn")
        if turn == 0:
            raise self.fault("has the turn 0; turns are counted from 1")
        return 0 if turn is None else turn - 1

    def _seconds(self, key: str) -> float | None:
        value = self.table.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < LONGEST_S:
            raise self.fault(f"has {json.dumps(value)[:40]} as its {key}; it must be seconds, 0 or more, or left out")
        return float(value)

    def _count(self, key: str) -> int | None:
        value = self.table.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self.fault(
                f"has {json.dumps(value)[:40]} as its {key}; it must be a whole number, 0 or more, or left out"
            )
        return value


def _turn(request: Request) -> str:
    return "" if request.session is None else f"turn {request.turn + 1}, "


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UsageFault(f"{path}: there is no such file; name the recorded answers in answers.") from None
    except OSError as fault:
        raise UsageFault(f"{path}: this file cannot be read: {fault.strerror}.") from None


def _text_of(raw: bytes, path: Path) -> str:
    try:
        return raw.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as fault:
        line = raw.count(b"\n", 0, fault.start) + 1
        raise UsageFault(f"{path}:{line}: this line is not UTF-8; save the file as UTF-8.") from None


PROVIDER = RecordedProvider()
