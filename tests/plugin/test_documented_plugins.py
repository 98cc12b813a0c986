"""The examples for authors of plugins, in docs/plugins.md, do what is said of them."""

import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from runpy import run_path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
PROVIDER, GRADER = re.findall(
    r"^```python\n(.*?)^```", (ROOT / "docs" / "plugins.md").read_text(), re.DOTALL | re.MULTILINE
)

COMMAND = Path(sys.executable).parent / "llmbench"

SUITE = """\
suite: brevity
grader: brief
prompt: {completion: "{{ q }}"}
cases:
  - {id: short, q: "be brief", max_words: 3}
  - {id: long, q: "be very very brief", max_words: 3}
  - {id: wild, q: "fail", max_words: 2000}
"""

PROGRAM = """\
#!/bin/sh
read line
if [ "$line" = fail ]; then echo "no more" >&2; exit 3; fi
echo "$line!"
"""

Project = Callable[..., pytest.Pytester]


@pytest.fixture
def documented(project: Project) -> pytest.Pytester:
    """Make a project with both examples as its conftest.py, a program, and an entry for it."""
    pytester = project(suite=SUITE)
    pytester.makeconftest(f"{PROVIDER}\n\n{GRADER}")
    program = pytester.path / "shout.sh"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    models = f"[shout]\nprovider = 'program'\ncommand = '{program}'\n"
    (pytester.path / "fixtures" / "models.toml").write_text(models)
    return pytester


def test_the_command_knows_the_grader_and_runs_its_thorough_check(documented: pytest.Pytester) -> None:
    """What a conftest.py adds, pytest finds for `llmbench validate` too, which runs no test."""
    documented.makeini("[pytest]\naddopts = --llm-model nowhere -q\n")

    result = documented.run(COMMAND, "validate")

    assert result.ret == 0
    result.stdout.fnmatch_lines(['cases/capitals.yaml:7: case "wild": * [[]warning[]]', "1 suite, 3 cases: *"])


def test_the_provider_asks_the_program_and_the_grader_counts_words(documented: pytest.Pytester) -> None:
    """Right, wrong and broken answers come out as such, with times, and the check's warning is shown."""
    result = documented.runpytest_subprocess(
        "--llm-model", "shout", "--benchmark-json=run.json", "--benchmark-quiet", "cases"
    )

    result.assert_outcomes(passed=1, failed=1, errors=1, warnings=1)
    result.stdout.fnmatch_lines(
        [
            "* ERROR at setup of brevity wild (shout) *",
            "*/shout.sh exited with 3: no more",
            "different: 4 words, where 3 are allowed.",
            "  q         be very very brief",
            "  answer    be very very brief!",
            "  expected  at most 3 words",
            '*cases/capitals.yaml:7: case "wild": 1,000 words are not brief.',
        ]
    )
    found = json.loads((documented.path / "run.json").read_text())
    assert [benchmark["params"]["case"] for benchmark in found["benchmarks"]] == ["long", "short"]
    assert found["llmbench"]["models"]["shout"]["identity"]["provider"] == "program"


def test_the_target_field_is_filled_from_the_command_line(documented: pytest.Pytester) -> None:
    """`program:TARGET` needs no entry, and a wrong key in one is named."""
    named = documented.runpytest_subprocess("--llm-model", "a=program:./shout.sh", "-k", "short", "cases")
    (documented.path / "fixtures" / "models.toml").write_text("[shout]\nprovider = 'program'\ncomand = 'x'\n")
    misspelt = documented.runpytest_subprocess("--llm-model", "shout", "cases")

    named.assert_outcomes(passed=1, deselected=2)
    assert misspelt.ret == pytest.ExitCode.USAGE_ERROR
    misspelt.stderr.fnmatch_lines(['*[[]shout[]] has the unknown key "comand"; its keys are: command, *'])


def test_a_package_with_both_is_found_by_each_worker(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Installed beside the plugin, it needs no conftest.py, and pytest no cache."""
    run_path(str(ROOT / ".ci" / "wheel.py"))["write_downstream"](pytester.path)
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel"], cwd=pytester.path, check=True)
    (wheel,) = (pytester.path / "dist").glob("*.whl")
    zipfile.ZipFile(wheel).extractall(pytester.path / "installed")
    monkeypatch.setenv("PYTHONPATH", str(pytester.path / "installed"))
    monkeypatch.chdir(pytester.path / "project")

    result = pytester.runpytest_subprocess(
        "--llm-model", "shout", "--benchmark-json=run.json", "-n", "2", "-p", "no:cacheprovider", "cases"
    )

    result.assert_outcomes(passed=1, failed=1, errors=1)
    result.stdout.fnmatch_lines(["*/shout.sh exited with 3:*", "different: 4 words, where 3 are allowed."])
    found = json.loads(Path("run.json").read_text())
    assert [benchmark["params"]["case"] for benchmark in found["benchmarks"]] == ["long", "short"]
