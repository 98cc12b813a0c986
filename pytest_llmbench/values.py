"""The values that every room shares: frozen, without behaviour beyond small readings of themselves.

Units stand in the names: `_s` is seconds, `_tokens` a count of tokens.  Shares and
scores lie in 0..1.  The words are those of the field: a *case* is rendered to a
*prompt*, a model gives an *answer*, a grader gives the answer a *grade*.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

if TYPE_CHECKING:
    Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
    """What JSON can hold; tuples are written as lists."""
else:
    Json = Any  # pydantic builds readers of these dataclasses, and on Python 3.11 no recursive alias


@dataclass(frozen=True, slots=True)
class AsTyped:
    """Marks a field that pydantic reads in its own type only: `"1"` is no number, and `1` is no truth value.

    With `most`, a number lies between 0 and that.
    """

    most: float | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """Build pydantic's schema of the field."""
        from pydantic import Field  # loaded with the first reader, not at pytest's start

        strict = Field(strict=True, ge=None if self.most is None else 0, le=self.most)
        if source is not float:
            return handler.generate_schema(Annotated[source, strict])
        # a whole number stays one, and so does True, which a function may give as a score
        return handler.generate_schema(
            Annotated[float, strict] | Annotated[int, strict] | Annotated[bool, Field(strict=True)]
        )


class PromptStyle(StrEnum):
    """How a case is put to a model."""

    CHAT = "chat"
    COMPLETION = "completion"


class Outcome(StrEnum):
    """What became of a sample or a record: three ways, never two."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"


class Reason(StrEnum):
    """The fixed words of a grade (see docs/graders.md)."""

    CORRECT = "correct"
    EMPTY = "empty"
    REFUSAL = "refusal"
    DIFFERENT = "different"
    UNPARSED = "unparsed"
    WRONG_LABEL = "wrong-label"
    FORMAT = "format"
    MISSING_POINTS = "missing-points"
    FORBIDDEN_CLAIM = "forbidden-claim"
    PADDING = "padding"
    WRONG_RESULT = "wrong-result"
    INVALID = "invalid"
    UNSAFE = "unsafe"
    TOO_SLOW = "too-slow"
    NO_SQL = "no-sql"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How a model is to generate. Temperature 0 is greedy.

    `max_tokens` bounds the answer; `reasoning_tokens` is room on top of it, for what a model writes before.
    """

    max_tokens: Annotated[int, AsTyped()] = 256
    temperature: Annotated[float, AsTyped()] = 0.0
    top_p: Annotated[float, AsTyped()] | None = None
    stop: tuple[str, ...] = ()
    seed: Annotated[int, AsTyped()] | None = None
    reasoning_tokens: Annotated[int, AsTyped()] = 0

    @property
    def most_tokens(self) -> int:
        """The most tokens a model may write, reasoning and answer together."""
        return self.max_tokens + self.reasoning_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One chat message."""

    role: str
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A function that a model may call. `parameters` is the JSON schema of its arguments."""

    name: str
    description: str | None = None
    parameters: Mapping[str, Json] | None = field(default=None, hash=False)
    strict: bool | None = None

    @property
    def definition(self) -> dict[str, Json]:
        """The tool as OpenAI's protocol writes it."""
        keys = {"description": self.description, "parameters": self.parameters, "strict": self.strict}
        given = {key: value for key, value in keys.items() if value is not None}
        return {"type": "function", "function": {"name": self.name, **given}}


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A call that a model made of a tool. `arguments` is a text where what it wrote is no JSON object."""

    name: str
    arguments: Mapping[str, Json] | str = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        arguments = self.arguments
        if isinstance(arguments, Mapping):
            arguments = json.dumps(arguments, ensure_ascii=False, default=str) if arguments else ""
        return f"{self.name}({arguments})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What is sent: chat messages or completion text, never both; with messages, the tools that may be called.

    `turns` are what the user says next in a fixed conversation, each of them after an answer.
    """

    messages: tuple[Message, ...] = ()
    text: str | None = None
    tools: tuple[Tool, ...] = ()
    turns: tuple[str, ...] = ()

    @property
    def style(self) -> PromptStyle:
        """Chat if there are messages, else completion."""
        return PromptStyle.CHAT if self.text is None else PromptStyle.COMPLETION

    @property
    def plain_text(self) -> str:
        """As one text, for formats that know no messages: the text, or a lone message, else each with its role."""
        if self.text is not None:
            return self.text
        if len(self.messages) == 1:
            return self.messages[0].content
        return "\n\n".join(f"{message.role}: {message.content}" for message in self.messages)

    @property
    def sha256(self) -> str:
        """Digest of the rendered messages or text, before any chat template, and of any tools and turns."""
        content: object = self.text
        if self.text is None:
            content = [[message.role, message.content] for message in self.messages]
        all_of: list[object] = [self.style, content]
        if self.tools or self.turns:
            all_of.append([tool.definition for tool in self.tools])
        if self.turns:
            all_of.append(self.turns)
        return hashlib.sha256(json.dumps(all_of, ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One prompt to be answered once. `sample` counts from 0.

    `labels` are texts whose probability as the answer is wanted beside it, where the model can give it;
    with `picks_label` the likeliest of them is the answer, and nothing is generated.
    With a `delimiter` they are the choices of a case: each is scored as it is written, behind prompt and delimiter.
    `reply_schema` is a JSON schema that the answer is to follow, where the model can be held to one.
    `inputs` are the case's fields, for a model that takes them beside the prompt; empty for all others.
    `turn` is the number of the turn in a conversation, from 0; `session` the name of the conversation, None where the
    request is all of it.
    `copy` counts the requests of one plan that have the same answer, as far as is known, from 0: at temperature 0
    those that are equal in all but suite and case.
    """

    suite: str
    case: str
    sample: int
    prompt: Prompt
    sampling: Sampling
    labels: tuple[str, ...] = ()
    picks_label: bool = False
    delimiter: str | None = None
    reply_schema: Mapping[str, Json] | None = None
    inputs: Mapping[str, Json] = field(default_factory=dict)
    turn: int = 0
    session: str | None = None
    copy: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a model gave for one request, with the times measured where it was called.

    `text` is what is graded; `reasoning` is what the model wrote before it, None where there is none.
    `reasoning_tokens` counts the tokens of the reasoning, where the server or the decoding counts them.
    `refusal` is why no answer was given, where the provider reported it beside the text: its filter, or the
    model's own refusal.
    `latency_s` runs from the sending to the last token, `ttft_s` to the first
    non-empty piece of any kind, `ttfa_s` to the first of the answer; None where nobody measured.
    `concurrency` is the number of requests in flight, or of rows in the batch, the time was measured under.
    `label_logprobs` is the natural logarithm of the probability of each of the request's labels as
    the answer, or of each choice as what follows the delimiter; None where the model cannot give it.
    `tool_calls` are the tools it called, in their order.
    `cost_usd` is what it cost, where an application reports that.
    `turns` are the answers of a conversation, of which this is the last; empty where it is the only one.
    `app` is what else an application gave beside its text: `context`, `data`.
    `node` is the number of the node of a cluster that gave it; None without a cluster.
    """

    text: str
    finish_reason: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    latency_s: float | None = None
    ttft_s: float | None = None
    concurrency: int | None = None
    attempts: int = 1
    reused: bool = False
    label_logprobs: Mapping[str, float] | None = None
    reasoning: str | None = None
    reasoning_tokens: int | None = None
    ttfa_s: float | None = None
    refusal: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    cost_usd: float | None = None
    turns: tuple["Answer", ...] = ()
    app: Mapping[str, Json] = field(default_factory=dict)
    node: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerError:
    """A request that got no answer: the harness or the backend broke, the model was not wrong.

    `is_fatal` says that no further request can succeed either (a refused key).
    """

    cause: str
    attempts: int = 1
    concurrency: int | None = None
    is_fatal: bool = False


CUT_OFF = "length"
"""The finish reason where the limit of tokens ended an answer, or its reasoning."""

CONTENT_FILTER = "content_filter"
"""The finish reason where a filter of the provider ended an answer, or kept it from beginning."""

Arrived: TypeAlias = Callable[[int, Answer | AnswerError], None]
"""Called as a request's answer arrives, with the request's index."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Grade:
    """What a grader decided on one answer.

    `score` lies in 0..1; `reason` is one of the fixed words; `explanation` is a sentence
    for people; `format_ok` is None where no format is asked; `parts` holds named
    details that go to the JSON as they are.
    """

    score: float
    passed: bool
    reason: str
    explanation: str
    format_ok: bool | None = None
    parts: Mapping[str, Json] = field(default_factory=dict)

    @property
    def outcome(self) -> Outcome:
        """Passed or failed; a grade is never an error."""
        return Outcome.PASSED if self.passed else Outcome.FAILED

    def __str__(self) -> str:
        return f"{self.reason} (score {self.score:.2f}): {self.explanation}"

    def __repr__(self) -> str:
        # what pytest shows of `assert llm_grade.passed, llm_grade`; both texts may quote a model, so they are escaped
        return f"<Grade {repr(str(self.reason))[1:-1]} (score {self.score:.2f}): {self.explanation!r}>"


class Side(StrEnum):
    """The sides of a split suite: models are trained on one, and judged on the other."""

    TRAIN = "train"
    HELD_OUT = "held-out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """How a suite is divided: `train` is the share of its train side, `salt` gives another division."""

    train: Annotated[float, AsTyped(1)]
    salt: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row of a suite.

    `inputs` are what the prompt templates see; `rules` are the case's fields for the
    grader, already checked (an instance of the grader's `case_fields`); `expected` is
    the plain expected text where the case has one.  `line` is where it stands in
    `path` (for data files without lines, the row).  `side` is None in a suite without a split.
    """

    suite: str
    id: str
    inputs: Mapping[str, Json]
    rules: object = None
    expected: str | tuple[str, ...] | None = None
    tags: tuple[str, ...] = ()
    cluster: str | None = None
    side: Side | None = None
    xfail: str | None = None
    sha256: str = ""
    path: Path = field(default_factory=Path)
    line: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """How well a suite's grader must agree with people before it may gate the suite.

    `kappa` is the least lower end of the interval of Cohen's kappa, `tnr` the least share of the answers
    people call wrong that the grader fails.
    """

    kappa: Annotated[float, AsTyped()] = 0.4
    tnr: Annotated[float, AsTyped()] = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerPart:
    """Which part of a text is the answer: the `first` or `last` match of a pattern, `otherwise` where it has none."""

    regex: str
    match: str = "first"
    otherwise: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What a suite was imported from: the kind of source, its file and digest, and the version that imported it.

    `left_out` counts the cases of the source that the suite does not hold; `about` is what else the importer wrote.
    """

    kind: str
    path: str = ""
    sha256: str = ""
    importer: str = ""
    left_out: Annotated[int, AsTyped()] = 0
    notes: tuple[str, ...] = ()
    about: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The most that one answer to a suite may cost, in US dollars, and take, in seconds; None where it may be any."""

    cost_usd: float | None = None
    latency_s: float | None = None


class GateKind(StrEnum):
    """How a suite takes part in the gate, the strictest first."""

    SMOKE = "smoke"
    STATISTICAL = "statistical"
    ADVICE = "advice"


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """One file of cases of one kind, loaded and checked.

    `rules` are the suite's fields for its grader, already checked (an instance of the grader's
    `suite_fields`).  `sampling` is the suite's own; a model's entry may override parts of it.
    `prompt_source` maps each style the suite has to its template texts, as (role, template)
    pairs; for a completion the role is empty.  `trust` is None where the suite asks for none, `split` where no model
    may be trained on it, `source` where it was not imported, `budget` where answers may cost and take anything.
    `tools` go with each chat prompt.  `part` is what is graded of an answer, None for all of it.
    """

    name: str
    path: Path
    grader: str
    cases: tuple[Case, ...]
    rules: object = None
    sampling: Sampling = field(default_factory=Sampling)
    prompt_source: Mapping[PromptStyle, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    sha256: str = ""
    trust: Trust | None = None
    gate: GateKind = GateKind.STATISTICAL
    split: Split | None = None
    tools: tuple[Tool, ...] = ()
    part: AnswerPart | None = None
    source: Source | None = None
    budget: Budget | None = None
