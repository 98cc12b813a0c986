"""The body of `llmbench agreement`: from files to lines and an exit status."""

from collections.abc import Callable, Sequence
from pathlib import Path

from pytest_llmbench.report.terminal.trust import trust_lines
from pytest_llmbench.results.annotations import AnnotationFile, read_annotations
from pytest_llmbench.results.grader_agreement import weigh
from pytest_llmbench.results.run_file import read_run


def agreement_of_files(run_files: Sequence[Path], verdicts: Path, say: Callable[[str], None]) -> int:
    """Say how far the graders of runs agree with the verdicts of a file; gives the exit status.

    Raises:
        RunFileFault, UsageFault: a file cannot be read.
    """
    found: AnnotationFile = read_annotations(verdicts)
    records = [record for run_file in run_files for record in read_run(run_file).records]
    for line in trust_lines(weigh(records, found.verdicts), found.faults):
        say(line)
    return 0
