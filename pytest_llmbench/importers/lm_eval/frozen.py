"""Freeze a task of lm-evaluation-harness: what it asks becomes cases, and nothing of it is written anew here.

The harness itself builds the task, in a child process (`child`), with a model that only keeps what it is asked; so the
prompts, with description, delimiters and the shots that are drawn, are its own, byte for byte.
What no suite can hold is refused by the task's YAML, before anything is built.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from pytest_llmbench.importers.base import Imported, NotMapped, SourceFault, Unmapped
from pytest_llmbench.importers.lm_eval import choices, generation
from pytest_llmbench.importers.lm_eval.task import CHOICES, TOOL, Code, Row, Task, faults
from pytest_llmbench.importers.lm_eval.task_file import TaskFile, code_faults, data_faults, data_files, read_task
from pytest_llmbench.importers.shapes import Document, read_as
from pytest_llmbench.importers.source import Folder
from pytest_llmbench.values import Json

_CHILD = Path(__file__).with_name("child.py")


def read(source: Path, folder: Folder) -> Imported:
    """Freeze a task: one of the installed library by its name, or the YAML file of one.

    Raises:
        SourceFault: there is no such task, or the harness cannot build it.
    """
    is_file = source.is_file()
    if not is_file and source.suffix in (".yaml", ".yml", ".json", ".jsonl"):
        raise SourceFault(f"there is no {source}; name the YAML file of a task, or lm-eval:TASK.")
    name = str(source.resolve()) if is_file else str(source).removeprefix("lm-eval:")
    try:
        task = _checked(source.resolve(), folder, is_own=True) if is_file else None
        with tempfile.TemporaryDirectory(prefix="llmbench-lm-eval-") as scratch:
            rows = Path(scratch) / "rows.jsonl"
            is_trusted = folder.settings.trusts_code or not is_file
            asked = {"task": name, "is_file": is_file, "is_trusted": is_trusted, "out": str(rows)}
            with _Child(folder.settings.python or Path(sys.executable), asked, str(source)) as child:
                located = child.reply()
                if task is None:
                    task = _checked(Path(located["path"]).resolve(), folder, is_own=False)
                built = child.reply("go")
            return _imported(task, {**located, **built}, rows)
    except _Refused as fault:
        return Imported(suites=(), files=(fault.path,), unmapped=fault.unmapped)


class _Refused(Exception):
    """A task cannot be frozen, for these reasons."""

    def __init__(self, path: Path, unmapped: Sequence[Unmapped]):
        super().__init__()
        self.path = path
        self.unmapped = unmapped


def _checked(path: Path, folder: Folder, *, is_own: bool) -> TaskFile:
    """Read the YAML of a task; `is_own` for one that is not of the library.

    Raises:
        _Refused: it cannot be frozen.
    """
    # includes of the library's tasks lead from folder to folder
    tasks = next((one for one in path.parents if not is_own and one.name == "tasks"), path.parent)
    folder.root = tasks
    try:
        task = read_task(path, folder)
    except NotMapped as fault:
        raise _Refused(path, [fault.unmapped]) from None
    found = list(faults(Task(name=str(task.values.get("task")), config=task.values, place=task.place)))
    if is_own and not folder.settings.trusts_code:
        known = {one.place for one in found}
        found += [one for one in code_faults(task) if one.place not in known]
        found += data_faults(task, Path.cwd())
    if found:
        raise _Refused(path, found)
    for file in data_files(task, Path.cwd()):
        folder.note(file)
    return task


def _imported(file: TaskFile, built: Mapping[str, Any], rows: Path) -> Imported:
    task = Task(name=str(built["name"]), config=built["config"], place=file.place)
    unmapped = list(faults(task))
    about: dict[str, Json] = {
        "version": built["version"],
        "lm_eval": built["lm_eval"],
        "shots": {"n": built["shots"], "seed": built["seed"], "frozen": True},
        "chat_template": None,
    }
    code = sorted({str(value) for value in file.values.values() if isinstance(value, Code)})
    if code:
        about["code"] = list(code)
    place = file.place("doc_to_target")
    documents = []
    for number, line in enumerate(rows.read_text(encoding="utf-8").split("\n"), start=1):
        if line:
            document = read_as(Document, json.loads(line), rows, TOOL, number)
            documents.append(Row(place=place, document=document, name=f"document {document['doc_id']}: "))
    made = choices if task.config.get("output_type") == CHOICES else generation
    suites = [] if unmapped else made.suites_of(task, documents, about)
    return Imported(suites=suites, files=(file.path,), unmapped=unmapped)


class _Child:
    """The process that has the harness.

    Args:
        python: its interpreter.
        asked: what it is to freeze.
        source: as the user named it.
    """

    def __init__(self, python: Path, asked: Mapping[str, Any], source: str):
        self._source = source
        self._errors: IO[str] = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        try:
            # isolated: neither the folder of the source nor the user's settings decide what is imported
            self._process = subprocess.Popen(  # noqa: S603 - an interpreter that the user named, or this one
                [str(python), "-I", str(_CHILD), json.dumps(asked)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
                encoding="utf-8",
            )
        except OSError as fault:
            self._errors.close()
            raise SourceFault(f"{python}: this interpreter does not start: {fault.strerror}; see --python.") from None

    def __enter__(self) -> "_Child":
        return self

    def __exit__(self, *about: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def reply(self, word: str = "") -> dict[str, Any]:
        """Give what it found, after it was told to go on.

        Raises:
            SourceFault: it refuses, or has ended.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise SourceFault(f"{self._source}: the process with the harness has no pipes.")
        if word:
            with suppress(BrokenPipeError):
                stdin.write(f"{word}\n")
                stdin.flush()
        line = stdout.readline()
        if not line:
            self._errors.seek(0)
            last = next((one for one in reversed(self._errors.read().splitlines()) if one.strip()), "no word of why")
            raise SourceFault(f"{self._source}: the process with the harness ended: {last.strip()}.")
        found: dict[str, Any] = json.loads(line)
        if "refused" in found:
            why = str(found["refused"]).rstrip(".")
            raise SourceFault(f"{self._source}: {why}{'' if why.endswith('?') else '.'}")
        return found
