"""What is published: the files of the wheel, the notes of a version, and workflows that name each action by its commit."""

import re
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from runpy import run_path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "pytest_llmbench"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
HATCHLING = (sys.executable, "-m", "hatchling", "build", "-t")
NOTES = run_path(str(ROOT / ".ci" / "release_notes.py"))["notes"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel, without network."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([*HATCHLING, "wheel", "-d", str(folder)], cwd=ROOT, check=True, capture_output=True)
    (found,) = folder.glob("*.whl")
    return found


def test_the_wheel_is_the_package(wheel: Path) -> None:
    """Every file of the package that git has, with the action, and nothing else: no tests, no caches, no answers of ours."""
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "pytest_llmbench"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )

    archive = zipfile.ZipFile(wheel)
    names = {name for name in archive.namelist() if ".dist-info/" not in name}
    action = {f"pytest_llmbench/cli/templates/{name}": (ROOT / name).read_bytes() for name in ("action.yml", "run.sh")}

    assert names == {name for name in tracked.stdout.splitlines() if (ROOT / name).is_file()} | set(action)
    assert {name: archive.read(name) for name in action} == action
    assert {"pytest_llmbench/py.typed", "pytest_llmbench/suite.schema.json"} <= names


def test_the_source_archive_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    """Byte for byte, so that what is inspected in one is in the other."""
    subprocess.run([*HATCHLING, "sdist", "-d", str(tmp_path)], cwd=ROOT, check=True, capture_output=True)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        opened.extractall(tmp_path, filter="data")

    source = tmp_path / archive.name.removesuffix(".tar.gz")
    subprocess.run([*HATCHLING, "wheel", "-d", str(tmp_path)], cwd=source, check=True, capture_output=True)

    assert (tmp_path / wheel.name).read_bytes() == wheel.read_bytes()


def test_the_wheel_is_small(wheel: Path) -> None:
    """About a megabyte; docs/index.md states its size, to the tenth."""
    stated = re.search(r"The wheel has ([0-9.]+) MB", (ROOT / "docs" / "index.md").read_text(encoding="utf-8"))

    assert stated is not None
    assert wheel.stat().st_size / 1e6 == pytest.approx(float(stated[1]), abs=0.07)
    assert float(stated[1]) <= 1.2


def test_the_wheel_has_its_licence(wheel: Path) -> None:
    """And the metadata that PyPI lists it by."""
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = [name for name in archive.namelist() if name.endswith("/METADATA")]
        text = archive.read(metadata).decode()
        assert any(name.endswith("/licenses/LICENSE") for name in archive.namelist())

    assert "License-Expression: Apache-2.0" in text
    assert "Classifier: Framework :: Pytest" in text


CHANGELOG = "# Changelog\n\n## Unreleased\n\n## 0.2.0.1\n\n- c\n\n## 0.2.0\n\n### Added\n\n- b\n\n## 0.1.0\n"


@pytest.mark.parametrize("version", ["0.2.0", "0.2.0rc1"])
def test_the_notes_of_a_version_are_its_section(version: str) -> None:
    """A release candidate has those of its version."""
    assert NOTES(CHANGELOG, f"v{version}", version) == "### Added\n\n- b\n"


@pytest.mark.parametrize(
    ("tag", "version", "message"),
    [
        ("v0.2.0", "0.3.0", "the tag is v0.2.0, and pyproject.toml has version 0.3.0; they must be the same."),
        ("v0.2.0rc2", "0.2.0", "the tag is v0.2.0rc2, and pyproject.toml has version 0.2.0; they must be the same."),
        ("0.2.0", "0.2.0", "the tag is 0.2.0, and pyproject.toml has version 0.2.0; they must be the same."),
        ("v0.1.0", "0.1.0", "CHANGELOG.md has nothing about 0.1.0; name the section of what is unreleased so."),
        ("v0.20", "0.20", "CHANGELOG.md has nothing about 0.20; name the section of what is unreleased so."),
    ],
)
def test_a_version_without_notes_is_not_released(tag: str, version: str, message: str) -> None:
    """Nor one that is not the package's: the job ends before anything is built.

    A release candidate is a version too: what TestPyPI has of one cannot be replaced.
    """
    with pytest.raises(SystemExit, match=re.escape(message)):
        NOTES(CHANGELOG, tag, version)


def test_a_release_leaves_nothing_unreleased() -> None:
    """What is in the code at the tag is in the release, so that its notes have to mention it."""
    with pytest.raises(SystemExit, match=r"unreleased lines, which v0\.2\.0 would release; move them to 0\.2\.0"):
        NOTES(CHANGELOG.replace("## Unreleased\n", "## Unreleased\n\n- d\n"), "v0.2.0", "0.2.0")


def jobs() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in WORKFLOWS:
        for name, job in yaml.safe_load(path.read_text())["jobs"].items():
            yield f"{path.name} {name}", job


def test_workflows_name_actions_by_their_commit() -> None:
    """A tag can be moved, a commit cannot."""
    used = [step["uses"] for _, job in jobs() for step in job["steps"] if "uses" in step]

    assert used
    assert [name for name in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", name)] == []


def test_only_the_job_that_publishes_may_speak_for_the_project() -> None:
    """Its steps build nothing, so that nothing a dependency does at build time can reach the token."""
    trusted = {name: job for name, job in jobs() if "id-token" in job.get("permissions", {})}

    (job,) = trusted.values()
    assert list(trusted) == ["release.yml publish"]
    assert job["environment"] == "pypi"
    assert not any("run" in step for step in job["steps"])


def test_each_dependency_has_a_lowest_version() -> None:
    """By which the job with the oldest ones installs it."""
    found = run_path(str(ROOT / ".ci" / "wheel.py"))

    assert found["lowest"]("duckdb>=2,<3") == "duckdb==2"
    with pytest.raises(SystemExit, match="without a lowest version"):
        found["lowest"]("jinja2")


class Pages(BaseHTTPRequestHandler):
    """A server with one page, one that asks for a login, and none else."""

    def do_GET(self) -> None:
        self.send_response({"/here": 200, "/login": 403}.get(self.path, 404))
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Print nothing."""


def test_dead_links_of_the_documentation_are_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A page that is gone is named with the page that links to it; an address in code is an example."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    home = f"http://127.0.0.1:{server.server_port}"
    (tmp_path / "docs").mkdir()
    text = f"[a]({home}/here) [b]({home}/gone#part) [c]({home}/login) `{home}/example`"
    (tmp_path / "docs" / "page.md").write_text(text)

    status = run_path(str(ROOT / ".ci" / "links.py"))["main"](tmp_path)

    server.shutdown()
    server.server_close()
    assert capsys.readouterr().out == f"docs/page.md: {home}/gone: status 404\n3 links, 1 dead\n"
    assert status == 1
