"""Render cases to prompts: jinja2 templates in a sandbox, undefined names are errors."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Self

from jinja2 import Template, TemplateSyntaxError, Undefined, UndefinedError, meta

from pytest_llmbench.models.http.templates import ENVIRONMENT, RENDERING_FAULTS
from pytest_llmbench.values import Json, Message, Prompt, PromptStyle

_EXPRESSION = re.compile(r"\{\{-?(?P<inner>(?:(?!\{\{|\}\}).)+?)-?\}\}", re.DOTALL)
"""A text that is one expression and nothing else, whose value is kept as it is."""


class TemplateFault(Exception):
    """A template does not compile, or cannot be rendered for a case. The loader adds the place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptTemplate:
    """The compiled templates of one style: (role, template) pairs, the role empty for a completion."""

    style: PromptStyle
    parts: tuple[tuple[str, Template], ...]
    names: frozenset[str] = field(default_factory=frozenset)

    def render(self, inputs: Mapping[str, Json]) -> Prompt:
        """Render for one case's inputs.

        Raises:
            TemplateFault: a name is undefined, or an expression fails, however it does.
        """
        try:
            texts = [template.render(inputs) for _, template in self.parts]
        except UndefinedError as fault:
            raise TemplateFault(self._undefined(inputs, fault)) from None
        except RENDERING_FAULTS as fault:
            raise TemplateFault(f"the {self.style} prompt cannot be rendered: {fault}") from fault
        if self.style is PromptStyle.COMPLETION:
            return Prompt(text=texts[0])
        roles = (role for role, _ in self.parts)
        return Prompt(messages=tuple(Message(role=r, content=t) for r, t in zip(roles, texts, strict=True)))

    def _undefined(self, inputs: Mapping[str, Json], fault: UndefinedError) -> str:
        unknown = sorted(self.names - set(inputs))
        if not unknown:
            return f"the {self.style} prompt cannot be rendered: {fault.message}"
        known = ", ".join(inputs) or "none"
        return f'the {self.style} prompt names "{unknown[0]}", which is no field of the case; its fields are: {known}'


def compile_template(style: PromptStyle, source: Sequence[tuple[str, str]]) -> PromptTemplate:
    """Compile the texts of one style.

    Args:
        style: chat or completion.
        source: (role, template text) pairs.

    Raises:
        TemplateFault: a text is no jinja2 template.
    """
    parts, names = [], set[str]()
    for role, text in source:
        try:
            tree: Any = ENVIRONMENT.parse(text)
            parts.append((role, ENVIRONMENT.from_string(tree)))
        except TemplateSyntaxError as fault:
            raise TemplateFault(f"the {style} prompt is no jinja2 template: {fault.message}") from None
        names |= meta.find_undeclared_variables(tree)
    return PromptTemplate(style=style, parts=tuple(parts), names=frozenset(names))


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueTemplate:
    """A value with templates in its texts, such as a check; `names` are the fields of a case that they use."""

    render_with: Callable[[Mapping[str, Json]], Any]
    names: frozenset[str]

    @classmethod
    def of(cls, value: Any) -> Self | None:
        """Compile the texts in a value that hold `{{`; None if there are none.

        A text that is one expression alone gives its value as it is, a list or number too.

        Raises:
            TemplateFault: a text is no template.
        """
        names = set[str]()
        rendering = _rendering(value, names)
        return None if rendering is None else cls(render_with=rendering, names=frozenset(names))

    def render(self, inputs: Mapping[str, Json]) -> Any:
        """Render for one case.

        Raises:
            TemplateFault: a name is undefined, or an expression fails.
        """
        try:
            return self.render_with(inputs)
        except UndefinedError as fault:
            unknown = sorted(self.names - set(inputs))
            if not unknown:
                raise TemplateFault(f"a template in its checks cannot be rendered: {fault.message}") from None
            known = ", ".join(inputs) or "none"
            message = f'its checks name "{unknown[0]}", which is no field of the case; its fields are: {known}'
            raise TemplateFault(message) from None
        except RENDERING_FAULTS as fault:
            raise TemplateFault(f"a template in its checks cannot be rendered: {fault}") from fault


def _rendering(value: Any, names: set[str]) -> Callable[[Mapping[str, Json]], Any] | None:
    """Give how to render a value, and note the names it uses; None for one without templates."""
    if isinstance(value, str):
        return _text_rendering(value, names) if "{{" in value else None
    if isinstance(value, Mapping):
        inner = {key: _rendering(entry, names) for key, entry in value.items()}
        if not any(inner.values()):
            return None
        return lambda inputs: {key: _value(render, value[key], inputs) for key, render in inner.items()}
    if isinstance(value, list | tuple):
        items = [_rendering(entry, names) for entry in value]
        if not any(items):
            return None
        return lambda inputs: [_value(render, old, inputs) for render, old in zip(items, value, strict=True)]
    return None


def _value(render: Callable[[Mapping[str, Json]], Any] | None, value: Any, inputs: Mapping[str, Json]) -> Any:
    return value if render is None else render(inputs)


def _text_rendering(text: str, names: set[str]) -> Callable[[Mapping[str, Json]], Any]:
    render, used = _compiled(text)
    names |= used
    return render


@lru_cache(maxsize=4096)
def _compiled(text: str) -> tuple[Callable[[Mapping[str, Json]], Any], frozenset[str]]:
    """Compile a text once, however many cases have it; gives the names that it uses too."""
    try:
        tree: Any = ENVIRONMENT.parse(text)
        names = frozenset(meta.find_undeclared_variables(tree))
        alone = _EXPRESSION.fullmatch(text.strip())
        if alone is None:
            return ENVIRONMENT.from_string(tree).render, names
        expression = ENVIRONMENT.compile_expression(alone["inner"].strip(), undefined_to_none=False)
    except TemplateSyntaxError as fault:
        raise TemplateFault(f"{text!r} is no jinja2 template: {fault.message}") from None

    def render(inputs: Mapping[str, Json]) -> Any:
        found = expression(inputs)
        if isinstance(found, Undefined):
            str(found)  # a strict one raises its message
        is_plain = found is None or isinstance(found, str | int | float | list | tuple | Mapping)
        return found if is_plain else str(found)

    return render, names
