"""Write a suite file: texts that YAML 1.2 reads back as they are, long ones in blocks."""

from pathlib import Path
from typing import Any

import yaml

from pytest_llmbench.suites import yaml12

_Base: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Dumper(_Base):  # type: ignore[misc]
    """A dumper of plain values."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write each value where it stands: a suite has no aliases."""
        del data
        return True


def _text(dumper: Any, text: str) -> Any:
    style = None
    if "\n" in text and not any(line.endswith((" ", "\t")) for line in text.split("\n")):
        style = "|"
    elif not isinstance(yaml12.value(yaml.ScalarNode("", text), Path()), str):
        # a plain scalar that YAML 1.2 does not take as text, and YAML 1.1 does
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
_Dumper.add_multi_representer(dict, lambda dumper, value: dumper.represent_dict(value.items()))
_Dumper.add_multi_representer(tuple, lambda dumper, value: dumper.represent_list(value))


def yaml_text(value: Any) -> str:
    """Give a value as YAML, keys in their order."""
    found: str = yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120, default_flow_style=False
    )
    return found
