"""Code of a source: refused without `--trust-code`, run in a child process with it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_llmbench.importers.base import NotMapped, Place
from pytest_llmbench.importers.trusted_code import result_of

Import = Callable[..., tuple[int, list[str]]]

CONFIG = 'prompts: ["Q: {{ q }}"]\nproviders: [openai:gpt-4o-mini]\ntests: file://make.py\n'


def call(tmp_path: Path, code: str, *arguments: object, limit_s: float = 30) -> object:
    file = tmp_path / "make.py"
    file.write_text(code, encoding="utf-8")
    return result_of(file, "make", list(arguments), Place(path=Path("p.yaml"), line=3), limit_s)  # type: ignore[arg-type]


def test_code_sees_its_folder_and_no_variable_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It imports from its folder, is given its arguments, and finds no key in its environment."""
    monkeypatch.setenv("OPENAI_API_KEY", "s3cret")
    (tmp_path / "beside.py").write_text("WORD = 'beside'", encoding="utf-8")
    code = "import os, beside\n\nasync def make(a):\n    print('x')\n    return [beside.WORD, a, sorted(os.environ)]\n"

    word, argument, variables = call(tmp_path, code, {"n": 1})  # type: ignore[misc]

    assert (word, argument) == ("beside", {"n": 1})
    assert not {name for name in variables if "KEY" in name}


BROKEN = {
    "raises": (
        "def make():\n    raise ValueError('no luck')\n",
        'p.yaml:3: "make.py:make" broke: ValueError: no luck;',
    ),
    "is no data": ("def make():\n    return {1, 2}\n", "broke: TypeError: Object of type set is not JSON serializable"),
    "has no function": ("def other():\n    pass\n", "has no attribute 'make'"),
    "leaves": ("import os\n\ndef make():\n    os._exit(3)\n", '"make.py:make" ended with status 3; write out'),
    "does not end": ("def make():\n    while True: pass\n", '"make.py:make" took over 1 s; write out what it gives.'),
}


@pytest.mark.parametrize(("code", "message"), BROKEN.values(), ids=list(BROKEN))
def test_code_that_gives_no_data_is_named(code: str, message: str, tmp_path: Path) -> None:
    """The line of the source, what happened, and the way out."""
    with pytest.raises(NotMapped) as caught:
        call(tmp_path, code, limit_s=1 if "while" in code else 30)

    assert message in str(caught.value)


def test_a_key_in_code_is_never_copied(import_of: Import, tmp_path: Path) -> None:
    """An assertion that holds what looks like a key is not taken over, and nothing is written."""
    folder = tmp_path / "source"
    folder.mkdir()
    key = "sk-" + "a1" * 15
    (folder / "promptfooconfig.yaml").write_text(
        CONFIG.replace(
            "file://make.py", f"[{{vars: {{q: a}}, assert: [{{type: python, value: \"'{key}' in output\"}}]}}]"
        )
    )

    status, lines = import_of(folder, "--trust-code")

    assert status == 2
    assert "code of the source (__init__.py) holds what looks like the key of a service" in lines[0]
    assert key not in "".join(lines)
    assert not (tmp_path / "cases").exists()


def test_tests_that_are_no_list_are_refused(import_of: Import, tmp_path: Path) -> None:
    """A generator must give a list of tests."""
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "promptfooconfig.yaml").write_text(CONFIG)
    (folder / "make.py").write_text("def generate_tests():\n    return 'no'\n")

    status, lines = import_of(folder, "--trust-code")

    assert status == 1
    assert lines[0] == (
        'promptfooconfig.yaml:3: "make.py" gave no list of at most 200,000 tests; have it give one, or write it out.'
    )
