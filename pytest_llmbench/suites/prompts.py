"""Render cases to prompts: jinja2 templates in a sandbox, undefined names are errors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, UndefinedError, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from pytest_llmbench.values import Json, Message, Prompt, PromptStyle

# No autoescape: prompts are text, not markup.
_ENVIRONMENT = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)


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
        except (
            TemplateError,
            ArithmeticError,
            AttributeError,
            LookupError,
            RecursionError,
            TypeError,
            ValueError,
        ) as fault:
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
            tree: Any = _ENVIRONMENT.parse(text)
            parts.append((role, _ENVIRONMENT.from_string(tree)))
        except TemplateSyntaxError as fault:
            raise TemplateFault(f"the {style} prompt is no jinja2 template: {fault.message}") from None
        names |= meta.find_undeclared_variables(tree)
    return PromptTemplate(style=style, parts=tuple(parts), names=frozenset(names))
