"""The pytest plugin: translates hooks into calls of the runner. Without a model named it does nothing.

This file is read at every start of pytest, in use or not, so it imports nothing but pytest.
"""

from typing import Any

import pytest

OPTIONS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    (
        "--llm-model",
        "linelist",
        {
            "action": "append",
            "metavar": "[ROLE=]NAME",
            "help": "Run the cases against this model: an entry of the models file, or PROVIDER:TARGET. Repeatable.",
        },
    ),
    ("--llm-models-file", "string", {"metavar": "FILE", "help": "Models file; default fixtures/models.toml."}),
    ("--llm-samples", "string", {"metavar": "K", "help": "Answers a case; default 1."}),
    ("--llm-limit", "string", {"metavar": "N", "help": "Only the first N cases of each suite."}),
    (
        "--llm-reasoning-tokens",
        "string",
        {"metavar": "N", "help": "Room for reasoning, on top of max_tokens; default 0."},
    ),
    (
        "--llm-concurrency",
        "string",
        {
            "metavar": "N",
            "help": "Requests in flight (API) or rows a batch (local); default: the model's own, else 16 for openai, "
            "1 for transformers.",
        },
    ),
    (
        "--llm-check-batching",
        "string",
        {"metavar": "N", "help": "Ask N answered cases of each model again, each alone, and report differences."},
    ),
    (
        "--llm-judge",
        "string",
        {
            "metavar": "NAME",
            "help": "Have this model judge the answers of suites whose grader can ask a judge (key_points).",
        },
    ),
    ("--llm-timeout", "string", {"metavar": "S", "help": "Seconds for one request."}),
    (
        "--llm-answers",
        "string",
        {"metavar": "FILE|off", "help": "The answer store; default .llmbench/answers.sqlite. off: none."},
    ),
    (
        "--llm-reuse",
        "string",
        {
            "metavar": "auto|all|none",
            "help": "Stored answers to use again: those of the last run if it did not finish (auto, the default), "
            "any to an equal request, or none.",
        },
    ),
    (
        "--llm-plan",
        "bool",
        {
            "action": "store_true",
            "default": None,
            "help": "Tell what would be sent (requests, tokens, cost, time, what it could decide) and send nothing.",
        },
    ),
    (
        "--llm-max-cost",
        "string",
        {"metavar": "USD", "help": "Stop asking when the known prices reach it; what was not asked is an error."},
    ),
    ("--llm-no-fail", "bool", {"action": "store_true", "default": None, "help": "A wrong answer fails no test."}),
    (
        "--llm-baseline",
        "linelist",
        {
            "action": "append",
            "metavar": "FILE",
            "help": "Gate this run against that benchmark JSON, or `latest` of the benchmark storage. Repeatable: "
            "older runs of the same model are pooled.",
        },
    ),
    ("--llm-margin", "string", {"metavar": "P", "help": "Points of score that may be lost; default 5."}),
    (
        "--llm-latency-margin",
        "string",
        {"metavar": "R", "help": "Gate latency too, at this ratio of medians, as 1.25."},
    ),
    (
        "--llm-min-score",
        "linelist",
        {
            "action": "append",
            "metavar": "[SUITE=]S",
            "help": "Gate: the suite's score (a share, errors counted wrong) must reach S. Repeatable.",
        },
    ),
    (
        "--llm-allow-different",
        "linelist",
        {
            "action": "append",
            "metavar": "KIND",
            "help": "Compare runs that differ in prompt, grader, judge, samples, machine or concurrency. Repeatable.",
        },
    ),
    (
        "--llm-summary",
        "string",
        {
            "metavar": "FILE.md|off",
            "help": "Write a summary of the run in Markdown, for a pull request; default: the file in "
            "$GITHUB_STEP_SUMMARY, if set. off: none.",
        },
    ),
    (
        "--llm-report",
        "string",
        {"metavar": "FILE.html", "help": "Write the run as one HTML file at the end: verdict, scores, every answer."},
    ),
)
"""Flag, type of its ini twin, and what argparse needs. Numbers are checked when models are named."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options and, for each, an ini key of the same name."""
    group = parser.getgroup("llmbench", "language model cases")
    for flag, ini_type, settings in OPTIONS:
        group.addoption(flag, **settings)
        parser.addini(flag.lstrip("-").replace("-", "_"), settings["help"], type=ini_type, default=None)  # type: ignore[arg-type]


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Add the hooks other packages may implement."""
    from pytest_llmbench.plugin import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marks and, where a model is named, the session's hooks."""
    config.addinivalue_line("markers", "llm_suite(path): run this test for each case of a suite and each model.")
    if config.getoption("llm_model") or config.getini("llm_model"):
        from pytest_llmbench.plugin.activate import activate

        activate(config)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests of cases where no model is named."""
    if config.pluginmanager.has_plugin("llmbench-session"):
        return
    left_out = [item for item in items if item.get_closest_marker("llm_suite")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("llm_suite")]
