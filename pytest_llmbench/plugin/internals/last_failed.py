"""All knowledge of where pytest (9.2) keeps which tests failed, for `--lf` and `--ff`.

Used here and not documented there: the plugin named `lfplugin`, its `lastfailed`, and the structured id of a report.
"""

from typing import Any

import pytest


def remember_as_failed(config: pytest.Config, report: pytest.TestReport) -> None:
    """Have `--lf` run the test of a passed report again; call it after pytest has seen the report."""
    plugin: Any = config.pluginmanager.get_plugin("lfplugin")
    if plugin is not None:
        plugin.lastfailed[getattr(report, "id", report.nodeid)] = True
