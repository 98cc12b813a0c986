"""The spellings of a label that count as it, whatever model is asked."""

from collections.abc import Sequence

LABEL_PICKED = "choice"
"""The finish reason where the likeliest label is the answer, and nothing was written."""


def forms_of(label: str, labels: Sequence[str]) -> tuple[str, ...]:
    """Give the forms of a label: as written, in lower and upper case, capitalised; each with and without a blank.

    A label that differs from another of `labels` in nothing but case counts only as written.
    """
    plain = label.strip()
    cased = [plain, plain.lower(), plain.upper(), plain[:1].upper() + plain[1:]]
    if sum(other.strip().casefold() == plain.casefold() for other in set(labels)) > 1:
        cased = [plain]
    return tuple(dict.fromkeys(blank + text for text in cased if text for blank in ("", " ")))
