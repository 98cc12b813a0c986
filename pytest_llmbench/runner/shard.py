"""One part of a run whose cases are shared among several machines (`--llm-shard I/N`)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from pytest_llmbench.errors import UsageFault

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """The part `index`, from 1, of `of` parts."""

    index: int
    of: int

    def part(self, cases: Sequence[T]) -> tuple[T, ...]:
        """Give every `of`-th case: the parts of a suite differ in size by one case at most, whatever the ids."""
        return tuple(cases[self.index - 1 :: self.of])

    def to_json(self) -> dict[str, int]:
        """Give it as it stands in the options of a run."""
        return {"index": self.index, "of": self.of}

    def __str__(self) -> str:
        return f"{self.index} of {self.of}"


def parse_shard(text: str) -> Shard:
    """Read `I/N`.

    Raises:
        UsageFault: it is something else, or there is no part I of N.
    """
    index, _, of = text.partition("/")
    if not all(number.isascii() and number.isdecimal() for number in (index, of)) or not 1 <= int(index) <= int(of):
        raise UsageFault(f'--llm-shard needs I/N, the part I of 1 to N, such as 2/4, not "{text}".')
    return Shard(index=int(index), of=int(of))
