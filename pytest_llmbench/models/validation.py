"""What may stand in a field of a suite or of the models file, and the words for what is wrong with one.

A number is a number and a switch is true or false: `concurrency = "8"` and `ordered: yes` are faults, as
the JSON schema for editors says, and not guessed at.  CSV has nothing but texts; validated with the
context `FROM_TEXT`, a text that reads as a number or a switch is one.
"""

import difflib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, get_args

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, ValidationInfo

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

FROM_TEXT = {"is_from_text": True}
"""The context of values that are read from a file of texts."""


def kept(*kinds: type) -> BeforeValidator:
    """Refuse what is of another kind and would be converted.

    Bounds stand before it in an annotation, or they get lost in the JSON schema.
    """

    def check(value: object, info: ValidationInfo) -> object:
        if info.context == FROM_TEXT and isinstance(value, str):
            return value
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise ValueError("must be true or false" if bool in kinds else "must be a number")
        return value

    return BeforeValidator(check)


Whole = Annotated[int, kept(int, float)]
Count = Annotated[int, Field(ge=1), kept(int, float)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False), kept(int, float)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False), kept(int, float)]
Share = Annotated[float, Field(ge=0, le=1), kept(int, float)]
PositiveShare = Annotated[float, Field(gt=0, le=1), kept(int, float)]
Switch = Annotated[bool, kept(bool)]
Text = Annotated[str, Field(min_length=1)]

_MESSAGES = {
    "string_type": "must be a text",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "missing": "is missing",
    "dict_type": "must be a mapping of names to values",
    "model_type": "must be a mapping of names to values",
    "dataclass_type": "must be a mapping of names to values",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "float_parsing": "must be a number",
    "finite_number": "must be a number",
    "bool_parsing": "must be true or false",
    "string_too_short": "must not be empty",
    "too_short": "needs at least {min_length}",
    "greater_than": "must be above {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be below {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "string_pattern_mismatch": "must match {pattern}",
}
"""Our words for pydantic's faults, by its names for them: users do not know of tuples."""


def chief_error(fault: ValidationError) -> "ErrorDetails":
    """Give the error to report: a misspelt key is both unknown and missing, and the misspelling explains more."""
    return min(fault.errors(), key=lambda error: error["type"] != "extra_forbidden")


def describe_error(error: "ErrorDetails", fields: type[BaseModel]) -> str:
    """Put one error into a sentence without its end: where in the value, and what.

    Args:
        error: of a validation.
        fields: the class that was validated; for an unknown key its keys are named, the nearest first.
    """
    where = place(error)
    if error["type"] == "extra_forbidden":
        return f'there is no key "{where}"; the keys there are: {", ".join(known_keys(error, fields))}'
    if error["type"] == "missing":
        return f'"{where}" is missing'
    return f"{where}: {message_of(error)}" if where else message_of(error)


def error_sentence(error: "ErrorDetails", fields: type[BaseModel]) -> str:
    """Put one error into a whole sentence, and the nearest of the known keys into another behind it.

    Args:
        error: of a validation.
        fields: the class that was validated.
    """
    is_unknown_key = error["type"] == "extra_forbidden"
    guess = did_you_mean(str(error["loc"][-1]), known_keys(error, fields)) if is_unknown_key else ""
    return f"{describe_error(error, fields)}.{guess}"


def place(error: "ErrorDetails") -> str:
    """Give where in the value an error is, as `points.0.name`."""
    return ".".join(str(part) for part in error["loc"])


def message_of(error: "ErrorDetails") -> str:
    """Give what is wrong, in our words."""
    ours = _MESSAGES.get(error["type"], "").format(**error.get("ctx", {}))
    return ours or error["msg"].removeprefix("Value error, ")


def known_keys(error: "ErrorDetails", fields: type[BaseModel]) -> list[str]:
    """Give the keys that may stand where an unknown one does, the nearest first."""
    *above, key = error["loc"]
    return nearest_first(str(key), _keys(fields, above))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Give a last sentence for a message: the nearest of the known names, where one is near; else nothing."""
    nearest = difflib.get_close_matches(word, list(known), n=1)
    return f' Did you mean "{nearest[0]}"?' if nearest else ""


def nearest_first(word: str, known: Iterable[str]) -> list[str]:
    """Order names by likeness to a word, the likest first."""
    return sorted(known, key=lambda name: -difflib.SequenceMatcher(None, word.lower(), name.lower()).ratio())


def _keys(fields: type[BaseModel], above: Iterable[object]) -> Iterable[str]:
    """Give the keys of the table at a place: numbers in it are places in a list."""
    for part in above:
        if isinstance(part, str) and part in fields.model_fields:
            fields = next(_tables(fields.model_fields[part].annotation), fields)
    return fields.model_fields


def _tables(annotation: Any) -> Iterator[type[BaseModel]]:
    """Find the tables in a field's annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _tables(argument)
