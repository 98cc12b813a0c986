"""One answer against the references of its question: read it in every dialect worth trying, run, compare.

An answer is right if one reading of it equals one reference on every instance.  A reading that is unsafe
and comes first among those that parse wins over a later one that happens to be harmless: the model wrote
what it wrote.  A reading that does not carry every argument into what it runs is invalid.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from pytest_llmbench.sql import result_sets
from pytest_llmbench.sql.engine import Engine, FailedError, TooSlowError
from pytest_llmbench.sql.explain import counted, explain
from pytest_llmbench.sql.protocol import Evaluation, Instance, Question
from pytest_llmbench.sql.result_sets import Assignment, Table
from pytest_llmbench.sql.ties import Accepted
from pytest_llmbench.sql.translate import dialects, frozen_clock
from pytest_llmbench.sql.translate.manner import Manner
from pytest_llmbench.sql.translate.translate import NoReading, Reading
from pytest_llmbench.values import Reason

_MAX_MESSAGE_CHARS = 400  # names in it are the model's


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A reference and its results, one an instance."""

    reading: Reading
    results: tuple[Accepted, ...]


class Reader(Protocol):
    """Reads statements for the instances of a question."""

    def read(self, text: str, dialect: str, instance: Instance, manner: Manner) -> Reading | NoReading:
        """Read a text in a dialect."""
        ...

    def dropped(self, reading: Reading, instance: Instance) -> str | None:
        """Give what a reading does not carry into the text that runs."""
        ...


class AnswerEvaluation:
    """The evaluation of one answer against the references of its question."""

    def __init__(
        self, engine: Engine, reader: Reader, question: Question, references: Sequence[Reference], deadline: float
    ) -> None:
        self._engine = engine
        self._reader = reader
        self._question = question
        self._references = references
        self._deadline = deadline

    def evaluate(self, candidates: Sequence[str]) -> Evaluation:
        """Try the texts of the statement, a shorter one only if no dialect can parse the longer."""
        verdict = None
        for text in candidates:
            found, is_parsed = self._try_text(text)
            verdict = verdict if verdict is not None and not is_parsed else found
            if is_parsed:
                break
        if verdict is None:
            raise ValueError("no candidates")
        return verdict

    def _try_text(self, text: str) -> tuple[Evaluation, bool]:
        """Evaluate one text; also tell whether any dialect could parse it."""
        failures: list[NoReading] = []
        wrong: list[tuple[Reading, Evaluation]] = []
        known: dict[str, Evaluation] = {}
        for reading in self._readings(text):
            if isinstance(reading, NoReading):
                is_plain = reading.is_parsed and not wrong and not any(failure.is_parsed for failure in failures)
                if reading.is_unsafe and is_plain:
                    return _refused(reading), True
                failures.append(reading)
                continue
            is_new = reading.sql not in known
            found = known[reading.sql] = self.try_reading(reading) if is_new else known[reading.sql]
            if found.reason is Reason.TOO_SLOW:
                return found, True
            if found.reason is not Reason.CORRECT:
                wrong += [(reading, found)] if is_new else []
            elif (lost := self._lost(reading)) is not None:
                failures.append(lost)
            else:
                return found, True
        return self._gravest(wrong, failures), bool(wrong) or any(failure.is_parsed for failure in failures)

    def _readings(self, text: str) -> Iterator[Reading | NoReading]:
        hint = self._question.dialect
        for dialect in dialects.order(hint, text):
            manner = Manner(is_hinted=hint is not None and dialects.NAMES[hint] == dialect)
            yield self._reader.read(text, dialect, self._question.instances[0], manner)

    def _lost(self, reading: Reading) -> NoReading | None:
        """Refuse a reading that drops an argument."""
        lost = self._reader.dropped(reading, self._question.instances[0])
        if lost is None:
            return None
        return NoReading(dialect=reading.dialect, message=f'"{lost}" cannot be carried over to DuckDB')

    def try_reading(self, reading: Reading) -> Evaluation:
        """Run one reading: correct if it equals a reference on every instance, whatever it may have dropped."""
        assignments: dict[int, list[Assignment] | None] = dict.fromkeys(range(len(self._references)))
        for place, instance in enumerate(self._question.instances):
            sql = frozen_clock.at(reading.sql, instance.now)
            try:
                got = self._engine.run(sql, instance, deadline=self._deadline, has_single=reading.has_single)
            except TooSlowError as fault:
                return self._stopped(reading, instance, sql, str(fault))
            except FailedError as fault:
                return Evaluation(
                    reason=Reason.INVALID,
                    explanation=f"DuckDB does not run it: {fault}",
                    reading=reading.dialect,
                    sql=sql,
                    instance=instance.name,
                )
            left = {
                number: kept for number in assignments if (kept := self._kept(number, assignments[number], got, place))
            }
            if not left:
                return self._separated(reading, instance, sql, got, place, min(assignments))
            assignments = dict(left)
        return self._correct(reading, min(assignments))

    def _kept(self, number: int, before: list[Assignment] | None, got: Table, place: int) -> list[Assignment]:
        """Keep the assignments of columns that hold on this instance as well."""
        reference = self._references[number]
        is_ordered = self._is_ordered(reference)
        extra = self._question.may_have_extra_columns
        found: dict[Assignment, None] = {}
        for want in reference.results[place].tables:
            if before is None:
                found |= dict.fromkeys(
                    result_sets.matches(got, want, is_ordered=is_ordered, may_have_extra_columns=extra)
                )
            else:
                found |= {one: None for one in before if result_sets.rows_match(got, want, one, is_ordered=is_ordered)}
        return list(found)

    def _is_ordered(self, reference: Reference) -> bool:
        asked = self._question.is_ordered
        return reference.reading.is_sorted if asked is None else asked

    def _correct(self, reading: Reading, number: int) -> Evaluation:
        places = len(self._question.instances)
        explanation = f"The result equals the reference's on {'all ' * (places > 1)}{counted(places, 'instance')}."
        ties = zip(self._question.instances, self._references[number].results, strict=True)
        tie = next(((instance.name, result.tie) for instance, result in ties if result.tie is not None), None)
        if tie is not None:
            explanation += f" The reference is tied ({tie[1]} on instance {tie[0]}); any of these rows is accepted."
        return Evaluation(
            reason=Reason.CORRECT,
            explanation=explanation,
            reading=reading.dialect,
            sql=frozen_clock.at(reading.sql, self._question.instances[0].now),
            reference=number,
        )

    def _stopped(self, reading: Reading, instance: Instance, sql: str, what: str) -> Evaluation:
        limit = f"{self._question.limit_s:g} s"
        explanation = (
            f"It ran longer than {limit} and was stopped."
            if what == "time"
            else "It ran out of memory and was stopped."
        )
        return Evaluation(
            reason=Reason.TOO_SLOW, explanation=explanation, reading=reading.dialect, sql=sql, instance=instance.name
        )

    def _separated(
        self, reading: Reading, instance: Instance, sql: str, got: Table, place: int, number: int
    ) -> Evaluation:
        """Describe where an answer differs from the reference that held out longest."""
        reference = self._references[number]
        want = reference.results[place].tables[0]
        shown = explain(
            got, want, counts=reading.counts and reference.reading.counts, is_ordered=self._is_ordered(reference)
        )
        return Evaluation(
            reason=Reason.WRONG_RESULT,
            explanation=f"The answer {shown.sentence} on instance {instance.name}.",
            reading=reading.dialect,
            sql=sql,
            instance=instance.name,
            difference=shown.difference,
            reference=number,
        )

    def _gravest(self, wrong: Sequence[tuple[Reading, Evaluation]], failures: list[NoReading]) -> Evaluation:
        """Choose the evaluation to report: a result that differs, then a refusal, then the first fault."""
        for reading, found in wrong:
            if found.reason is Reason.WRONG_RESULT:
                lost = self._lost(reading)
                if lost is None:
                    return found
                failures.append(lost)
        unsafe = next((failure for failure in failures if failure.is_unsafe), None)
        if unsafe is not None:
            return _refused(unsafe)
        invalid = next((found for _, found in wrong if found.reason is Reason.INVALID), None)
        if invalid is not None:
            return invalid
        parsed = next((failure for failure in failures if failure.is_parsed), failures[0])
        what = "The answer cannot be run" if parsed.is_parsed else "The answer does not parse"
        return Evaluation(
            reason=Reason.INVALID,
            explanation=f"{what}: {parsed.message[:_MAX_MESSAGE_CHARS]}.",
            reading=parsed.dialect,
        )


def _refused(reading: NoReading) -> Evaluation:
    return Evaluation(
        reason=Reason.UNSAFE,
        explanation=f"The answer was not run: {reading.message[:_MAX_MESSAGE_CHARS]}.",
        reading=reading.dialect,
    )
