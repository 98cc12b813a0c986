"""The names other packages may rely on."""

import subprocess
import sys

import pytest

import pytest_llmbench


def test_every_public_name_is_there() -> None:
    """All that is listed can be imported."""
    for name in pytest_llmbench.__all__:
        assert getattr(pytest_llmbench, name) is not None


def test_other_names_are_none() -> None:
    """A name that is not listed is an attribute error as usual."""
    with pytest.raises(AttributeError, match="has no attribute 'Grader'"):
        pytest_llmbench.Grader  # noqa: B018


def test_importing_the_package_imports_nothing_of_it() -> None:
    """A start of pytest that uses no model pays for none of it: what a name needs comes with the name."""
    script = "import sys, pytest_llmbench; print([name for name in sys.modules if name.startswith('pytest_llmbench.')])"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_deprecations_can_be_made_failures(pytester: pytest.Pytester) -> None:
    """By their public name, as docs/stability.md shows it."""
    pytester.makeini("[pytest]\nfilterwarnings = error::pytest_llmbench.LlmbenchDeprecationWarning\n")
    pytester.makepyfile(
        """
        import warnings
        from pytest_llmbench import LlmbenchDeprecationWarning

        def test_old():
            warnings.warn(LlmbenchDeprecationWarning("`a` is called `b` now; 0.4 is the first version without `a`."))
        """
    )

    result = pytester.runpytest("-p", "no:cacheprovider")

    assert result.ret == 1
    assert (
        "E       pytest_llmbench.LlmbenchDeprecationWarning: `a` is called `b` now; 0.4 is the first version without `a`."
        in result.outlines
    )
