"""Read a folder of Spider or BIRD as a suite with its databases.

Source: https://yale-lily.github.io/spider (dev.json, database/DB/DB.sqlite); bird-bench/mini_dev@47f116d (dev.json or
mini_dev_sqlite.json, dev_databases/DB/DB.sqlite).
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
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
    literal,
    not_json,
    tag,
)
from pytest_llmbench.importers.source import Folder
from pytest_llmbench.importers.text_to_sql.references import LIMIT_S, Proof
from pytest_llmbench.importers.text_to_sql.tables import Exported, exported
from pytest_llmbench.sql.engine import Engine
from pytest_llmbench.values import Json

_DATABASE = re.compile(r"(?!\.)[A-Za-z0-9._-]+")
_SYSTEM = (
    "You write SQL for SQLite. Select exactly the columns that are asked for. "
    "Answer with one SQL query and nothing else."
)
_USER = "{{ schema }}\n\nQuestion: {{ question }}"
_BIRD_USER = "{{ schema }}\n\nQuestion: {{ question }}{% if evidence %}\nEvidence: {{ evidence }}{% endif %}"
_NOTE = (
    "each reference is the DuckDB query that returns the rows of the source's own query on its SQLite database; "
    "rows are compared by the rules of docs/sql.md, not by those of the source"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where a benchmark keeps what: the first of each that exists is read."""

    questions: tuple[str, ...]
    databases: tuple[str, ...]
    query: str
    has_evidence: bool = False


SPIDER = Layout(questions=("dev.json",), databases=("database",), query="query")
BIRD = Layout(
    questions=("dev.json", "mini_dev_sqlite.json"), databases=("dev_databases",), query="SQL", has_evidence=True
)


def claims(path: Path, layout: Layout) -> bool:
    """Tell whether a folder has the questions and the databases of a benchmark."""
    has_questions = any((path / name).is_file() for name in layout.questions)
    return has_questions and any((path / name).is_dir() for name in layout.databases)


def read(path: Path, folder: Folder, layout: Layout) -> Imported:
    """Read a folder; a database that cannot be taken takes its cases with it.

    Raises:
        SourceFault: the folder has no such layout, or its questions are no list of questions.
    """
    questions = next((path / name for name in layout.questions if (path / name).is_file()), None)
    databases = next((name for name in layout.databases if (path / name).is_dir()), None)
    if questions is None or databases is None:
        needs = f"{' or '.join(layout.questions)} and {layout.databases[0]}/DB/DB.sqlite"
        raise SourceFault(f"{path}: a folder with {needs} is needed; name that folder.")
    try:
        folder.file(questions.name, Place(path=questions))
    except NotMapped as fault:
        raise SourceFault(str(fault)) from None
    with closing(Engine()) as engine:
        found = Questions(folder=folder, layout=layout, databases=databases, engine=engine)
        for line, row in _rows(folder.text(questions), questions):
            found.add(row, Place(path=questions, line=line))
        return found.imported(questions)


def _rows(text: str, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Give the objects of a list with their lines."""
    decoder = json.JSONDecoder()
    gap = re.compile(r"[\s,]*")
    start = text.find("[")
    if start < 0 or text[:start].strip():
        raise SourceFault(f"{path}:1: this is no list of questions; Spider and BIRD write one.")
    try:
        json.loads(text)
        position, line, counted = start + 1, 1, 0
        while True:
            match = gap.match(text, position)
            position = match.end() if match else position
            if text[position] == "]":
                return
            line, counted = line + text.count("\n", counted, position), position
            row, position = decoder.raw_decode(text, position)
            if not isinstance(row, dict):
                raise SourceFault(f"{path}:{line}: this is no question; an object is needed.")
            yield line, row
    except (ValueError, RecursionError) as fault:
        where = getattr(fault, "lineno", 1)
        raise SourceFault(f"{path}:{where}: {not_json(fault)}.") from None


class Questions:
    """Collects the cases and the databases that they need."""

    def __init__(self, *, folder: Folder, layout: Layout, databases: str, engine: Engine):
        self._folder = folder
        self._layout = layout
        self._databases = databases
        self._engine = engine
        self._proofs: dict[str, Proof | Unmapped] = {}
        self._cases: list[ImportedCase] = []
        self._left_out: list[LeftOut] = []

    def add(self, row: Mapping[str, Any], place: Place) -> None:
        """Take one question, or leave it out with the reason."""
        try:
            self._cases.append(self._case(row, place))
        except NotMapped as fault:
            given = {key: row[key] for key in ("db_id", "question_id", "question", self._layout.query) if key in row}
            self._left_out.append(LeftOut(given=given, why=(fault.unmapped,)))

    def imported(self, questions: Path) -> Imported:
        """Give all that was taken."""
        user = _BIRD_USER if self._layout.has_evidence else _USER
        chat = [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": user}]
        suite = ImportedSuite(
            keys={"sampling": {"max_tokens": 512, "temperature": 0}, "prompt": {"chat": chat}},
            cases=self._cases,
            left_out=self._left_out,
            notes=(_NOTE,),
            is_data_file=True,
        )
        used = {case.database for case in self._cases}
        databases = {
            name: proof.database.files
            for name, proof in sorted(self._proofs.items())
            if isinstance(proof, Proof) and name in used
        }
        return Imported(suites=[suite], files=[questions], databases=databases)

    def _case(self, row: Mapping[str, Any], place: Place) -> ImportedCase:
        question, name, query = (_text(row, key, place) for key in ("question", "db_id", self._layout.query))
        proof = self._proof(name, place)
        reference = proof.reference(query, place)
        inputs: dict[str, Json] = {"schema": proof.database.shown, "question": question}
        if self._layout.has_evidence:
            evidence = row.get("evidence") or ""
            if not isinstance(evidence, str):
                raise NotMapped("`evidence` is no text; write a text.", place)
            inputs["evidence"] = evidence
        number = row.get("question_id")
        tags = [tag(name), tag(str(row["difficulty"])) if row.get("difficulty") else None]
        fields = {"database": name, "reference": reference, "dialect": "sqlite", "time_limit_s": int(LIMIT_S)}
        try:
            check = literal({"sql": fields})
        except ValueError as fault:
            raise NotMapped(f"{fault}; write the query without.", place) from None
        return ImportedCase(
            inputs=inputs,
            place=place,
            name=None if number is None else str(number),
            keyed_by=[name, question],
            checks=[check],
            tags=tuple(one for one in dict.fromkeys(tags) if one),
            given=dict(row),
            database=name,
        )

    def _proof(self, name: str, place: Place) -> Proof:
        """Give a database, exported once.

        Raises:
            NotMapped: it cannot be taken; every case that needs it is left out for the same reason.
        """
        if name not in self._proofs:
            try:
                self._proofs[name] = Proof(self._exported(name, place), self._engine)
            except NotMapped as fault:
                self._proofs[name] = fault.unmapped
        found = self._proofs[name]
        if isinstance(found, Unmapped):
            raise NotMapped(found.message, found.place)
        return found

    def _exported(self, name: str, place: Place) -> Exported:
        if not _DATABASE.fullmatch(name):
            raise NotMapped(f'the `db_id` "{name}" is no name of a folder; use letters, digits and . _ -', place)
        path = self._folder.file(f"{self._databases}/{name}/{name}.sqlite", place)
        return exported(path, self._folder)


def _text(row: Mapping[str, Any], key: str, place: Place) -> str:
    found = row.get(key)
    if not isinstance(found, str) or not found.strip():
        raise NotMapped(f"`{key}` is missing or no text; write one.", place)
    return found
