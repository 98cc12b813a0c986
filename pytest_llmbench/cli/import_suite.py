"""`llmbench import`: suites from the files of other tools."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from pytest_llmbench.cli.output import print_lines
from pytest_llmbench.errors import UsageFault
from pytest_llmbench.importers import databases, written
from pytest_llmbench.importers.base import Imported
from pytest_llmbench.importers.drawn import Sample, drawn
from pytest_llmbench.importers.kinds import KINDS, Kind, kind_of
from pytest_llmbench.importers.source import Folder, Settings
from pytest_llmbench.report.format import counted
from pytest_llmbench.report.safe_text import visible
from pytest_llmbench.suites.names import ID_PATTERN, RESERVED_MARKS

_NAMED = 10
"""How many cases are named whose verdicts differ."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("source", type=Path, metavar="SOURCE", help="file or folder to import")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="cases/NAME.yaml", help="suite file to write"
    )
    parser.add_argument("--from", dest="kind", choices=list(KINDS), metavar="KIND", help=f"one of: {', '.join(KINDS)}")
    parser.add_argument("--partial", action="store_true", help="leave out the cases that are not mapped whole")
    parser.add_argument(
        "--trust-code", action="store_true", help="let Python of lm-evaluation-harness and promptfoo run"
    )
    parser.add_argument(
        "--map",
        dest="fields",
        type=_fields,
        default=(),
        metavar="FIELD=COLUMN,...",
        help="columns of a file of samples of Inspect: input, target, choices, id, metadata",
    )
    parser.add_argument("--scorer", metavar="SCORER", help="what those samples are graded with, such as 'match()'")
    parser.add_argument(
        "--python", type=Path, metavar="FILE", help="interpreter that has lm_eval, where this one has not"
    )
    parser.add_argument("--limit", type=_count, metavar="N", help="take a sample of N cases; needs --seed")
    parser.add_argument("--seed", type=int, metavar="S", help="number that the sample of --limit is drawn with")
    parser.add_argument(
        "--check", action="store_true", help="grade the answers of the source, compare the verdicts, and write nothing"
    )
    parser.add_argument("--dry-run", action="store_true", help="show what would be written, and write nothing")
    parser.add_argument("--update", action="store_true", help="renew a suite, keeping the ids of unchanged cases")


def run(options: argparse.Namespace) -> int:
    """Import, and print what was written; gives the exit status."""
    target = _target(options.output)
    sample = _sample(options)
    kind, folder = _source(options, written.code_name(target))
    imported = written.without_secrets(kind.read(options.source, folder))
    unmapped = written.unmapped_of(imported)
    print_lines(visible(str(one)) for one in unmapped)
    n_cases = sum(len(suite.cases) for suite in imported.suites)
    if (unmapped and not options.partial) or not n_cases:
        way_out = "--partial leaves out the cases concerned" if n_cases else "no case is left"
        print_lines([f"nothing written: {counted(len(unmapped), 'construct')} not mapped; {way_out}"])
        return 1
    if sample is not None:
        imported = drawn(imported, sample)
    provenance = written.Provenance(kind=kind.name, path=_name(imported, options.source), sha256=folder.sha256)
    files = written.files_of(imported, target, provenance, is_update=options.update or options.check)
    if options.check:
        regraded = written.check(files)
        print_lines(visible(line) for line in _checked(regraded))
        return 0 if regraded else 1
    folders = databases.missing(imported.databases, databases.folder_for(target))
    if folders and not options.dry_run:
        written.check(files)  # so that no database is written without its suite
        databases.write(imported.databases, folders)
    regraded = (written.check if options.dry_run else written.write)(files)
    word = "would write" if options.dry_run else "wrote"
    print_lines(visible(f"{word} {path}") for path in folders)
    print_lines(visible(line) for line in _report(files, imported, is_dry=options.dry_run))
    print_lines(visible(line) for line in map(_compared, regraded))
    return 0


def _source(options: argparse.Namespace, code_name: str) -> tuple[Kind, Folder]:
    """Give the kind of the source, and its folder.

    Raises:
        UsageFault: there is no such source, or an option is for another kind.
    """
    is_samples = options.fields or options.scorer
    kind = kind_of(options.source, "inspect" if is_samples and not options.kind else options.kind)
    if is_samples and kind.name != "inspect":
        raise UsageFault("--map and --scorer are for files of samples of Inspect; take them out.")
    settings = Settings(
        trusts_code=options.trust_code,
        code_name=code_name,
        python=options.python,
        fields=options.fields,
        scorer=options.scorer,
    )
    folder = Folder(root=options.source if options.source.is_dir() else options.source.parent, settings=settings)
    return kind, folder


def _target(target: Path) -> Path:
    """Check the path of the suite to write.

    Raises:
        UsageFault: it is no name of a suite.
    """
    if target.suffix not in (".yaml", ".yml"):
        raise UsageFault(f"-o {target}: a suite file ends in .yaml.")
    if not ID_PATTERN.fullmatch(target.stem) or target.stem in RESERVED_MARKS or target.stem.startswith("_"):
        raise UsageFault(f'-o {target}: "{target.stem}" becomes the name of the suite; use letters, digits, "-".')
    return target


def _fields(text: str) -> tuple[tuple[str, str], ...]:
    pairs = [pair.partition("=") for pair in text.split(",")]
    if not all(field and mark and column for field, mark, column in pairs):
        raise argparse.ArgumentTypeError(f'"{text}" is no list such as input=question,target=answer')
    return tuple((field.strip(), column.strip()) for field, _, column in pairs)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f'"{text}" is no whole number of at least 1')
    return int(text)


def _sample(options: argparse.Namespace) -> Sample | None:
    """Read the sample that is asked for.

    Raises:
        UsageFault: a number without a seed, or a seed without a number.
    """
    if (options.limit is None) != (options.seed is None):
        missing = "--seed S" if options.seed is None else "--limit N"
        why = "the first cases of a sorted source are no sample of it" if options.seed is None else "nothing is drawn"
        raise UsageFault(f"{missing} is missing: {why}; pass --limit N and --seed S together.")
    return None if options.limit is None else Sample(limit=options.limit, seed=options.seed)


def _name(imported: Imported, source: Path) -> str:
    return imported.files[0].name if imported.files else source.name


def _report(files: written.Files, imported: Imported, *, is_dry: bool) -> Iterator[str]:
    word = "would write" if is_dry else "wrote"
    for target in files.targets:
        suite = target.suite
        left_out = f", {counted(len(suite.left_out), 'case')} left out" if suite.left_out else ""
        of = f" drawn from {suite.about['drawn_from']}" if "drawn_from" in suite.about else ""
        yield f"{word} {target.path}: {counted(len(suite.cases), 'case')}{of}{left_out}"
    suites = {target.path for target in files.targets}
    yield from (f"{word} {path}" for path in files.texts if path not in suites)
    removed = "would remove" if is_dry else "removed"
    yield from (f"{removed} {path}: no case is left out any more" for path in files.outdated)
    for target in files.targets:
        if target.suite.answers:
            answers = target.path.with_name(f"{target.name}.answers.jsonl")
            yield f"its answers are graded by: pytest --llm-model recorded:{answers} {target.path}"
    for note in dict.fromkeys(note for target in files.targets for note in target.suite.notes):
        yield f"note: {note}"
    yield from imported.printed


def _checked(regraded: Sequence[written.Regraded]) -> Iterator[str]:
    """List each verdict that differs, and how far each suite agrees."""
    for one in regraded:
        for found in one.different:
            there = "right" if found.was_right else "wrong"
            yield f"{one.name}: {found.case}: {there} in the source, here {found.here}"
        yield _compared(one)
    if not regraded:
        yield "nothing to compare: the source has no verdicts on answers"


def _compared(regraded: written.Regraded) -> str:
    """Describe how far a suite agrees with the verdicts of its source."""
    n_all = regraded.same + len(regraded.different)
    text = f"{regraded.name}: {regraded.same} of {counted(n_all, 'verdict')} of the source are the same here"
    cases = list(dict.fromkeys(one.case for one in regraded.different))
    named = ", ".join(cases[:_NAMED])
    more = f" and {len(cases) - _NAMED} more" if len(cases) > _NAMED else ""
    return f"{text}; different: {named}{more}" if regraded.different else text
