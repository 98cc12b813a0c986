"""One answer to a verdict: extract, read in every dialect worth trying, run, compare.

An answer is right if one reading of it equals one reference on every instance.  A reading that is unsafe
and comes first among those that parse wins over a later one that happens to be harmless: the model wrote
what it wrote.  Runs inside the worker.
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from pytest_llmbench.sql import result_sets
from pytest_llmbench.sql.engine import MAX_ROWS, Engine, FailedError, TooSlowError
from pytest_llmbench.sql.explain import explain
from pytest_llmbench.sql.extract.extract import MAX_STATEMENT_BYTES, extract
from pytest_llmbench.sql.protocol import Evaluation, Instance, Question, Trial
from pytest_llmbench.sql.result_sets import Assignment, Table
from pytest_llmbench.sql.translate import dialects, frozen_clock, quotes
from pytest_llmbench.sql.translate.translate import NoReading, Reading, read
from pytest_llmbench.values import Reason

_MAX_MESSAGE_CHARS = 400  # names in it are the model's

_ReadText: TypeAlias = Callable[[str, str, Instance], Reading | NoReading]


class ReferenceFaultError(Exception):
    """A reference cannot be judged by: it does not run, or is empty everywhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A reference and its results, one an instance."""

    reading: Reading
    results: tuple[Table, ...]


class Evaluator:
    """The judge of a worker: it keeps the databases open and the references' results."""

    def __init__(self) -> None:
        self._engine = Engine()
        self._results: dict[tuple[str, Instance], Table] = {}
        self._read = lru_cache(maxsize=2_000)(self._read_text)  # samples repeat themselves
        self._resolve = lru_cache(maxsize=100)(self._resolve_quotes)  # one text is read in eleven dialects

    def prepare(self, question: Question) -> tuple[Reference, ...]:
        """Open the instances and run the references, once each; their time is not the answer's."""
        for instance in question.instances:
            self._engine.open(instance, question.limit_s)
        return tuple(self._reference(sql, question) for sql in question.references)

    def verdict(self, answer: str, question: Question, references: Sequence[Reference]) -> Evaluation:
        """Judge one answer; its queries together have the question's time."""
        deadline = time.monotonic() + question.limit_s
        found = extract(answer)
        if found is None:
            return Evaluation(reason=Reason.NO_SQL, explanation="The answer holds no SQL statement.")
        if not found.candidates:
            size = f"{MAX_STATEMENT_BYTES:,} bytes"
            return Evaluation(
                reason=Reason.INVALID, explanation=f"The statement is longer than {size} and was not read."
            )
        if found.change is not None:
            return Evaluation(reason=Reason.UNSAFE, explanation=f"The answer was not run: it holds {found.change}.")
        return _AnswerEvaluation(self._engine, self._read, question, references, deadline).hear(found.candidates)

    def trials(self, sql: str, instances: Sequence[Instance], limit_s: float) -> tuple[Trial, ...]:
        """Run one reference on each instance and say what came out."""
        trials = []
        for instance in instances:
            self._engine.open(instance, limit_s)
            try:
                reading = self._read_reference(sql, instance)
                table = self._run(reading, instance, limit_s)
            except ReferenceFaultError as fault:
                trials.append(Trial(fault=str(fault)))
            else:
                # sums of floats differ in their last digits with the order of the rows
                rows = [
                    repr([f"{cell:.9g}" if isinstance(cell, float) else cell for cell in row]) for row in table.rows
                ]
                trials.append(
                    Trial(
                        is_sorted=reading.is_sorted,
                        n_rows=len(rows),
                        rows_sha256=_digest(sorted(rows)),
                        ordered_rows_sha256=_digest(rows),
                    )
                )
        return tuple(trials)

    def survivors(self, queries: Sequence[str], question: Question, references: Sequence[Reference]) -> tuple[int, ...]:
        """Give the places of the queries (DuckDB text) that no instance tells from a reference."""
        alive = []
        for place, sql in enumerate(queries):
            deadline = time.monotonic() + question.limit_s
            hearing = _AnswerEvaluation(self._engine, self._read, question, references, deadline)
            reading = self._read(sql, "duckdb", question.instances[0])
            if isinstance(reading, Reading) and hearing.try_reading(reading) is None:
                alive.append(place)
        return tuple(alive)

    def _read_text(self, text: str, dialect: str, instance: Instance) -> Reading | NoReading:
        return read(self._resolve(text, instance), dialect, self._engine.schema(instance), self._engine.functions)

    def _resolve_quotes(self, text: str, instance: Instance) -> tuple[quotes.Spelled, ...]:
        return quotes.resolve(text, self._engine.schema(instance))

    def _reference(self, sql: str, question: Question) -> Reference:
        reading = self._read_reference(sql, question.instances[0])
        results = []
        for instance in question.instances:
            key = (sql, instance)
            if key not in self._results:
                self._results[key] = self._run(reading, instance, question.limit_s)
            results.append(self._results[key])
        if not any(table.rows for table in results):
            raise ReferenceFaultError(
                "it gives no row on any instance, so no answer can be told right; change it or the data."
            )
        return Reference(reading=reading, results=tuple(results))

    def _read_reference(self, sql: str, instance: Instance) -> Reading:
        reading = self._read(sql.strip().rstrip(";"), "duckdb", instance)
        if isinstance(reading, NoReading):
            raise ReferenceFaultError(reading.message)
        return reading

    def _run(self, reading: Reading, instance: Instance, limit_s: float) -> Table:
        sql = frozen_clock.at(reading.sql, instance.now)
        try:
            table = self._engine.run(sql, instance, deadline=time.monotonic() + limit_s)
        except TooSlowError as fault:
            raise ReferenceFaultError(f"it runs out of {fault}") from fault
        except FailedError as fault:
            raise ReferenceFaultError(str(fault)) from fault
        if len(table.rows) > MAX_ROWS:
            raise ReferenceFaultError(f"it gives more than {MAX_ROWS:,} rows")
        return table


class _AnswerEvaluation:
    """The hearing of one answer against the references of its question."""

    def __init__(
        self, engine: Engine, read_text: _ReadText, question: Question, references: Sequence[Reference], deadline: float
    ) -> None:
        self._engine = engine
        self._read = read_text
        self._question = question
        self._references = references
        self._deadline = deadline

    def hear(self, candidates: Sequence[str]) -> Evaluation:
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
        """Judge one text; also tell whether any dialect could parse it."""
        failures: list[NoReading] = []
        wrong: list[Evaluation] = []
        seen: set[str] = set()
        for reading in self._readings(text):
            if isinstance(reading, NoReading):
                is_plain = reading.is_parsed and not wrong and not any(failure.is_parsed for failure in failures)
                if reading.is_unsafe and is_plain:
                    return _refused(reading), True
                failures.append(reading)
            elif reading.sql not in seen:
                seen.add(reading.sql)
                verdict = self.try_reading(reading)
                if verdict is None:
                    return self._correct(reading), True
                if verdict.reason is Reason.TOO_SLOW:
                    return verdict, True
                wrong.append(verdict)
        return _gravest(wrong, failures), bool(wrong) or any(failure.is_parsed for failure in failures)

    def _readings(self, text: str) -> Iterator[Reading | NoReading]:
        for dialect in dialects.order(self._question.dialect, text):
            yield self._read(text, dialect, self._question.instances[0])

    def try_reading(self, reading: Reading) -> Evaluation | None:
        """Run one reading; None if it equals a reference on every instance, which `matched` then numbers."""
        assignments: dict[int, list[Assignment] | None] = dict.fromkeys(range(len(self._references)))
        for place, instance in enumerate(self._question.instances):
            sql = frozen_clock.at(reading.sql, instance.now)
            try:
                got = self._engine.run(sql, instance, deadline=self._deadline)
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
        self.matched = min(assignments)
        return None

    def _kept(self, number: int, before: list[Assignment] | None, got: Table, place: int) -> list[Assignment]:
        """Keep the assignments of columns that hold on this instance as well."""
        reference = self._references[number]
        want = reference.results[place]
        is_ordered = self._is_ordered(reference)
        if before is None:
            extra = self._question.may_have_extra_columns
            return list(result_sets.matches(got, want, is_ordered=is_ordered, may_have_extra_columns=extra))
        return [found for found in before if result_sets.rows_match(got, want, found, is_ordered=is_ordered)]

    def _is_ordered(self, reference: Reference) -> bool:
        asked = self._question.is_ordered
        return reference.reading.is_sorted if asked is None else asked

    def _correct(self, reading: Reading) -> Evaluation:
        places = len(self._question.instances)
        return Evaluation(
            reason=Reason.CORRECT,
            explanation=f"The result equals the reference's on {'all ' * (places > 1)}{_plural(places, 'instance')}.",
            reading=reading.dialect,
            sql=frozen_clock.at(reading.sql, self._question.instances[0].now),
            reference=self.matched,
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
        """Say where an answer differs from the reference that held out longest."""
        reference = self._references[number]
        want = reference.results[place]
        told = explain(
            got, want, counts=reading.counts and reference.reading.counts, is_ordered=self._is_ordered(reference)
        )
        return Evaluation(
            reason=Reason.WRONG_RESULT,
            explanation=f"The answer {told.sentence} on instance {instance.name}.",
            reading=reading.dialect,
            sql=sql,
            instance=instance.name,
            difference=told.difference,
            reference=number,
        )


def _refused(reading: NoReading) -> Evaluation:
    return Evaluation(
        reason=Reason.UNSAFE,
        explanation=f"The answer was not run: {reading.message[:_MAX_MESSAGE_CHARS]}.",
        reading=reading.dialect,
    )


def _gravest(wrong: Sequence[Evaluation], failures: Sequence[NoReading]) -> Evaluation:
    """Choose the verdict to tell: a result that differs, then a refusal, then the first fault."""
    ran = next((verdict for verdict in wrong if verdict.reason is Reason.WRONG_RESULT), None)
    if ran is not None:
        return ran
    unsafe = next((failure for failure in failures if failure.is_unsafe), None)
    if unsafe is not None:
        return _refused(unsafe)
    if wrong:
        return wrong[0]
    parsed = next((failure for failure in failures if failure.is_parsed), failures[0])
    told = "The answer cannot be run" if parsed.is_parsed else "The answer does not parse"
    return Evaluation(
        reason=Reason.INVALID, explanation=f"{told}: {parsed.message[:_MAX_MESSAGE_CHARS]}.", reading=parsed.dialect
    )


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _digest(rows: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(rows).encode(errors="backslashreplace")).hexdigest()
