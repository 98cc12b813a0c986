"""What the tests of the action share."""

from pathlib import Path

import pytest

from action_job import Job, make_job


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """Have a job of a pull request of the same repository; pytest ends with 0."""
    return make_job(tmp_path)
