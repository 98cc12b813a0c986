"""`--llm-env-file`: what is read from it, what is shown of it, and what is refused."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.plugin.env_file import read_env_file

Project = Callable[..., pytest.Pytester]

LINES = (
    ("KEY=sk-1", "sk-1"),
    ("  export KEY = sk-1  ", "sk-1"),
    ("KEY=", ""),
    ("KEY=# a comment", ""),
    ("KEY=two words # and a comment", "two words"),
    ("KEY=a#b", "a#b"),
    ("KEY=it's", "it's"),
    ("KEY=a=b==", "a=b=="),
    ('KEY="a # b" # c', "a # b"),
    (r'KEY="line\nand \"quotes\" \\"', 'line\nand "quotes" \\'),
    (r"KEY='as it $is \n'", r"as it $is \n"),
    ("KEY=one\r\nKEY=two\r", "two"),
    ("\ufeffKEY=bom", "bom"),
)


@pytest.mark.parametrize(("text", "value"), LINES)
def test_a_line_is_a_name_and_a_value(tmp_path: Path, text: str, value: str) -> None:
    """Quotes, comments and `export` as people write them for a shell; nothing in a value is expanded."""
    (tmp_path / ".env").write_text(f"# keys\n\n{text}\n", encoding="utf-8")
    if text.startswith("\ufeff"):
        (tmp_path / ".env").write_text(text, encoding="utf-8")

    assert read_env_file(tmp_path / ".env") == {"KEY": value}


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("sk-secret", "a line must be NAME=value, a comment (# ...) or empty"),
        ("1KEY=sk-secret", "a line must be NAME=value, a comment (# ...) or empty"),
        ("KEY: sk-secret", "a line must be NAME=value, a comment (# ...) or empty"),
        ("KEY=sk-secret\0", "a line must be NAME=value, a comment (# ...) or empty"),
        ('KEY="sk-secret', "the value of KEY has a quote that is not closed on its line, or text behind it"),
        ("KEY='sk-secret' more", "the value of KEY has a quote that is not closed on its line, or text behind it"),
    ],
)
def test_a_broken_line_is_named_and_not_quoted(tmp_path: Path, line: str, what: str) -> None:
    """It may hold a secret: file and line are enough to find it."""
    path = tmp_path / ".env"
    path.write_text(f"OTHER=1\n{line}\n")

    with pytest.raises(UsageFault) as caught:
        read_env_file(path)

    assert str(caught.value) == f"{path}:2: {what}."


def test_the_environment_goes_before_the_file_and_values_are_shown_nowhere(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names stand in the header; after the run the environment is as it was."""
    monkeypatch.setenv("LLMBENCH_OURS", "from-outside")
    pytester = project()
    (pytester.path / "keys.env").write_text("LLMBENCH_OURS=sk-inner\nLLMBENCH_NEW=sk-new\n")
    pytester.makepyfile(
        test_keys="import os\n"
        "def test_it(): assert (os.environ['LLMBENCH_OURS'], os.environ['LLMBENCH_NEW']) == ('from-outside', 'sk-new')"
    )

    result = pytester.runpytest("--llm-model", "old", "--llm-env-file=keys.env", "--benchmark-json=run.json", "-v")

    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["llmbench: *keys.env: set LLMBENCH_NEW; already in the environment: LLMBENCH_OURS"])
    assert "sk-" not in result.stdout.str() + result.stderr.str() + (pytester.path / "run.json").read_text()
    assert "LLMBENCH_NEW" not in os.environ


def test_a_file_that_is_not_there_is_a_usage_error(project: Project) -> None:
    """An explicit file is wanted: without it, no key would be set, and the fault would be looked for elsewhere."""
    result = project().runpytest("--llm-model", "old", "--llm-env-file=no.env", "cases")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --llm-env-file=*no.env: it cannot be read: No such file or directory."])
