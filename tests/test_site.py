"""The site builds from the pages in docs/, and a link that leads nowhere keeps it from being built."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.slow


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """Give a copy of what the site is built from."""
    if importlib.util.find_spec("zensical") is None and not os.environ.get("CI"):
        pytest.skip("there is no zensical: pip install -e '.[dev]'")
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    return tmp_path


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / ".ci" / "site.py"), str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_site_is_built(sources: Path) -> None:
    """A page for each file, under the same name, and nothing that is fetched from elsewhere."""
    done = build(sources)

    assert done.returncode == 0, done.stdout
    assert (sources / "site" / "recipes" / "rag-app" / "index.html").is_file()
    home = (sources / "site" / "index.html").read_text(encoding="utf-8")
    assert "From an empty folder to a gate" in home
    assert "fonts.googleapis.com" not in home
    commands = (sources / "site" / "commands" / "index.html").read_text(encoding="utf-8")
    assert "text|markdown|json" in commands
    options = (sources / "site" / "options" / "index.html").read_text(encoding="utf-8")
    assert '<td data-title="meaning">' in options  # a phone shows a row as a block, with the names of the columns
    gate = (sources / "site" / "gate" / "index.html").read_text(encoding="utf-8")
    assert "<table>" in gate  # a table of numbers stays one
    assert (sources / "site" / "stylesheets" / "extra.css").is_file()
    assert (sources / "site" / "recipes" / "rag-app.md").is_file()  # llms.txt links to it


@pytest.mark.parametrize(
    ("link", "fault"), [("gone.md", "page does not exist"), ("gate.md#gone", "anchor does not exist")]
)
def test_a_dead_link_stops_it(sources: Path, link: str, fault: str) -> None:
    """Whether the page is missing or the heading in it."""
    with (sources / "docs" / "ci.md").open("a", encoding="utf-8") as file:
        file.write(f"\n[dead]({link})\n")

    done = build(sources)

    assert done.returncode != 0
    assert fault in done.stdout + done.stderr
