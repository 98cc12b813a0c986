"""Python tests of the cases of a suite: marker, fixtures, outcomes."""

import json
from collections.abc import Callable

import pytest

Project = Callable[..., pytest.Pytester]

WRONG_PERU = (
    {"case": "france", "answer": "Paris", "latency_s": 0.25},
    {"case": "peru", "answer": "Cusco", "latency_s": 0.5},
    {"case": "kenya", "answer": "Nairobi", "latency_s": 0.75},
)

TEST = """
import pytest

@pytest.mark.llm_suite("cases/capitals.yaml")
def test_capital(llm_case, llm_answer, llm_grade):
    assert llm_case.inputs["question"].endswith("?")
    assert llm_grade.passed, llm_grade
"""


def test_a_marked_test_runs_for_each_case_and_model(project: Project) -> None:
    """Its id names case and role; marks of the case select it; the record stands in the scoreboard."""
    pytester = project(WRONG_PERU)
    path = pytester.makepyfile(TEST)

    result = pytester.runpytest(
        "--llm-model", "old", "-v", "--benchmark-quiet", "--strict-markers", "-m", "america or africa", str(path)
    )

    result.stdout.fnmatch_lines(
        [
            "*::test_capital[[]peru-old[]] FAILED*",
            "*::test_capital[[]kenya-old[]] PASSED*",
        ]
    )


@pytest.mark.parametrize(
    ("mark", "told"),
    [
        ("skip", {"skipped": 3}),
        ("skipif(True, reason='not here')", {"skipped": 3}),
        ("skipif('config.rootpath', reason='not here')", {"skipped": 3}),
        ("xfail(run=False)", {"xfailed": 3}),
        ("skipif('no such name')", {"errors": 3}),
        ("skipif(False, reason='here')", {"passed": 3}),
        ("xfail(False, run=False, reason='here')", {"passed": 3}),
    ],
)
def test_what_its_marks_keep_from_being_run_is_not_asked(project: Project, mark: str, told: dict[str, int]) -> None:
    """Such a test has no record, whichever mark says so, and none is counted."""
    pytester = project()
    path = pytester.makepyfile(TEST.replace("@pytest", f"@pytest.mark.{mark}\n@pytest", 1))

    result = pytester.runpytest("--llm-model", "old", "--benchmark-quiet", str(path))

    result.assert_outcomes(**told)
    assert [line for line in result.outlines if line.startswith("capitals ")][1:] == (
        ["capitals old: 3 correct"] if "passed" in told else []
    )


@pytest.mark.parametrize(
    ("mark", "outcomes"),
    [
        ("xfail(reason='known', strict=True)", {"xfailed": 1, "failed": 2}),
        ("xfail(reason='known')", {"xfailed": 1, "xpassed": 2}),
        ("xfail(False, reason='not here')", {"passed": 2}),
    ],
)
def test_a_wrong_answer_of_a_test_that_is_expected_to_fail_is_xfailed(
    project: Project, mark: str, outcomes: dict[str, int]
) -> None:
    """Also where a wrong answer fails no test: turned into a pass, it would be a surprise, and fail a strict test."""
    pytester = project(WRONG_PERU)
    path = pytester.makepyfile(TEST.replace("@pytest", f"@pytest.mark.{mark}\n@pytest", 1))

    result = pytester.runpytest("--llm-model", "old", "--llm-no-fail", "--benchmark-quiet", str(path))

    result.assert_outcomes(**outcomes)
    assert ("1 wrong" in result.outlines[-1]) is ("xfailed" not in outcomes)


def test_what_a_fixture_skips_is_not_counted(project: Project) -> None:
    """A test that is skipped while it is set up has no record; an error that was expected has one."""
    pytester = project((WRONG_PERU[0], WRONG_PERU[2]))  # none for peru
    path = pytester.makepyfile(
        TEST.replace("(llm_case,", "(chosen, llm_case,") + "\n@pytest.fixture\ndef chosen(llm_case):\n"
        "    if llm_case.id == 'kenya': pytest.skip('not here')\n"
    )
    suite = pytester.path / "cases" / "capitals.yaml"
    suite.write_text(suite.read_text().replace("id: peru,", "id: peru, xfail: known,"))

    result = pytester.runpytest("--llm-model", "old", "--benchmark-json=run.json", "--benchmark-quiet", str(path))

    result.assert_outcomes(passed=1, skipped=1, xfailed=1)
    found = json.loads((pytester.path / "run.json").read_text())
    kept = [*(one["extra_info"]["llmbench"] for one in found["benchmarks"]), *found["llmbench"]["unmeasured"]]
    assert [(record["case"], record["outcome"]) for record in kept] == [("france", "passed"), ("peru", "error")]


def test_a_wrong_answer_fails_with_the_test_s_own_traceback(project: Project) -> None:
    """The user's assertion is shown as it is, the case's story in a section behind it."""
    pytester = project(WRONG_PERU)
    path = pytester.makepyfile(TEST)

    result = pytester.runpytest("--llm-model", "old", "-k", "peru", str(path))

    result.assert_outcomes(failed=1, deselected=2)
    result.stdout.fnmatch_lines(
        [
            ">       assert llm_grade.passed, llm_grade",
            """E       AssertionError: <Grade different (score 0.00): 'Expected "Lima", found "Cusco".'>""",
            "*- case -*",
            'different: Expected "Lima", found "Cusco".',
            "  question  Capital of Peru?",
        ]
    )


def test_only_a_wrong_answer_is_forgiven(project: Project) -> None:
    """With --llm-no-fail an AssertionError of a case graded as passed still fails, and so does any other exception."""
    pytester = project(WRONG_PERU)
    path = pytester.makepyfile(
        """
        import pytest

        @pytest.mark.llm_suite("cases/capitals.yaml")
        def test_capital(llm_case, llm_grade):
            if llm_case.id == "france":
                assert False, "my own check"
            if llm_case.id == "kenya":
                raise ValueError("my own bug")
            assert llm_grade.passed
        """
    )

    result = pytester.runpytest("--llm-model", "old", "--llm-no-fail", str(path))

    result.stdout.fnmatch_lines(["*2 failed, 1 wrong in*"])


def test_the_opened_model_may_be_asked_more(project: Project) -> None:
    """`llm_model` answers requests of the test's own, which are not recorded."""
    pytester = project(WRONG_PERU)
    path = pytester.makepyfile(
        """
        import pytest
        from pytest_llmbench import Prompt, Request, Sampling

        @pytest.mark.llm_suite("cases/capitals.yaml")
        def test_capital(llm_model, llm_case):
            request = Request(suite="capitals", case="kenya", sample=0, prompt=Prompt(text="x"), sampling=Sampling())
            (answer,) = llm_model.answer([request])
            assert answer.text == "Nairobi"
            assert llm_model.identity.provider == "recorded"
        """
    )

    result = pytester.runpytest("--llm-model", "old", "--llm-model", "again=old", str(path))

    result.assert_outcomes(passed=6)


def test_a_fixture_outside_a_suite_says_what_to_do(project: Project) -> None:
    """`llm_grade` in a test without the mark is an error with the way out."""
    pytester = project()
    path = pytester.makepyfile("def test_a(llm_grade): pass")

    result = pytester.runpytest("--llm-model", "old", str(path))

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ['*test_a uses a llm_ fixture but belongs to no suite; add @pytest.mark.llm_suite("FILE").']
    )
    assert "fixtures.py" not in result.stdout.str()


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        ('"none.yaml"', "no suite file */none.yaml; correct the path in its llm_suite mark."),
        ("", 'write @pytest.mark.llm_suite("FILE"), a path relative to the test file.'),
        (
            '"other.yaml"',
            "*other.yaml: this is not a suite file; it needs `suite`, and `grader` or `checks`, at its top level.",
        ),
    ],
)
def test_a_wrong_mark_says_what_to_do(project: Project, mark: str, message: str) -> None:
    """A mark without a path, with one that is not there or no suite, is one clear sentence, without a traceback."""
    pytester = project()
    (pytester.path / "other.yaml").write_text("a: 1")
    path = pytester.makepyfile(f"import pytest\n@pytest.mark.llm_suite({mark})\ndef test_a(): pass")

    result = pytester.runpytest("--llm-model", "old", str(path))

    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(
        ["*ERROR collecting test_a_wrong_mark_says_what_to_do.py*", f"*{message}"], consecutive=True
    )
    assert "collect.py" not in result.stdout.str()


def test_the_database_of_a_suite_may_be_looked_into(project: Project) -> None:
    """`llm_database` gives read-only connections to the instances, which read no other files; a suite without one says so."""
    pytester = project([{"case": "two", "answer": "SELECT 2"}])
    (pytester.path / "cases" / "sql.yaml").write_text(
        "suite: sql\ngrader: sql\ndatabase: tiny\nprompt: {completion: '{{ question }}'}\n"
        "cases: [{id: two, question: q, reference: SELECT count(*) FROM t}]\n"
    )
    database = pytester.path / "cases" / "tiny"
    database.mkdir()
    (database / "schema.sql").write_text("CREATE TABLE t (a INTEGER)")
    (database / "database.toml").write_text("[instances.one]\nnow = 2024-03-05T14:37:21\n")
    (database / "one.sql").write_text("INSERT INTO t VALUES (1), (2)")
    path = pytester.makepyfile(
        """
        import pytest

        @pytest.mark.llm_suite("cases/sql.yaml")
        def test_sql(llm_grade, llm_database):
            assert llm_grade.passed, llm_grade
            with llm_database.connect("one") as connection, llm_database.connect() as other:
                assert other.sql("SELECT current_setting('TimeZone')").fetchall() == [("UTC",)]
                assert connection.sql("SELECT sum(a) FROM t").fetchall() == [(3,)]
                with pytest.raises(Exception, match="read-only"):
                    connection.execute("DELETE FROM t")
                with pytest.raises(Exception, match="disabled by configuration"):
                    connection.execute("SELECT * FROM read_text('conftest.py')")

        @pytest.mark.llm_suite("cases/capitals.yaml")
        def test_capital(llm_database):
            pass
        """
    )

    result = pytester.runpytest("--llm-model", "old", "-k", "two or france", str(path))

    result.assert_outcomes(passed=1, errors=1, deselected=2)
