"""SVG as text: elements, scales, and the marks that tell models apart by shape and colour."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, log10

from markupsafe import Markup, escape

from pytest_llmbench.report.safe_text import visible

MARKS = 8
"""So many models have a colour and shape of their own; then they come round again."""

_SHAPES = (
    "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0-10 0",
    "M0-6L6 5H-6Z",
    "M-5-5H5V5H-5Z",
    "M0-6.5L6.5 0L0 6.5L-6.5 0Z",
    "M0 6L6-5H-6Z",
    "M-6-2H-2V-6H2V-2H6V2H2V6H-2V2H-6Z",
    "M-6-3L0-6L6-3V3L0 6L-6 3Z",
    "M-6-4L-4-6L0-2L4-6L6-4L2 0L6 4L4 6L0 2L-4 6L-6 4L-2 0Z",
)


def tag(name: str, *children: str, **attributes: str | float | None) -> Markup:
    """Write an element; texts are escaped and made visible, an underscore in a name is a hyphen."""
    written = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _value(value))
        for key, value in attributes.items()
        if value is not None
    )
    inner = Markup("").join(child if isinstance(child, Markup) else escape(visible(child)) for child in children)
    return Markup("<{}{}>{}</{}>").format(Markup(name), written, inner, Markup(name))  # noqa: S704 - escaped above


def _value(value: str | float) -> str:
    if isinstance(value, str):
        return value if isinstance(value, Markup) else visible(value)
    return f"{value:.1f}".removesuffix(".0")


def picture(width: float, height: float, label: str, *children: Markup, class_: str = "figure") -> Markup:
    """Write a picture with a name for screen readers."""
    box = f"0 0 {_value(width)} {_value(height)}"
    title = tag("title", label)
    return tag("svg", title, *children, viewBox=box, width=width, height=height, role="img", class_=class_)


def interval_bar(label: str, at: float | None = None, interval: tuple[float, float] = (0, 0)) -> Markup:
    """Draw a value with its interval, in percent of a bar as wide as what it stands in; the bare track without one."""
    children = [tag("title", label), tag("rect", x=0, y=4, width=100, height=2, class_="track")]
    if at is not None:
        low, high = interval
        children.append(tag("rect", x=low, y=3, width=max(high - low, 0.5), height=4, class_="range"))
        children.append(tag("rect", x=min(at, 99), y=0, width=1, height=10, class_="point"))
    return tag("svg", *children, viewBox="0 0 100 10", preserveAspectRatio="none", role="img", class_="bar")


def marker(place: int, x: float, y: float, *children: Markup) -> Markup:
    """Draw the mark of the model in that place of the run."""
    own = place % MARKS
    return tag("path", *children, d=_SHAPES[own], transform=f"translate({_value(x)} {_value(y)})", class_=f"m{own}")


def legend_marker(place: int) -> Markup:
    """Draw the mark of a model beside its name; screen readers skip it."""
    return tag("svg", marker(place, 8, 8), viewBox="0 0 16 16", class_="mark", aria_hidden="true")


def legend(roles: Sequence[str]) -> Markup:
    """List models with their marks."""
    items = (tag("li", legend_marker(place), f" {role}") for place, role in enumerate(roles))
    return tag("ul", *items, class_="legend")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Where numbers stand between two ends of a picture; both numbers over 0 where `is_log`."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def __call__(self, value: float) -> float:
        """Give the place of a number; one beyond the ends stands at the end."""
        low, high, here = (log10(v) if self.is_log else v for v in (self.low, self.high, value))
        share = (here - low) / (high - low) if high > low else 0.5
        return self.start + (self.end - self.start) * min(1.0, max(0.0, share))

    def ticks(self, most: int = 6) -> list[float]:
        """Give round numbers along the scale, at most so many."""
        if not self.is_log:
            return [self.low + (self.high - self.low) * step / 4 for step in range(5)]
        decades = range(floor(log10(self.low)), floor(log10(self.high)) + 1)
        for digits in ((1, 2, 5), (1, 3), (1,)):
            found = [digit * 10.0**decade for decade in decades for digit in digits]
            inside = [value for value in found if self.low <= value * 1.0001 and value <= self.high * 1.0001]
            if len(inside) <= most:
                break
        return inside[: most * 2]


def log_scale(values: Sequence[float], start: float, end: float) -> Scale:
    """Give a scale that holds all of at least one number over 0, with some room at its ends."""
    return Scale(low=min(values) / 1.3, high=max(values) * 1.3, start=start, end=end, is_log=True)
