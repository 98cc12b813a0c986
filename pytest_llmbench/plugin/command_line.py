"""The options of pytest and their ini twins: a line each. What they mean for a run is read in `options.py`."""

from typing import Any, NamedTuple

import pytest


class Number:
    """Parses the number of an option or of its ini twin: argparse's `type`.

    Args:
        kind: int for a whole number.
        at_least: the least it may be.
        above: what it must be above.
        at_most: the most it may be.
    """

    def __init__(
        self,
        kind: type[float],
        *,
        at_least: float | None = None,
        above: float | None = None,
        at_most: float | None = None,
    ):
        self.kind = kind
        self.at_least = at_least
        self.above = above
        self.at_most = at_most

    def parse(self, text: str, flag: str) -> float:
        """Parse a text.

        Raises:
            pytest.UsageError: it is not a number, or out of range.
        """
        try:
            number = self.kind(text)
        except ValueError:
            raise pytest.UsageError(f'{flag} needs {self.wanted}, not "{text}".') from None
        is_large_enough = number >= self.at_least if self.at_least is not None else number > (self.above or 0)
        if not is_large_enough or number == float("inf"):
            raise pytest.UsageError(f"{flag} needs {self.wanted}, not {text}.")
        if self.at_most is not None and number > self.at_most:
            raise pytest.UsageError(f"{flag} needs a number of at most {self.at_most:,}, not {text}.")
        return number

    @property
    def wanted(self) -> str:
        """What is accepted, in words."""
        kind = "a whole number" if self.kind is int else "a number"
        return f"{kind} of at least {self.at_least:g}" if self.at_least is not None else f"{kind} above {self.above:g}"


class Option(NamedTuple):
    """A command-line option, and its ini twin: a switch if it has neither `metavar` nor `number`."""

    flag: str
    metavar: str | None
    help: str
    number: Number | None = None
    is_repeatable: bool = False

    @property
    def name(self) -> str:
        """The name of the ini twin, and of the parsed value."""
        return self.flag.lstrip("-").replace("-", "_")

    def add(self, parser: pytest.Parser, group: pytest.OptionGroup) -> None:
        """Add the option and its ini twin."""
        if self.metavar is None:
            kind, settings = "bool", dict[str, Any](action="store_true", default=None)
        elif self.is_repeatable:
            kind, settings = "linelist", dict[str, Any](action="append", metavar=self.metavar)
        else:
            kind, settings = "string", dict[str, Any](metavar=self.metavar)
        if self.number is not None:
            settings["type"] = self.parse
        group.addoption(self.flag, help=self.help, **settings)
        parser.addini(self.name, self.help, type=kind, default=None)  # type: ignore[arg-type]

    def parse(self, text: str) -> float:
        """Parse the number of the option; see `Number.parse`."""
        if self.number is None:
            raise TypeError(f"{self.flag} takes no number")
        return self.number.parse(text, self.flag)


COUNT = Number(int, at_least=1)
SAMPLES = Number(int, at_least=1, at_most=10_000)  # each request is planned before the first is sent
NOT_NEGATIVE = Number(int, at_least=0)
POSITIVE = Number(float, above=0)

OPTIONS: tuple[Option, ...] = (
    Option(
        "--llm-model",
        "[ROLE=]NAME",
        "Run the cases against this model: an entry of the models file, or PROVIDER:TARGET. Repeatable.",
        is_repeatable=True,
    ),
    Option("--llm-models-file", "FILE", "Models file; default fixtures/models.toml."),
    Option(
        "--llm-env-file", "FILE", "Read variables (API keys) from this file; those of the environment go before it."
    ),
    Option("--llm-samples", "K", "Answers per case; default 1.", SAMPLES),
    Option(
        "--llm-split",
        "train|held-out|all",
        "Only the cases of this side of each suite that has a `split`; default all. A suite without one counts as held "
        "out.",
    ),
    Option("--llm-limit", "N", "Only the first N cases of each suite.", COUNT),
    Option("--llm-shard", "I/N", "Only part I of N of each suite's cases; see llmbench merge."),
    Option("--llm-reasoning-tokens", "N", "Room for reasoning, on top of max_tokens; default 0.", NOT_NEGATIVE),
    Option(
        "--llm-concurrency",
        "N",
        "Requests in flight (API) or rows per batch (local); default: the model's own, else 16 for "
        "openai, 1 for transformers.",
        COUNT,
    ),
    Option(
        "--llm-check-batching",
        "N",
        "Ask N answered cases of each model again, each alone, and report differences.",
        COUNT,
    ),
    Option(
        "--llm-judge",
        "NAME",
        "Have this model judge the answers of suites whose grader can ask a judge (key_points, the check rubric).",
    ),
    Option(
        "--llm-check-judge",
        "N",
        "Have N of the answers judged a second time, and report how many grades change.",
        COUNT,
    ),
    Option(
        "--llm-graders",
        "N",
        "Grade so many answers at once as they arrive (sql); default: one fewer than the cores, at most 4.",
        COUNT,
    ),
    Option("--llm-timeout", "S", "Seconds for one request.", POSITIVE),
    Option("--llm-answers", "FILE|off", "The answer store; default .llmbench/answers.sqlite. off: none."),
    Option(
        "--llm-reuse",
        "auto|all|none",
        "Stored answers to use again: those of the last run if it did not finish (auto, the default), "
        "any to an equal request, or none.",
    ),
    Option(
        "--llm-plan",
        None,
        "Show what would be sent (requests, tokens, cost, time, and what it could decide) without sending anything.",
    ),
    Option(
        "--llm-max-cost",
        "USD",
        "Stop sending requests when the known prices reach it; each one that was not sent is an error.",
        POSITIVE,
    ),
    Option("--llm-no-fail", None, "A wrong answer does not fail its test."),
    Option(
        "--llm-baseline",
        "FILE",
        "Gate this run against that benchmark JSON, or `latest` of the benchmark storage. Repeatable: "
        "older runs of the same model are pooled.",
        is_repeatable=True,
    ),
    Option("--llm-margin", "P", "Points of score that may be lost; default 5."),
    Option("--llm-latency-margin", "R", "Gate latency too, at this ratio of medians, as 1.25."),
    Option(
        "--llm-min-score",
        "[SUITE=]S",
        "Gate: the suite's score (a share, errors counted wrong) must reach S. Repeatable.",
        is_repeatable=True,
    ),
    Option(
        "--llm-stop-early",
        "loss|decided",
        "Gate: stop asking a suite at planned looks, when a loss is shown (loss) or at any verdict (decided); "
        "default off.",
    ),
    Option(
        "--llm-max-errors",
        "SHARE",
        "Gate: share of a suite's cases that may lack an answer before the gate cannot decide; default 0.02, and one "
        "case always may.",
    ),
    Option(
        "--llm-allow-different",
        "KIND",
        "Compare runs that differ in prompt, grader, judge, gate, samples, machine or concurrency, or trained cases "
        "(trained). Repeatable.",
        is_repeatable=True,
    ),
    Option(
        "--llm-sort",
        "suite|model|score",
        "Order of the scoreboard: by suite, then model (suite, the default), by model, then suite, or by suite, then "
        "the best score.",
    ),
    Option(
        "--llm-summary",
        "FILE.md|off",
        "Write a summary of the run in Markdown, for a pull request; default: the file in "
        "$GITHUB_STEP_SUMMARY, if set. off: none.",
    ),
    Option("--llm-report", "FILE.html", "Write the run as one HTML file at the end: verdict, scores, every answer."),
)
"""One line per option; what it means for a run is its field in `options.py`."""

CHECKED_LATER = (
    "llm_margin",
    "llm_latency_margin",
    "llm_min_score",
    "llm_max_errors",
    "llm_allow_different",
    "llm_reuse",
    "llm_sort",
)
"""Options whose values need more than this file to be checked; where no model is named, only if they are given."""
