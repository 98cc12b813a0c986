"""The fixtures of a case where no model is named: each skips the test that asks for it, and describes the way out.

A test that names one is skipped before anything of it is set up (`no_model.py`); these are for those that ask for one
as they run, with `request.getfixturevalue`.
"""

from collections.abc import Callable

import pytest

WAY_OUT = "name one with --llm-model NAME (an entry of fixtures/models.toml, or PROVIDER:TARGET as openai:gpt-4o-mini)"
REASON = f"no model is named; {WAY_OUT}"


def _skipping(name: str) -> Callable[[], None]:
    @pytest.fixture(name=name)
    def skip() -> None:
        """Skip: a case needs a model, named with --llm-model."""
        pytest.skip(REASON)

    return skip


llm_model = _skipping("llm_model")
llm_case = _skipping("llm_case")
llm_answer = _skipping("llm_answer")
llm_grade = _skipping("llm_grade")
llm_database = _skipping("llm_database")
