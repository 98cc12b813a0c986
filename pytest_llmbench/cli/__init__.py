"""The `llmbench` command.

Exit status: 0 fine; 1 a suite has errors, or a candidate is worse; 2 wrong usage or an unreadable file; 8 undecided;
130 ended by Ctrl-C.
"""

import argparse
import io
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any, NoReturn

from pytest_llmbench.errors import LlmbenchError

COMMANDS: Mapping[str, tuple[str, str]] = {
    "init": ("pytest_llmbench.cli.init", "write a first suite, a models file and a CI workflow"),
    "import": ("pytest_llmbench.cli.import_suite", "write suites from the files of other tools"),
    "validate": ("pytest_llmbench.cli.validate", "check suite files without any model"),
    "lock": ("pytest_llmbench.cli.lock", "pin the data sets of suites to their present revision"),
    "show": ("pytest_llmbench.cli.show", "print the prompts, answers and grades of a run"),
    "review": ("pytest_llmbench.cli.review", "annotate the answers of a run yourself, without seeing their grades"),
    "agreement": ("pytest_llmbench.cli.agreement", "measure how far the graders agree with people"),
    "compare": ("pytest_llmbench.cli.compare", "gate a run against another: exit 0 passed, 1 worse, 8 undecided"),
    "accept": ("pytest_llmbench.cli.accept", "take a run, or several of one model, as the baseline of the gate"),
    "merge": ("pytest_llmbench.cli.merge", "put the shards of a run (--llm-shard) together as one run"),
    "history": ("pytest_llmbench.cli.history", "list the scores and latencies of many runs over time"),
    "calibrate": ("pytest_llmbench.cli.calibrate", "measure a model's noise against itself; recommend a margin"),
    "export-requests": ("pytest_llmbench.cli.export_requests", "write the requests of a run in OpenAI's batch format"),
    "export-training": ("pytest_llmbench.cli.export_training", "write training data: the train sides of suites"),
    "report": ("pytest_llmbench.cli.report", "write a run as one HTML file: verdict, scores, every answer"),
    "migrate": ("pytest_llmbench.cli.migrate", "rewrite run files of earlier versions in the present schema"),
    "tune": ("pytest_llmbench.cli.tune", "train a model on the train sides of suites, by a recipe"),
    "schema": ("pytest_llmbench.cli.schema", "print the JSON schema of suite files, for editors"),
}
"""Each command with its module and its line of help.

A module has `add_arguments(parser)` and `run(options)`, which gives the exit status.  It is imported when its command
is called, so that no command pays for the libraries of another.
"""

INTERRUPTED = 130
"""The exit status after Ctrl-C, as that of a shell."""


class _Parser(argparse.ArgumentParser):
    """A parser that names the nearest of its options for a mistyped one."""

    _is_mixing = False

    def parse_args(self, arguments: Sequence[str]) -> argparse.Namespace:  # type: ignore[override]
        """Parse the arguments of the whole command line; unknown ones are an error of the command that was called."""
        options: argparse.Namespace
        options, unknown = self.parse_known_args(arguments)
        if unknown:
            called: _Parser = options.parser
            called.refuse(unknown)
        return options

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse the arguments of a command in any order: positional ones may stand before, between and after options.

        argparse by itself takes all positional arguments where the first stands: of `show run.json --failed case` an
        optional CASE would be found missing, and then unknown (bpo-14191).
        """
        if self._is_mixing or self._subparsers is not None:
            return super().parse_known_args(args, namespace)
        self._is_mixing = True  # up to Python 3.12, parsing of mixed arguments calls this method in its turn
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._is_mixing = False

    def refuse(self, unknown: Sequence[str]) -> NoReturn:
        """Leave with what is unknown, and the nearest option that is known."""
        nearest = did_you_mean(unknown[0].partition("=")[0], self._option_string_actions)
        self.error(f"unrecognized arguments: {' '.join(unknown)}{nearest}")


class _Version(argparse.Action):
    """Print the version, which is looked up only then."""

    def __call__(self, parser: argparse.ArgumentParser, *args: object, **kwargs: object) -> NoReturn:
        """Print and exit with 0."""
        from importlib.metadata import version

        del args, kwargs
        sys.stdout.write(f"pytest-llmbench {version('pytest-llmbench')}\n")
        parser.exit(0)


def main(arguments: Sequence[str] | None = None, commands: Mapping[str, tuple[str, str]] = COMMANDS) -> int:
    """Run the command; returns its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a console that lacks a character shows its escape
            stream.reconfigure(errors="backslashreplace")
    words = sys.argv[1:] if arguments is None else arguments
    try:
        options = _parser(words, commands).parse_args(words)
        status: int = options.run(options)
    except LlmbenchError as fault:
        from pytest_llmbench.cli.output import warn

        warn(str(fault))
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("llmbench: ended by Ctrl-C.\n")
        return INTERRUPTED
    return status


def _parser(words: Sequence[str], commands: Mapping[str, tuple[str, str]]) -> _Parser:
    """Build the parser with the arguments of the command that is called, and of no other."""
    parser = _Parser(prog="llmbench", description="Check suites, compare runs and report on them, for pytest-llmbench.")
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)
    called = next((word for word in words if not word.startswith("-")), None)
    if called is not None and called not in commands:
        parser.error(f'there is no command "{called}"{did_you_mean(called, commands) or "."} See: llmbench --help')
    for name, (module, summary) in commands.items():
        command = subparsers.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        if name == called:
            found = import_module(module)
            found.add_arguments(command)
            command.set_defaults(run=found.run, parser=command)
    return parser


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Name the nearest of the known words, where one is near."""
    from difflib import get_close_matches

    nearest = get_close_matches(word, list(known), n=1)
    return f'; did you mean "{nearest[0]}"?' if nearest else ""
