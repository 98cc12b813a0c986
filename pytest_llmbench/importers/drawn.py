"""Draw a sample of the cases of a source: the same source, number and seed draw the same cases.

A case is drawn by a digest of the seed and its id, so that a row that is inserted in the source changes the sample by
at most one case, and suites of the same cases keep the same ones.
"""

import hashlib
from dataclasses import dataclass, replace

from pytest_llmbench.importers.base import Imported, ImportedSuite, case_ids


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """How many cases of each suite are taken, and the seed that they are drawn with."""

    limit: int
    seed: int


def drawn(imported: Imported, sample: Sample) -> Imported:
    """Take a sample of the cases of each suite, in their order, with their answers and the databases they need.

    What is not mapped stays named, whether or not it would have been drawn.
    """
    suites = [_drawn(suite, sample) for suite in imported.suites]
    used = {case.database for suite in suites for case in suite.cases}
    databases = {name: files for name, files in imported.databases.items() if name in used}
    return replace(imported, suites=suites, databases=databases)


def _drawn(suite: ImportedSuite, sample: Sample) -> ImportedSuite:
    ranks = [_rank(one, sample.seed) for one in case_ids(suite.cases)]
    chosen = sorted(sorted(range(len(ranks)), key=ranks.__getitem__)[: sample.limit])
    about = {**suite.about, "limit": sample.limit, "seed": sample.seed, "drawn_from": len(suite.cases)}
    return replace(suite.only(chosen), about=about)


def _rank(case_id: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}\n{case_id}".encode()).digest()
