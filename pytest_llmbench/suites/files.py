"""Which files are suites, by a look at their text: light, for it is also asked where no model is named."""

import re
from pathlib import Path

SUFFIXES = (".yaml", ".yml")
"""Of suite files."""

_CLAIMS = ("suite", "(?:grader|checks|prompt)")


def is_suite_text(text: str) -> bool:
    """Return, after a cheap look, whether a YAML text claims to be a suite by the keys at its top level."""
    return all(re.search(rf"""(?m)^(\s*(---)?\s*\{{?\s*|.*,\s*)["']?{key}["']?\s*:""", text) for key in _CLAIMS)


def may_be_suite(path: Path) -> bool:
    """Return, after a cheap look, whether a file claims to be a suite, in whatever encoding: loading may refuse it.

    So may one that cannot be read: left alone, it would be missing from a run that passes.
    """
    try:
        content = path.read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        return False
    except OSError:
        return True
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    return is_suite_text(content.decode(encoding, "replace"))
