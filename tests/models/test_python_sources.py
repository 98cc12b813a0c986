"""Which code an application is: a digest of its files."""

import sys
from pathlib import Path

import pytest

from pytest_llmbench.errors import ModelFault
from pytest_llmbench.models.base import OpenSettings
from pytest_llmbench.models.catalog import Catalog
from pytest_llmbench.models.python.sources import digest_of


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a package on the import path that cannot be imported, so that it surely is not."""
    folder = tmp_path / "some_support_app"
    (folder / "prompts").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError")
    (folder / "chain.py").write_text("def answer(prompt): ...")
    (folder / "prompts" / "system.txt").write_text("Be brief.")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return folder


def test_a_package_is_all_that_stands_in_it(package: Path) -> None:
    """A prompt beside the code counts as the code does; so does the name of a file."""
    first = digest_of([package.name])
    (package / "prompts" / "system.txt").write_text("Be kind.")
    changed = digest_of([package.name])
    (package / "prompts" / "system.txt").rename(package / "prompts" / "user.txt")
    renamed = digest_of([package.name])

    assert first is not None
    assert first.startswith("sha256:")
    assert len({first, changed, renamed}) == 3


def test_what_is_made_from_the_code_is_no_part_of_it(package: Path) -> None:
    """Caches, hidden files and virtual environments change nothing."""
    first = digest_of([package.name])
    for file in ("__pycache__/chain.pyc", ".cache/a", ".env", "venv/pyvenv.cfg", "venv/lib/a.py"):
        (package / file).parent.mkdir(exist_ok=True, parents=True)
        (package / file).write_text("x")

    assert digest_of([package.name]) == first


def test_a_module_in_a_package_is_found_without_importing(package: Path) -> None:
    """Its own file alone is its digest."""
    first = digest_of([f"{package.name}.chain"])
    (package / "prompts" / "system.txt").write_text("Be kind.")
    same = digest_of([f"{package.name}.chain"])
    (package / "chain.py").write_text("def answer(question): ...")

    assert first == same != digest_of([f"{package.name}.chain"])


def test_a_folder_without_code_can_be_listed(package: Path) -> None:
    """Paths count beside modules, wherever the folder stands."""
    listed = digest_of([f"{package.name}.chain", str(package / "prompts")])

    assert listed not in (None, digest_of([f"{package.name}.chain"]))


@pytest.mark.parametrize("name", ["no_such_app", "some_support_app.no_such", "some_support_app.chain.no_such"])
def test_a_module_that_is_not_there_is_named(package: Path, name: str) -> None:
    """The message lists the places that were searched."""
    with pytest.raises(ModelFault, match=f'^there is no module "{name}" in the root directory or on the import path; '):
        digest_of([name])


def test_a_file_that_is_taken_for_a_module_is_named_with_the_way_out() -> None:
    """`my_app.py` reads as a module; where there is neither, the path was meant."""
    with pytest.raises(
        ModelFault, match=r'^there is no file "my_app\.py" in the folder of the models file; write the module'
    ):
        digest_of(["my_app.py"])


def test_a_path_that_is_not_there_is_named(package: Path) -> None:
    """The message names the file, and the key it stands in."""
    with pytest.raises(ModelFault, match=r'gone: there is no such file or folder; correct it in "version_of"\.$'):
        digest_of([str(package / "gone")])


def test_a_module_without_a_file_has_no_digest() -> None:
    """What is built into Python is no code of the project."""
    assert digest_of(["sys"]) is None


def test_an_entry_lists_modules_and_paths(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths are relative to the models file; what is no path is the name of a module."""
    file = package.parent / "fixtures" / "models.toml"
    (file.parent / "prompts").mkdir(parents=True)
    (file.parent / "prompts" / "a.txt").write_text("Be brief.")
    file.write_text(
        f'[app]\nprovider = "python"\ntarget = "{package.name}:answer"\n'
        f'version_of = ["{package.name}.chain", "prompts", "../{package.name}/prompts/"]\n'
    )
    (spec,) = Catalog(file, {}).choose(["app"], package.parent)

    model = spec.provider.open(spec.entry, OpenSettings(root=package.parent))

    assert not spec.traits.is_unversioned
    assert model.identity.weights == digest_of(
        [f"{package.name}.chain", str(file.parent / "prompts"), str(package / "prompts")]
    )
