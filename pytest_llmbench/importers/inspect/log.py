"""Read a log of Inspect as suites with their recorded answers.

The prompts are those that were sent, word for word: they are inputs of the cases, and never parsed as templates.
Samples of differently shaped conversations, and several scorers, become several suites.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

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
    unmapped += [
        Unmapped(
            place=place,
            message=f"solver {one}: it may change an answer before it is scored; those mapped are: "
            f"{', '.join(sorted(_SOLVERS))}.",
        )
        for one in dict.fromkeys(str(step.get("solver")) for step in (header.get("plan") or {}).get("steps") or [])
        if one not in _SOLVERS
    ]
    groups = _groups(samples, place)
    suites = []
    for scorer in scorers:
        name = str(scorer.get("name", "")).rpartition("/")[2]
        options = scorer.get("options") or {}
        try:
            reads = read_of(name, options)
            for roles, members in groups[0].items():
                label = "-".join(([name] if len(scorers) > 1 else []) + ([*roles] if len(groups[0]) > 1 else []))
                suites.append(_suite(slug(label), header, name, options, reads, roles, members, groups[1], place))
        except NoCheck as fault:
            unmapped.append(Unmapped(place=place, message=f"scorer {name}: {fault}."))
    return Imported(suites=suites, files=(path,), unmapped=unmapped)


def _in_order(header: Mapping[str, Any], samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give the samples in the order of the dataset, the epochs of each in theirs."""
    ids = (header.get("eval", {}).get("dataset") or {}).get("sample_ids") or []
    order = {str(one): place for place, one in enumerate(ids)}
    return sorted(samples, key=lambda one: (order.get(str(one.get("id")), len(order)), one.get("epoch", 1)))


def _groups(
    samples: Sequence[Mapping[str, Any]], place: Place
) -> tuple[dict[tuple[str, ...], list[tuple[Mapping[str, Any], list[str]]]], list[LeftOut]]:
    """Divide the samples by the roles of the messages that were sent; gives those that cannot be asked again too."""
    found: dict[tuple[str, ...], list[tuple[Mapping[str, Any], list[str]]]] = {}
    left_out: list[LeftOut] = []
    for sample in samples:
        try:
            messages = list(_sent(sample, place))
        except NotMapped as fault:
            given = {"id": sample.get("id"), "input": sample.get("input")}
            left_out.append(LeftOut(given=given, why=(fault.unmapped,)))
            continue
        roles = tuple(role for role, _ in messages)
        found.setdefault(roles, []).append((sample, [text for _, text in messages]))
    return found, left_out


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


def _suite(
    label: str,
    header: Mapping[str, Any],
    scorer: str,
    options: Mapping[str, Any],
    reads: Mapping[str, Any] | None,
    roles: Sequence[str],
    members: Sequence[tuple[Mapping[str, Any], Sequence[str]]],
    refused: Sequence[LeftOut],
    place: Place,
) -> ImportedSuite:
    names = names_of(roles)
    cases: dict[str, ImportedCase] = {}
    numbers: dict[str, int] = {}
    left_out = list(refused)
    answers: list[tuple[int, Mapping[str, Json]]] = []
    verdicts: list[tuple[int, Answer, bool]] = []
    for sample, texts in members:
        name = str(sample.get("id"))
        if name not in cases:
            targets = sample.get("target")
            listed = [str(one) for one in (targets if isinstance(targets, list) else [targets])]
            inputs = dict(zip(names, texts, strict=True))
            checks = (check_of(scorer, options, listed),)
            cases[name] = ImportedCase(inputs=inputs, place=place, name=name, checks=checks, given={"id": name})
            numbers[name] = len(numbers)
        answer = _answer(sample)
        if answer is None:
            continue
        value = (sample.get("scores") or {}).get(scorer, {}).get("value")
        answers.append((numbers[name], answer if value is None else {**answer, "source_verdict": value}))
        if isinstance(value, str | int | float) and value in _RIGHT:
            verdicts.append((numbers[name], Answer(text=str(answer["answer"])), _RIGHT[value]))
    task = header.get("eval", {})
    keys: dict[str, Any] = {"sampling": _sampling(header), "prompt": prompt_of(roles)}
    if reads is not None:
        keys["read"] = dict(reads)
    about = {"task": str(task.get("task", "")), "scorer": scorer, "model": str(task.get("model", ""))}
    about["inspect_ai"] = str((task.get("packages") or {}).get("inspect_ai", ""))
    return ImportedSuite(
        label=label,
        keys=keys,
        cases=tuple(cases.values()),
        left_out=left_out,
        about=about,
        answers=answers,
        verdicts=verdicts,
    )


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
