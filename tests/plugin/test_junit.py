"""JUnit XML: properties of cases, totals of suites, in a form that common readers take."""

import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from junitparser import JUnitXml

Project = Callable[..., pytest.Pytester]

ANSWERS = (
    {"case": "france", "answer": "Paris", "latency_s": 0.25, "ttft_s": 0.125},
    {"case": "peru", "answer": "Cusco", "latency_s": 0.5},
)
RUN = ("--llm-model", "old", "--benchmark-quiet", "-p", "no:cacheprovider", "--junitxml=run.xml")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What may stand in an element."""

    attributes: frozenset[str] = frozenset()
    needs: frozenset[str] = frozenset()
    children: frozenset[str] = frozenset()


def rule(attributes: str = "", *, needs: str = "", children: str = "") -> Rule:
    return Rule(
        attributes=frozenset((attributes + " " + needs).split()),
        needs=frozenset(needs.split()),
        children=frozenset(children.split()),
    )


XUNIT2: Mapping[str, Rule] = {
    "testsuites": rule("name time tests failures errors", children="testsuite"),
    "testsuite": rule(
        "group time skipped timestamp hostname id package file log url",
        needs="name tests failures errors",
        children="testsuite properties testcase system-out system-err",
    ),
    "properties": rule(children="property"),
    "property": rule(needs="name value"),
    "testcase": rule("time classname group", needs="name", children="skipped error failure system-out system-err"),
    **dict.fromkeys(("skipped", "error", "failure"), rule("type message")),
    **dict.fromkeys(("system-out", "system-err"), rule()),
}
"""The rules of junit-10.xsd of the xUnit plugin of Jenkins, which pytest's family xunit2 keeps."""


def faults(element: ET.Element) -> list[str]:
    """Tell what breaks the rules."""
    known = XUNIT2[element.tag]
    found = [f"{element.tag} has {name}" for name in element.attrib.keys() - known.attributes]
    found += [f"{element.tag} lacks {name}" for name in known.needs - element.attrib.keys()]
    found += [f"{element.tag} holds {child.tag}" for child in element if child.tag not in known.children]
    return found + [fault for child in element for fault in faults(child)]


def properties(element: ET.Element) -> dict[str, str]:
    return {one.attrib["name"]: one.attrib["value"] for one in element.iterfind("properties/property")}


def suite_of(path: Path) -> ET.Element:
    (suite,) = ET.parse(path).getroot()
    return suite


TOTALS = {
    "llmbench.cases.capitals[old]": "3",
    "llmbench.passed.capitals[old]": "1",
    "llmbench.errors.capitals[old]": "1",
    "llmbench.score.capitals[old]": "0.5",
    "llmbench.latency_p50_s.capitals[old]": "0.375",
    "llmbench.latency_p95_s.capitals[old]": "0.4875",
    "llmbench.ttft_p50_s.capitals[old]": "0.125",
}


@pytest.mark.parametrize(
    "options", [pytest.param((), id="alone"), pytest.param(("-n2",), id="xdist", marks=pytest.mark.slow)]
)
def test_cases_and_suites_have_their_properties(project: Project, options: tuple[str, ...]) -> None:
    """Outcome, model, score, reason and latency of each case; the totals on the suite, under xdist too."""
    pytester = project(ANSWERS)

    pytester.runpytest_subprocess(*RUN, "--llm-no-fail", *options, "cases")

    suite = suite_of(pytester.path / "run.xml")
    assert {case.attrib["name"]: properties(case) for case in suite.iterfind("testcase")} == {
        "france[old]": {
            "outcome": "passed",
            "model": "old",
            "score": "1.0",
            "reason": "correct",
            "latency_s": "0.25",
        },
        "peru[old]": {"outcome": "failed", "model": "old", "score": "0.0", "reason": "different", "latency_s": "0.5"},
        "kenya[old]": {"outcome": "error", "model": "old"},
    }
    assert properties(suite) == TOTALS
    counts = {name: suite.attrib[name] for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "3", "failures": "0", "errors": "1", "skipped": "0"}


def test_the_file_keeps_the_rules_of_its_schema_but_for_properties_of_cases(project: Project) -> None:
    """Those are what pytest's own record_property writes too; Jenkins, GitLab and GitHub's readers take them."""
    pytester = project(ANSWERS)

    pytester.runpytest(*RUN, "-rA", "cases")

    root = ET.parse(pytester.path / "run.xml").getroot()
    assert set(faults(root)) == {"testcase holds properties"}
    for case in root.iter("testcase"):
        case.remove(next(case.iterfind("properties")))
    assert faults(root) == []


def test_a_common_reader_finds_all_of_it(project: Project) -> None:
    """Outcomes, the story of a failure and the properties, read by the library that CI services build on."""
    pytester = project(ANSWERS)

    pytester.runpytest(*RUN, "cases")

    (suite,) = JUnitXml.fromfile(str(pytester.path / "run.xml"))
    by_name = {case.name: case for case in suite}
    assert (suite.tests, suite.failures, suite.errors) == (3, 1, 1)
    (failure,) = by_name["peru[old]"].result
    assert failure.message.startswith('different: Expected "Lima", found "Cusco".')
    assert "  question  Capital of Peru?\n  answer    Cusco\n" in failure.text
    assert {one.name: one.value for one in suite.properties()} == TOTALS


def test_a_gated_run_has_its_verdicts_beside_its_totals(project: Project) -> None:
    """What decided stands in the same file."""
    pytester = project(new=ANSWERS)
    pytester.runpytest("--llm-model", "old", "--benchmark-json=base.json", "--benchmark-quiet", "cases")

    pytester.runpytest(*RUN[2:], "--llm-model", "new", "--llm-baseline=base.json", "cases")

    found = properties(suite_of(pytester.path / "run.xml"))
    assert found["llmbench.verdict"] == "too few cases"
    assert found["llmbench.verdict.capitals[new]"] == "too few cases"
    assert found["llmbench.score.capitals[new]"] == "0.5"


def test_ordinary_tests_have_no_properties_of_ours(project: Project) -> None:
    """They stand in the file as they always did."""
    pytester = project(ANSWERS)
    path = pytester.makepyfile("def test_ordinary(): pass")

    pytester.runpytest(*RUN, "cases", path)

    case = next(c for c in suite_of(pytester.path / "run.xml").iterfind("testcase") if c.get("name") == "test_ordinary")
    assert list(case) == []
