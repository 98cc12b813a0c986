"""pytest where no model is named: what would need one is not run, and one line describes how to name one."""

from collections.abc import Callable

import pytest

Project = Callable[..., pytest.Pytester]

WAY_OUT = "name one with --llm-model NAME (an entry of fixtures/models.toml, or PROVIDER:TARGET as openai:gpt-4o-mini)"
MARKED = """
import pytest

@pytest.mark.llm_suite("cases/capitals.yaml")
def test_marked(llm_grade):
    assert llm_grade.passed

def test_ordinary():
    pass
"""


def test_suites_among_the_given_paths_are_named_with_the_way_out(project: Project) -> None:
    """`pytest cases` collects no test, which is pytest's exit status 5, and one line has the option that is missing."""
    pytester = project()

    one = pytester.runpytest("-q", "cases")
    (pytester.path / "cases" / "other.yml").write_text((pytester.path / "cases" / "capitals.yaml").read_text())
    (pytester.path / "cases" / "plain.yaml").write_text("a: 1\n")
    two = pytester.runpytest("cases")

    assert one.ret == two.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    assert f"llmbench: cases/capitals.yaml is not run, since no model is named; {WAY_OUT}" in one.outlines
    assert f"llmbench: cases/capitals.yaml and 1 more are not run, since no model is named; {WAY_OUT}" in two.outlines


@pytest.mark.parametrize(("path", "status"), [("cases/capitals.yaml", 5), ("cases/capitals.yaml::france[m]", 4)])
def test_a_suite_that_is_named_itself_is_named_with_the_way_out(project: Project, path: str, status: int) -> None:
    """Not "not found" alone: the file is there, and a model is missing. The id of a case is one that pytest misses."""
    result = project().runpytest("-q", path)

    assert result.ret == status
    assert f"llmbench: cases/capitals.yaml is not run, since no model is named; {WAY_OUT}" in result.outlines


def test_a_run_without_paths_mentions_no_suite(project: Project) -> None:
    """Whoever runs the ordinary tests of a project that has suites, too, is not told about them; marked tests skip."""
    pytester = project()
    pytester.makepyfile(MARKED)

    result = pytester.runpytest("--strict-markers")

    assert result.ret == 0
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.no_fnmatch_line("*llmbench:*")


def test_a_run_without_paths_that_finds_no_test_names_the_suites(project: Project) -> None:
    """Whoever types `pytest` in a project of suites alone learns what is missing."""
    result = project().runpytest("-q")

    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    assert f"llmbench: cases/capitals.yaml is not run, since no model is named; {WAY_OUT}" in result.outlines


@pytest.mark.parametrize("arguments", ["llm_model", "llm_case", "llm_database"])
def test_a_python_test_that_needs_a_model_is_skipped_with_the_way_out(project: Project, arguments: str) -> None:
    """Marked, or asking for a fixture of a case, itself or through another fixture: SKIPPED, and nothing fails."""
    pytester = project()
    path = pytester.makepyfile(
        f"import pytest\n@pytest.fixture\ndef through({arguments}): pass\n"
        f"def test_asks({arguments}): pass\ndef test_asks_through(through): pass\n" + MARKED
    )

    result = pytester.runpytest("-rs", str(path))

    assert result.ret == 0
    result.assert_outcomes(passed=1, skipped=3)
    reasons = [line for line in result.outlines if line.startswith("SKIPPED")]
    assert reasons != []
    assert all(line.endswith(f": no model is named; {WAY_OUT}") for line in reasons)


def test_a_test_that_asks_for_a_fixture_as_it_runs_is_skipped_too(project: Project) -> None:
    """`getfixturevalue` is known to nobody before: not "fixture not found", but the same way out."""
    pytester = project()
    path = pytester.makepyfile("def test_it(request): request.getfixturevalue('llm_grade')")

    result = pytester.runpytest("-rs", str(path))

    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines([f"SKIPPED * no model is named; {WAY_OUT.replace('[', '[[]')}"])


@pytest.mark.slow
def test_workers_name_suites_as_well(project: Project) -> None:
    """Under -n the process with the terminal collects nothing; the line comes at the end."""
    result = project().runpytest_subprocess("-n", "2", "cases")

    assert f"llmbench: cases/capitals.yaml is not run, since no model is named; {WAY_OUT}" in result.outlines


def test_a_fixture_of_the_same_name_that_is_somebody_else_s_skips_nothing(project: Project) -> None:
    """A project may have a fixture `llm_model` of its own, or a parameter; its tests run."""
    pytester = project()
    path = pytester.makepyfile(
        """
        import pytest

        @pytest.fixture
        def llm_model():
            return "mine"

        def test_own(llm_model):
            assert llm_model == "mine"

        @pytest.mark.parametrize("llm_case", [1])
        def test_parameter(llm_case):
            assert llm_case == 1
        """
    )

    pytester.runpytest(str(path)).assert_outcomes(passed=2)
