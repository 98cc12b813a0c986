"""How a suite has a judge model asked: the fields under `judge`."""

from typing import Annotated, Self, TypeAlias

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from pytest_llmbench.models.entries import Strict
from pytest_llmbench.models.validation import Count, NotNegative, Switch, kept
from pytest_llmbench.values import Sampling

SEVERAL_VOTES_TEMPERATURE = 0.7


class JudgeFields(Strict):
    """How a judge model is asked: so many votes an answer, at this temperature (default 0, for several votes 0.7).

    `instructions` are added to the judge's prompt; `allow_self` lets a model judge its own answers.
    """

    votes: Annotated[int, Field(ge=1, le=15), kept(int, float)] = 1
    temperature: NotNegative | None = None
    max_tokens: Count = 1024
    instructions: str = ""
    allow_self: Switch = False

    @model_validator(mode="after")
    def _votes_can_decide(self) -> Self:
        if self.votes % 2 == 0:
            raise ValueError(f"votes must be odd, so that they cannot tie; ask {self.votes + 1} times")
        if self.votes > 1 and self.temperature == 0:
            raise ValueError("several votes at temperature 0 hardly differ; ask once, or raise the temperature")
        return self

    @property
    def sampling(self) -> Sampling:
        """How the judge is to generate."""
        usual = SEVERAL_VOTES_TEMPERATURE if self.votes > 1 else 0.0
        temperature = usual if self.temperature is None else self.temperature
        return Sampling(max_tokens=self.max_tokens, temperature=temperature)


def _as_fields(given: object) -> object:
    if isinstance(given, bool):
        return JudgeFields() if given else None
    if not isinstance(given, dict | JudgeFields):
        raise ValueError("write true, false, or how to ask, as {votes: 3}; the model is named with --llm-judge")
    return given


JudgeChoice: TypeAlias = Annotated[
    JudgeFields | None,
    BeforeValidator(_as_fields),
    WithJsonSchema({"anyOf": [{"type": "boolean"}, JudgeFields.model_json_schema()]}),
]
"""The value of `judge`: true, false or the fields; None is false."""
