"""The body of `llmbench agreement`: from files to lines and an exit status."""

from collections.abc import Callable, Sequence
from pathlib import Path

from pytest_llmbench.grader_trust import weigh
from pytest_llmbench.human_verdicts import VerdictFile, read_verdicts
from pytest_llmbench.records import read_run
from pytest_llmbench.report.trust import trust_lines


def agreement_of_files(run_files: Sequence[Path], verdicts: Path, say: Callable[[str], None]) -> int:
    """Say how far the graders of runs agree with the verdicts of a file; gives the exit status.

    Raises:
        RunFileFault, UsageFault: a file cannot be read.
    """
    found: VerdictFile = read_verdicts(verdicts)
    records = [record for run_file in run_files for record in read_run(run_file).records]
    for line in trust_lines(weigh(records, found.verdicts), found.faults):
        say(line)
    return 0
