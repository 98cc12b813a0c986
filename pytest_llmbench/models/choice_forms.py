"""The spellings of a choice that count as it, whatever model is asked."""

from collections.abc import Sequence

CHOICE = "choice"
"""The finish reason where the likeliest choice is the answer, and nothing was written."""


def forms_of(choice: str, choices: Sequence[str]) -> tuple[str, ...]:
    """Give the forms of a choice: as written, in lower and upper case, capitalised; each with and without a blank.

    A choice that differs from another of `choices` in nothing but case counts only as written.
    """
    plain = choice.strip()
    cased = [plain, plain.lower(), plain.upper(), plain[:1].upper() + plain[1:]]
    if sum(other.strip().casefold() == plain.casefold() for other in set(choices)) > 1:
        cased = [plain]
    return tuple(dict.fromkeys(blank + text for text in cased if text for blank in ("", " ")))
