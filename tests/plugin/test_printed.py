"""What the code of an application prints while tests wait for it."""

import pytest

APP = r"""
import sys
from threading import Event

HAS_PRINTED = Event()


def answer(prompt):
    # the first test waits for France: nothing may be printed while pytest reads what was captured for it
    if prompt == "France":
        HAS_PRINTED.wait()
    print("\x1b[2J looked up", prompt)
    sys.stderr.write("::error file=app.py::no entry\n")
    HAS_PRINTED.set()
    return "Paris"
"""
SUITE = """\
suite: capitals
grader: exact
prompt: {completion: "{{ country }}"}
cases:
  - {id: france, country: France, expected: Rome}
  - {id: peru, country: Peru, expected: Lima}
"""


def test_what_an_application_prints_is_shown_with_a_test_that_fails(pytester: pytest.Pytester) -> None:
    """It is captured as what a test prints, and nothing in it acts on a terminal or the log of CI."""
    (pytester.mkdir("cases") / "capitals.yaml").write_text(SUITE)
    (pytester.path / "app.py").write_text(APP)

    result = pytester.runpytest_subprocess(
        "--llm-model", "m=python:app:answer", "--llm-concurrency", "2", "-p", "no:cacheprovider", "cases"
    )

    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["cases/capitals.yaml FF *"])
    shown = result.stdout.str()
    start = shown.index("= FAILURES =")
    assert "- Captured stdout setup -" in shown
    assert {rf"\x1b[2J looked up {country}" for country in ("France", "Peru")} <= {*shown[start:].splitlines()}
    assert r"\x3a:error file=app.py::no entry" in shown[start:].splitlines()
    assert "\x1b[2J" not in shown
    assert "looked up" not in shown[:start]
    assert "no entry" not in result.stderr.str()
