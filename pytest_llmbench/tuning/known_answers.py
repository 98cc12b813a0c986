"""What is known of each case of the train sides: right answers, answers that models gave, surely wrong ones.

Every text has its grade: references are graded here, as an answer would be, and answers of runs keep the grade of
their run if nothing has changed since: the case, its prompt, its grader.  What is left out is counted by reason.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pytest_llmbench.errors import UsageFault, caught
from pytest_llmbench.grading.base import Grader
from pytest_llmbench.models.stops import first_stop
from pytest_llmbench.results.checks import is_same_grader
from pytest_llmbench.results.records import Record, Run, Sample
from pytest_llmbench.suites.loader import LoadedSuite
from pytest_llmbench.suites.split import by_side
from pytest_llmbench.values import CUT_OFF, Answer, Case, Grade, Outcome, Prompt, PromptStyle, Side

LeftOut = Counter[tuple[str, str]]
"""How many are left out, by what they are (case, answer, reference) and why."""

REFERENCE = "reference"
WRONG_LABEL = "label"
"""Sources of texts that no model gave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedRun:
    """A run, and the name that its answers are known by."""

    name: str
    run: Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A text with its grade, and where it is from: `reference`, `label`, or `RUN#ROLE/SAMPLE`.

    `is_cut` is whether the limit of tokens ended it; `order` sorts by source, samples by their number.
    """

    text: str
    score: float
    passed: bool
    source: str
    order: tuple[str, str, int] = ("", "", 0)
    is_cut: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownCase:
    """A case of a train side, with its prompt in the style of the export and what is known of it."""

    loaded: LoadedSuite
    case: Case
    prompt: Prompt
    references: tuple[Known, ...] = ()
    sampled: tuple[Known, ...] = ()
    wrong: tuple[Known, ...] = ()


def style_of(loaded: LoadedSuite, runs: Sequence[NamedRun], wanted: PromptStyle | None) -> PromptStyle:
    """Choose the style of a suite's prompts: the wanted one, that of the runs, else chat where the suite has it.

    Raises:
        UsageFault: the suite does not have it, or the runs have both.
    """
    suite = loaded.suite
    if wanted is None:
        found = {record.prompt_style for one in runs for record in one.run.records if record.suite == suite.name}
        if len(found) > 1:
            raise UsageFault(
                f'the runs asked "{suite.name}" in both prompt styles; choose one with --prompt chat or completion.'
            )
        named = [PromptStyle(word) for word in found if word in tuple(PromptStyle)]
        return named[0] if named else next(style for style in PromptStyle if style in loaded.prompts)
    if wanted not in loaded.prompts:
        has = ", ".join(loaded.prompts)
        raise UsageFault(f"{suite.path} has no {wanted} prompt; give it one, or choose another with --prompt ({has}).")
    return wanted


def train_cases(loaded: LoadedSuite, *, takes_unsplit: bool) -> tuple[Case, ...]:
    """Give the cases that a model may be trained on: the train side.

    Args:
        loaded: the suite.
        takes_unsplit: without a split, give all: then nothing in the suite can decide about the model.

    Raises:
        UsageFault: the suite has no split, or nothing on the train side.
    """
    suite = loaded.suite
    if suite.split is None:
        if takes_unsplit:
            return suite.cases
        raise UsageFault(
            f"{suite.path} has no `split`, so no model may be trained on it: write `split: {{train: 0.5}}` at its top "
            "level, and the other half decides about the model."
        )
    found = by_side(suite.cases)[Side.TRAIN]
    if not found:
        raise UsageFault(
            f"{suite.path} has no case on the train side; give its `split` a larger share or another salt, or write "
            "`split: train` into some cases."
        )
    return found


class Gathering:
    """Gathers what is known of the cases of suites.

    Args:
        graders: those of the suites, by name.
        runs: with graded answers.
        style: of the prompts, None to choose by suite.
        takes_unsplit: see `train_cases`.
    """

    def __init__(
        self,
        graders: Mapping[str, Grader],
        runs: Sequence[NamedRun] = (),
        *,
        style: PromptStyle | None = None,
        takes_unsplit: bool = False,
    ):
        self.left_out: LeftOut = Counter()
        self._graders = graders
        self._runs = runs
        self._style = style
        self._takes_unsplit = takes_unsplit

    def cases(self, suites: Sequence[LoadedSuite]) -> tuple[KnownCase, ...]:
        """Give all cases of the train sides, by suite and id.

        Raises:
            UsageFault: a suite cannot be trained on, or not in this style.
        """
        names = {loaded.suite.name for loaded in suites}
        for one in self._runs:
            self._leave_out("answer", "of another suite", sum(_n(r) for r in one.run.records if r.suite not in names))
        ordered = sorted(suites, key=lambda loaded: loaded.suite.name)
        return tuple(known for loaded in ordered for known in self._of_suite(loaded))

    def _leave_out(self, what: str, why: str, count: int = 1) -> None:
        if count:
            self.left_out[what, why] += count

    def _of_suite(self, loaded: LoadedSuite) -> Iterator[KnownCase]:
        _refuse_conversations(loaded)
        style = style_of(loaded, self._runs, self._style)
        chosen = {case.id: case for case in train_cases(loaded, takes_unsplit=self._takes_unsplit)}
        self._leave_out("case", "held out", len(loaded.suite.cases) - len(chosen))
        sampled: dict[str, list[Known]] = {}
        all_ids = {case.id for case in loaded.suite.cases}
        for one in self._runs:
            version = next((s.grader_version for s in one.run.facts.suites if s.suite == loaded.suite.name), None)
            for record in (record for record in one.run.records if record.suite == loaded.suite.name):
                if record.case not in chosen:
                    self._leave_out(
                        "answer", "held out" if record.case in all_ids else "of an unknown case", _n(record)
                    )
                    continue
                prompt = loaded.prompts[style][record.case]
                change = _change(record, version, loaded, chosen[record.case], prompt)
                if change is not None:
                    self._leave_out("answer", change, _n(record))
                else:
                    sampled.setdefault(record.case, []).extend(self._answers(one.name, record))
        for case_id in sorted(chosen):
            case, prompt = chosen[case_id], loaded.prompts[style][case_id]
            yield KnownCase(
                loaded=loaded,
                case=case,
                prompt=prompt,
                references=tuple(self._references(loaded, case, style)),
                sampled=tuple(sorted(sampled.get(case_id, ()), key=lambda known: known.order)),
                wrong=tuple(self._wrong(loaded, case)),
            )

    def _answers(self, name: str, record: Record) -> Iterator[Known]:
        for number, sample in enumerate(record.samples):
            known = _known(sample, (name, record.role, number))
            if known is None:
                self._leave_out("answer", "error")
            else:
                yield known

    def _references(self, loaded: LoadedSuite, case: Case, style: PromptStyle) -> Iterator[Known]:
        for number, text in enumerate(loaded.kind.references(case)):
            going_on = _going_on(text.strip(), loaded, style)
            known = None if going_on is None else self._graded(loaded, case, going_on, REFERENCE)
            if going_on is None:
                self._leave_out("reference", "does not go on behind the prompt")
            elif known is None or not known.passed:
                self._leave_out("reference", "does not pass")
            else:
                yield replace(known, order=("", REFERENCE, number))

    def _wrong(self, loaded: LoadedSuite, case: Case) -> Iterator[Known]:
        for number, text in enumerate(loaded.kind.wrong_answers(loaded.suite, case)):
            known = self._graded(loaded, case, text, WRONG_LABEL)
            if known is not None and not known.passed:
                yield replace(known, order=("", WRONG_LABEL, number))

    def _graded(self, loaded: LoadedSuite, case: Case, text: str, source: str) -> Known | None:
        """Grade a text as the answer it would be, cut at the suite's stop strings; None where the grader breaks."""
        place = first_stop(text, loaded.suite.sampling.stop)
        cut = (text if place is None else text[:place]).strip()
        grade = caught(self._graders[loaded.suite.name], case, Answer(text=cut))
        if not isinstance(grade, Grade):
            return None
        return Known(text=cut, score=float(grade.score), passed=grade.passed, source=source)


def _refuse_conversations(loaded: LoadedSuite) -> None:
    """Refuse what is more than a prompt and its answer: rows would leave out what the model is sent."""
    prompts = [prompt for of_style in loaded.prompts.values() for prompt in of_style.values()]
    what = "tools" if loaded.suite.tools else "turns" if any(prompt.turns for prompt in prompts) else None
    if what is None and not loaded.suite.prompt_source:
        raise UsageFault(f"{loaded.suite.path} has no `prompt`, only inputs for an application; leave the suite out.")
    if what is not None:
        raise UsageFault(
            f"{loaded.suite.path} has `{what}`, and training data holds one answer in text to each prompt; leave the "
            "suite out."
        )


def _n(record: Record) -> int:
    return len(record.samples)


def _change(record: Record, version: int | None, loaded: LoadedSuite, case: Case, prompt: Prompt) -> str | None:
    """Describe what has changed since a record's answers were graded; None if nothing has."""
    if record.case_sha256 != case.sha256:
        return "the case has changed (another digest)"
    if record.prompt_sha256 != prompt.sha256:
        return "the prompt is another"
    if not is_same_grader(record.grader, loaded.suite.grader) or version not in (None, loaded.kind.version):
        return "another grader or version"
    return None


def _known(sample: Sample, order: tuple[str, str, int]) -> Known | None:
    if sample.outcome is Outcome.ERROR or sample.answer is None or sample.score is None:
        return None
    name, role, number = order
    return Known(
        text=sample.answer.strip(),
        score=float(sample.score),
        passed=sample.outcome is Outcome.PASSED,
        source=f"{name}#{role}/{number}",
        order=order,
        is_cut=sample.finish_reason == CUT_OFF,
    )


def _going_on(text: str, loaded: LoadedSuite, style: PromptStyle) -> str | None:
    """Give a reference as it goes on behind a prompt that has begun it; None where it cannot."""
    word = loaded.kind.begun_word(loaded.suite) if style is PromptStyle.COMPLETION else None
    if word is None:
        return text
    head, rest = text[: len(word)], text[len(word) :]
    return rest.strip() if head.upper() == word and rest[:1].isspace() else None


def distinct(known: Iterable[Known]) -> tuple[Known, ...]:
    """Give each text once, with its first source."""
    first: dict[str, Known] = {}
    for one in known:
        first.setdefault(one.text, one)
    return tuple(first.values())
