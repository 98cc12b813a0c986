"""Numbers as people read them: shares, points, counts, seconds, dollars, lists of names. Pure functions.

Terminal, Markdown, HTML and the command all write them through here, so that one number looks the same everywhere.
"""

from collections.abc import Sequence
from math import ceil, floor, log10

PRECISE_FROM = 100
"""Cases from which a digit behind the decimal point means something."""


def digits_for(cases: int) -> int:
    """Give how many digits behind the point a percentage of so many cases carries."""
    return 1 if cases >= PRECISE_FROM else 0


def percent(share: float | None, digits: int = 1, missing: str = "-") -> str:
    """Write a share as a percentage."""
    return missing if share is None else f"{share * 100:.{digits}f}%"


def interval(ends: tuple[float, float] | None, digits: int = 1, *, to: str = "-", missing: str = "-") -> str:
    """Write an interval of shares in percent, without the sign."""
    return missing if ends is None else to.join(points(end, digits) for end in ends)


def points(difference: float, digits: int = 1) -> str:
    """Write a difference of shares in percentage points."""
    return f"{difference * 100:.{digits}f}"


def signed_points(difference: float, digits: int) -> str:
    """Write a difference of shares in percentage points, with its sign."""
    text = f"{difference * 100:+.{digits}f}"
    return text.replace("-", "+") if float(text) == 0 else text


def margin_points(margin: float) -> str:
    """Write a margin, a share, in points with as many digits as it was given."""
    return f"{margin * 100:g}"


def whole_points(share: float) -> str:
    """Write a share in whole points, rounded up: a bound that holds must not become one that does not."""
    # 0.07 * 100 is a little over 7
    return counted(max(1, ceil(round(share * 100, 6))), "point")


def counted(count: int, noun: str, *, none: str = "0") -> str:
    """Write a count with its noun in the singular or plural; `none` is written for 0."""
    return f"{f'{count:,}' if count else none} {noun}{'' if count == 1 else 's'}"


def seconds(value_s: float) -> str:
    """Write a duration with three significant digits; below a millisecond to the hundredth of one."""
    if 0 < value_s < 0.001:
        return f"{value_s * 1000:.2f}ms" if value_s >= 0.000005 else "<0.01ms"
    if value_s < 0.0995:
        return f"{value_s * 1000:.3g}ms"
    return f"{value_s:.2f}s" if value_s < 9.995 else f"{value_s:.1f}s"


def count_briefly(count: int) -> str:
    """Write a count with at most three significant digits from 10,000 on."""
    for unit, word in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if count >= unit:
            return f"{count / (1e3 if word == 'k' else unit):.3g}{word}"
    return f"{count:,}"


def dollars(usd: float) -> str:
    """Write an amount of money to the cent, a small one with two significant digits, never as an exponent."""
    if not usd:
        return "$0"
    if abs(usd) >= 0.1:
        return f"${usd:,.2f}"
    text = f"{usd:.{1 - floor(log10(abs(usd)))}f}"
    return f"${text.rstrip('0')}"


def listed(names: Sequence[str], most: int | None = None) -> str:
    """Join names by commas; of more than `most` the rest is counted."""
    if most is None or len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most:,} more"


def moment(datetime: str) -> str:
    """Write a date and time to the minute, without zone; empty where it is not known."""
    return datetime[:16].replace("T", " ")


def short_commit(commit: str) -> str:
    """Shorten a commit; empty where none is known."""
    return "" if commit in ("", "unversioned", "unknown") else commit[:7]
