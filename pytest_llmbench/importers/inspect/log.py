"""Read a log of Inspect as suites with their recorded answers.

The prompts are those that were sent, word for word: they are inputs of the cases, and never parsed as templates.
Samples of differently shaped conversations, and several scorers, become several suites.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from pytest_llmbench.importers.base import (
    Imported,
    ImportedCase,
    ImportedSuite,
    LeftOut,
    NotMapped,
    Place,
    SourceFault,
    Unmapped,
    slug,
)
from pytest_llmbench.importers.inspect.archive import read_log
from pytest_llmbench.importers.inspect.scorers import NoCheck, check_of, read_of
from pytest_llmbench.importers.shapes import Header, LogSample, read_as
from pytest_llmbench.values import Answer, Json

_SETTINGS = {
    "max_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "seed": "seed",
    "stop_seqs": "stop",
}
MOST_TOKENS = 2048
"""What Inspect asks of a model where nothing is set."""

_SOLVERS = frozenset(
    {"generate", "system_message", "user_message", "assistant_message", "prompt_template", "chain_of_thought"}
    | {"multiple_choice"}
)
"""Solvers that send one request, and leave its answer as it is."""

_RIGHT = {"C": True, "I": False, "N": False, 1: True, 0: False}
_ATTACHMENT = "attachment://"


_Roles: TypeAlias = tuple[str, ...]
"""Of the messages that were sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scorer:
    """A scorer of the log; `reads` is the key `read` of its suites."""

    name: str
    options: Mapping[str, Any]
    reads: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Log:
    """A log, its samples with the texts that were sent, and the samples that cannot be asked again."""

    place: Place
    header: Mapping[str, Any]
    groups: Mapping[_Roles, Sequence[tuple[Mapping[str, Any], Sequence[str]]]]
    left_out: Sequence[LeftOut]

    @classmethod
    def of(cls, header: Mapping[str, Any], samples: Sequence[Mapping[str, Any]], place: Place) -> "_Log":
        """Divide the samples by the roles of the messages that were sent."""
        groups: dict[_Roles, list[tuple[Mapping[str, Any], list[str]]]] = {}
        left_out: list[LeftOut] = []
        for sample in samples:
            try:
                messages = list(_sent(sample, place))
            except NotMapped as fault:
                given = {"id": sample.get("id"), "input": sample.get("input")}
                left_out.append(LeftOut(given=given, why=(fault.unmapped,)))
                continue
            roles = tuple(role for role, _ in messages)
            groups.setdefault(roles, []).append((sample, [text for _, text in messages]))
        return cls(place=place, header=header, groups=groups, left_out=left_out)


def read(path: Path) -> Imported:
    """Read a log.

    Raises:
        SourceFault: it is no finished log.
    """
    raw_header, raw_samples = read_log(path)
    header = read_as(Header, raw_header, path, "Inspect")
    samples = _in_order(header, [read_as(LogSample, one, path, "Inspect") for one in raw_samples])
    place = Place(path=path)
    if header.get("status") != "success":
        raise SourceFault(
            f"{path}: the run of this log did not succeed (it is `{header.get('status')}`); import another."
        )
    task = header.get("eval", {})
    scorers = task.get("scorers") or []
    unmapped = [] if scorers else [Unmapped(place=place, message="this log names no scorer, so nothing can be graded.")]
    unmapped += _other_solvers(header, place)
    log = _Log.of(header, samples, place)
    suites = []
    for entry in scorers:
        name, options = str(entry.get("name", "")).rpartition("/")[2], entry.get("options") or {}
        try:
            scorer = _Scorer(name=name, options=options, reads=read_of(name, options))
            for roles in log.groups:
                label = [*([name] if len(scorers) > 1 else []), *(roles if len(log.groups) > 1 else [])]
                suites.append(_suite(slug("-".join(label)), log, scorer, roles))
        except NoCheck as fault:
            unmapped.append(Unmapped(place=place, message=f"scorer {name}: {fault}."))
    return Imported(suites=suites, files=(path,), unmapped=unmapped)


def _other_solvers(header: Mapping[str, Any], place: Place) -> list[Unmapped]:
    steps = (header.get("plan") or {}).get("steps") or []
    mapped = ", ".join(sorted(_SOLVERS))
    return [
        Unmapped(
            place=place,
            message=f"solver {one}: it may change an answer before it is scored; those mapped are: {mapped}.",
        )
        for one in dict.fromkeys(str(step.get("solver")) for step in steps)
        if one not in _SOLVERS
    ]


def _in_order(header: Mapping[str, Any], samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give the samples in the order of the dataset, the epochs of each in theirs."""
    ids = (header.get("eval", {}).get("dataset") or {}).get("sample_ids") or []
    order = {str(one): place for place, one in enumerate(ids)}
    return sorted(samples, key=lambda one: (order.get(str(one.get("id")), len(order)), one.get("epoch", 1)))


def _sent(sample: Mapping[str, Any], place: Place) -> Iterator[tuple[str, str]]:
    messages = sample.get("messages") or []
    if sample.get("sandbox") or sample.get("files") or any(one.get("tool_calls") for one in messages):
        raise NotMapped(f"sample {sample.get('id')}: it uses tools or a sandbox, which no suite has.", place)
    if messages and messages[-1].get("role") == "assistant" and messages[-1].get("source") == "generate":
        messages = messages[:-1]
    for message in messages:
        content = message.get("content")
        if message.get("source") == "generate" or message.get("role") not in ("system", "user", "assistant"):
            raise NotMapped(f"sample {sample.get('id')}: the model answered more than once.", place)
        if isinstance(content, list) and all(part.get("type") == "text" for part in content):
            content = "".join(str(part.get("text", "")) for part in content)
        if not isinstance(content, str):
            raise NotMapped(f"sample {sample.get('id')}: a message is more than text.", place)
        yield str(message["role"]), _attached(content, sample)
    if not messages:
        raise NotMapped(f"sample {sample.get('id')}: no message was sent.", place)


def _attached(text: str, sample: Mapping[str, Any]) -> str:
    found = (sample.get("attachments") or {}).get(text.removeprefix(_ATTACHMENT))
    return str(found) if text.startswith(_ATTACHMENT) and found is not None else text


def _suite(label: str, log: _Log, scorer: _Scorer, roles: _Roles) -> ImportedSuite:
    """Make the suite of the samples with these roles, as one scorer judged them."""
    numbers: dict[str, int] = {}
    cases: dict[str, ImportedCase] = {}
    answers: list[tuple[int, Mapping[str, Json]]] = []
    verdicts: list[tuple[int, Answer, bool]] = []
    for sample, texts in log.groups[roles]:
        name = str(sample.get("id"))
        number = numbers.setdefault(name, len(numbers))
        if name not in cases:
            cases[name] = _case(name, sample, dict(zip(names_of(roles), texts, strict=True)), scorer, log.place)
        answer = _answer(sample)
        if answer is None:
            continue
        value = (sample.get("scores") or {}).get(scorer.name, {}).get("value")
        answers.append((number, answer if value is None else {**answer, "source_verdict": value}))
        if isinstance(value, str | int | float) and value in _RIGHT:
            verdicts.append((number, Answer(text=str(answer["answer"])), _RIGHT[value]))
    keys: dict[str, Any] = {"sampling": _sampling(log.header), "prompt": prompt_of(roles)}
    if scorer.reads is not None:
        keys["read"] = dict(scorer.reads)
    return ImportedSuite(
        label=label,
        keys=keys,
        cases=tuple(cases.values()),
        left_out=log.left_out,
        about=_about(log.header, scorer),
        answers=answers,
        verdicts=verdicts,
    )


def _case(
    name: str, sample: Mapping[str, Any], inputs: Mapping[str, str], scorer: _Scorer, place: Place
) -> ImportedCase:
    targets = sample.get("target")
    listed = [str(one) for one in (targets if isinstance(targets, list) else [targets])]
    checks = (check_of(scorer.name, scorer.options, listed),)
    return ImportedCase(inputs=inputs, place=place, name=name, checks=checks, given={"id": name})


def _about(header: Mapping[str, Any], scorer: _Scorer) -> dict[str, str]:
    task = header.get("eval", {})
    return {
        "task": str(task.get("task", "")),
        "scorer": scorer.name,
        "model": str(task.get("model", "")),
        "inspect_ai": str((task.get("packages") or {}).get("inspect_ai", "")),
    }


def names_of(roles: Sequence[str]) -> list[str]:
    """Name the inputs that hold the messages."""
    return [f"message_{number}_{role}" for number, role in enumerate(roles, start=1)]


def prompt_of(roles: Sequence[str]) -> dict[str, Any]:
    """Give the prompt of a suite whose inputs are messages of these roles."""
    pairs = zip(roles, names_of(roles), strict=True)
    return {"chat": [{"role": role, "content": f"{{{{ {name} }}}}"} for role, name in pairs]}


def _answer(sample: Mapping[str, Any]) -> dict[str, Json] | None:
    output = sample.get("output") or {}
    if sample.get("error") or not output.get("choices"):
        return None
    text = _attached(str(output.get("completion") or ""), sample)
    usage = output.get("usage") or {}
    found: dict[str, Json] = {"answer": text}
    if isinstance(output.get("time"), int | float):
        found["latency_s"] = output["time"]
    found |= {key: usage[key] for key in ("input_tokens", "output_tokens") if isinstance(usage.get(key), int)}
    return found


def _sampling(header: Mapping[str, Any]) -> dict[str, Json]:
    given = {
        **(header.get("eval", {}).get("model_generate_config") or {}),
        **(header.get("plan", {}).get("config") or {}),
    }
    found = {own: given[key] for key, own in _SETTINGS.items() if given.get(key) is not None}
    return {"max_tokens": MOST_TOKENS, **found}
