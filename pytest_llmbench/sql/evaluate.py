"""The references and answers of a worker: extract, read, run, compare.  Runs inside the worker."""

import hashlib
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from pytest_llmbench.sql import ties
from pytest_llmbench.sql.answer import AnswerEvaluation, Reference
from pytest_llmbench.sql.engine import MAX_ROWS, Engine, FailedError, TooSlowError
from pytest_llmbench.sql.extract.extract import MAX_STATEMENT_BYTES, extract
from pytest_llmbench.sql.protocol import Evaluation, Instance, Question, Trial
from pytest_llmbench.sql.result_sets import Table
from pytest_llmbench.sql.ties import Accepted
from pytest_llmbench.sql.translate import frozen_clock, grammar, quotes
from pytest_llmbench.sql.translate.manner import Manner
from pytest_llmbench.sql.translate.translate import NoReading, Reading, Translator
from pytest_llmbench.values import Reason

_UNGROUPED = "must appear in the GROUP BY"  # DuckDB's words for a column that nothing groups by
_STRICT, _LOOSE = Manner(), Manner(groups_loosely=True)


class ReferenceFaultError(Exception):
    """A reference cannot be used: it does not run, or is empty everywhere."""


class Evaluator:
    """Evaluates answers: it keeps the databases open and the references' results."""

    def __init__(self) -> None:
        self._engine = Engine()
        self._translators: dict[Path, Translator] = {}
        self._readings: dict[tuple[str, Instance], Reading] = {}
        self._results: dict[tuple[str, Instance], Accepted] = {}
        self.read = lru_cache(maxsize=2_000)(self._read)  # samples repeat themselves
        self._resolve = lru_cache(maxsize=100)(self._resolve_quotes)  # one text is read in eleven dialects
        self._fault = lru_cache(maxsize=100)(grammar.fault)

    def prepare(self, question: Question) -> tuple[Reference, ...]:
        """Open the instances and run the references, once each; their time is not the answer's."""
        for instance in question.instances:
            self._engine.open(instance, question.limit_s)
        return tuple(self._reference(sql, question) for sql in question.references)

    def evaluate(self, answer: str, question: Question, references: Sequence[Reference]) -> Evaluation:
        """Evaluate one answer; its queries together have the question's time."""
        deadline = time.monotonic() + question.limit_s
        tables = frozenset(self._engine.schema(question.instances[0]).tables)
        found = extract(answer, tables=tables, begins=question.begins)
        if found is None:
            return Evaluation(reason=Reason.NO_SQL, explanation="The answer holds no SQL statement.")
        if not found.candidates:
            size = f"{MAX_STATEMENT_BYTES:,} bytes"
            return Evaluation(
                reason=Reason.INVALID, explanation=f"The statement is longer than {size} and was not read."
            )
        if found.change is not None:
            return Evaluation(reason=Reason.UNSAFE, explanation=f"The answer was not run: it holds {found.change}.")
        return AnswerEvaluation(self._engine, self, question, references, deadline).evaluate(found.candidates)

    def trials(self, sql: str, instances: Sequence[Instance], limit_s: float) -> tuple[Trial, ...]:
        """Run one reference on each instance and report what came out."""
        for instance in instances:
            self._engine.open(instance, limit_s)
        return tuple(self._trial(sql, instance, limit_s) for instance in instances)

    def _trial(self, sql: str, instance: Instance, limit_s: float) -> Trial:
        try:
            reading = self._reference_reading(sql, instance, limit_s)
            accepted = self._accepted(reading, instance, limit_s)
        except ReferenceFaultError as fault:
            return Trial(fault=str(fault))
        # sums of floats differ in their last digits with the order of the rows
        rows = [
            repr([f"{cell:.9g}" if isinstance(cell, float) else cell for cell in row])
            for row in accepted.tables[0].rows
        ]
        return Trial(
            is_sorted=reading.is_sorted,
            is_loose=reading.is_loose,
            tie=None if accepted.tie is None else str(accepted.tie),
            n_rows=len(rows),
            rows_sha256=_digest(sorted(rows)),
            ordered_rows_sha256=_digest(rows),
        )

    def survivors(self, queries: Sequence[str], question: Question, references: Sequence[Reference]) -> tuple[int, ...]:
        """Give the places of the queries (DuckDB text) that no instance tells from a reference."""
        alive = []
        for place, sql in enumerate(queries):
            deadline = time.monotonic() + question.limit_s
            evaluation = AnswerEvaluation(self._engine, self, question, references, deadline)
            reading = self.read(sql, "duckdb", question.instances[0], _STRICT)
            if isinstance(reading, Reading) and evaluation.try_reading(reading).reason is Reason.CORRECT:
                alive.append(place)
        return tuple(alive)

    def dropped(self, reading: Reading, instance: Instance) -> str | None:
        """Give what a reading does not carry into the text that runs."""
        return self._translator(instance).dropped(reading)

    def _read(self, text: str, dialect: str, instance: Instance, manner: Manner) -> Reading | NoReading:
        fault = self._fault(text)
        if fault is not None:
            return NoReading(dialect=dialect, message=f"it has {fault}", is_parsed=False)
        return self._translator(instance).read(self._resolve(text, instance), dialect, manner)

    def _translator(self, instance: Instance) -> Translator:
        if instance.file not in self._translators:
            self._translators[instance.file] = Translator(self._engine.schema(instance), self._engine.functions)
        return self._translators[instance.file]

    def _resolve_quotes(self, text: str, instance: Instance) -> tuple[quotes.Spelled, ...]:
        return quotes.resolve(text, self._engine.schema(instance))

    def _reference(self, sql: str, question: Question) -> Reference:
        read_as = (sql, question.instances[0])
        if read_as not in self._readings:
            self._readings[read_as] = self._reference_reading(*read_as, question.limit_s)
        reading = self._readings[read_as]
        results = []
        for instance in question.instances:
            key = (sql, instance)
            if key not in self._results:
                self._results[key] = self._accepted(reading, instance, question.limit_s)
            results.append(self._results[key])
        if not any(result.tables[0].rows for result in results):
            raise ReferenceFaultError(
                "it gives no row on any instance, so no answer can be correct; change it or the data."
            )
        return Reference(reading=reading, results=tuple(results))

    def _reference_reading(self, sql: str, instance: Instance, limit_s: float) -> Reading:
        """Read a reference as DuckDB's; with columns that nothing groups by, as an answer with such is read."""
        text = sql.strip().rstrip(";")
        reading = self.read(text, "duckdb", instance, _STRICT)
        if isinstance(reading, NoReading):
            raise ReferenceFaultError(reading.message)
        lost = self.dropped(reading, instance)
        if lost is not None:
            raise ReferenceFaultError(f'"{lost}" has no effect in DuckDB; write what DuckDB runs')
        try:
            self._run(reading, instance, limit_s)
        except ReferenceFaultError as fault:
            loose = self.read(text, "duckdb", instance, _LOOSE) if _UNGROUPED in str(fault) else None
            if not isinstance(loose, Reading):
                raise
            return loose
        return reading

    def _accepted(self, reading: Reading, instance: Instance, limit_s: float) -> Accepted:
        """Run a reference and find the results that are as good, where its LIMIT or its order leave some open."""
        own = self._run(reading, instance, limit_s)
        sql = frozen_clock.at(reading.sql, instance.now)
        if not ties.has_order_or_limit(sql):
            return Accepted(tables=(own,))
        deadline = time.monotonic() + limit_s

        def run(text: str) -> Table | None:
            try:
                found = self._engine.run(text, instance, deadline=deadline, has_single=reading.has_single)
            except (TooSlowError, FailedError):
                return None
            return found if len(found.rows) <= MAX_ROWS else None

        return ties.accepted(sql, own, run)

    def _run(self, reading: Reading, instance: Instance, limit_s: float) -> Table:
        sql = frozen_clock.at(reading.sql, instance.now)
        try:
            deadline = time.monotonic() + limit_s
            table = self._engine.run(sql, instance, deadline=deadline, has_single=reading.has_single)
        except TooSlowError as fault:
            raise ReferenceFaultError(f"it runs out of {fault}") from fault
        except FailedError as fault:
            raise ReferenceFaultError(str(fault)) from fault
        if len(table.rows) > MAX_ROWS:
            raise ReferenceFaultError(f"it gives more than {MAX_ROWS:,} rows")
        return table


def _digest(rows: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(rows).encode(errors="backslashreplace")).hexdigest()
