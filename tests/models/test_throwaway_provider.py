"""A provider is one file, and one line of the catalog."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

PROVIDER = '''
"""A throw-away provider: it answers with its target."""

from pytest_llmbench.models.base import Identity, Traits
from pytest_llmbench.models.entries import Entry
from pytest_llmbench.values import Answer, PromptStyle


class ParrotEntry(Entry):
    words: str


class Parrot:
    concurrency = 1

    def __init__(self, words):
        self._words = words
        self.identity = Identity(provider="parrot", model=words)

    def answer(self, requests, *, arrived=None, halt=None):
        return tuple(Answer(text=self._words) for _ in requests)

    def close(self):
        pass


class ParrotProvider:
    entry_type = ParrotEntry
    target_field = "words"

    def traits(self, entry):
        return Traits(is_free=True)

    def prompt_style(self, entry):
        return PromptStyle.COMPLETION

    def open(self, entry, settings):
        return Parrot(entry.words)


PROVIDER = ParrotProvider()
'''

USE = """
from pathlib import Path
from pytest_llmbench.models.base import OpenSettings
from pytest_llmbench.models.catalog import Catalog

(spec,) = Catalog(Path("none.toml"), {}).choose(["parrot:Paris"], Path())
model = spec.provider.open(spec.entry, OpenSettings())
print(spec.role, spec.traits.is_free, [answer.text for answer in model.answer([1, 2])])
"""


def test_a_provider_is_one_file_and_one_line(tmp_path: Path) -> None:
    """With its file and its line in the catalog, the command line names it, with its traits and its answers."""
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "pytest_llmbench", tmp_path / "pytest_llmbench", ignore=ignore)
    catalog = tmp_path / "pytest_llmbench" / "models" / "catalog.py"
    before = catalog.read_text(encoding="utf-8")
    first = '        "recorded": "recorded",\n'
    catalog.write_text(before.replace(first, f'{first}        "parrot": "parrot",\n'), encoding="utf-8")
    catalog.with_name("parrot.py").write_text(PROVIDER, encoding="utf-8")

    done = subprocess.run([sys.executable, "-c", USE], capture_output=True, text=True, timeout=60, cwd=tmp_path)

    assert done.stderr == ""
    assert done.stdout.splitlines() == ["Paris True ['Paris', 'Paris']"]
