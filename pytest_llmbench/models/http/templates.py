"""What is sent for a case: tables and lists as the models file has them, with templates for texts.

The structure is that of the file, so that no field of a case can change it, whatever quotes it holds.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import StrictUndefined, TemplateError, UndefinedError
from jinja2.sandbox import ImmutableSandboxedEnvironment

# No autoescape: what is rendered is a prompt, or text of a JSON value or of a query, which are encoded later.
ENVIRONMENT = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
_EXPRESSION = re.compile(r"\s*\{\{-?(?P<expression>(?:(?!\}\}|\{\{).)*?)-?\}\}\s*", re.DOTALL)

RENDERING_FAULTS = (
    TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What rendering a template may raise, whatever stands in it."""


class TemplateFault(Exception):
    """A template does not compile, or cannot be rendered for a case."""


Rendered = Callable[[Mapping[str, Any]], Any]
"""Gives a value for the fields of a case."""


def compile_value(value: object, place: str) -> Rendered:
    """Compile the templates in a value of the models file.

    A text that is one `{{ expression }}` and nothing else gives what the expression does: a list stays a list.

    Args:
        value: tables, lists, texts, numbers.
        place: of the value in the entry, for messages.

    Raises:
        TemplateFault: a text is no jinja2 template.
    """
    if isinstance(value, Mapping):
        parts = {key: compile_value(one, f"{place}.{key}") for key, one in value.items()}
        return lambda names: {key: part(names) for key, part in parts.items()}
    if isinstance(value, list | tuple):
        elements = [compile_value(one, f"{place}[{number}]") for number, one in enumerate(value)]
        return lambda names: [element(names) for element in elements]
    if isinstance(value, str):
        return _compile_text(value, place)
    return lambda _: value


def _compile_text(text: str, place: str) -> Rendered:
    alone = _EXPRESSION.fullmatch(text)
    try:
        ENVIRONMENT.parse(text)
        if alone is None:
            evaluate: Callable[..., Any] = ENVIRONMENT.from_string(text).render
        else:
            evaluate = ENVIRONMENT.compile_expression(alone["expression"], undefined_to_none=False)
    except TemplateError as fault:
        raise TemplateFault(f"{place} is no jinja2 template: {fault}") from None

    def render(names: Mapping[str, Any]) -> Any:
        try:
            value = evaluate(names)
            if isinstance(value, StrictUndefined):
                str(value)  # raises what a template that writes it raises
        except UndefinedError as fault:
            known = ", ".join(sorted(names))
            raise TemplateFault(f"{place} cannot be rendered: {fault.message}; there are: {known}") from None
        except RENDERING_FAULTS as fault:
            raise TemplateFault(f"{place} cannot be rendered: {fault}") from None
        return value

    return render
