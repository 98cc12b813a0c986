"""What is sent for each case of a suite: its templates rendered, with the examples and tools that go with them.

A suite without a prompt is one for applications, which take the fields of a case; its prompts only show these.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.grading.checks.of_case import ConversationChecks
from pytest_llmbench.suites.prompts import PromptTemplate, TemplateFault
from pytest_llmbench.values import Case, Message, Prompt, PromptStyle, Tool

_IN_FRONT = ("system", "developer")
"""The roles of the messages at the beginning that examples follow."""

EXAMPLES = "examples"
"""The name by which a completion template can place the examples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CasePrompts:
    """How the prompts of a suite are made.

    `examples` are rendered already, by style; `place` is where the templates are written, for messages.
    """

    templates: Mapping[PromptStyle, PromptTemplate]
    place: str
    examples: Mapping[PromptStyle, Prompt] = field(default_factory=dict)
    tools: tuple[Tool, ...] = ()

    def render(self, cases: Sequence[Case]) -> dict[PromptStyle, dict[str, Prompt]]:
        """Render the prompts of all cases, by style and case id.

        Raises:
            SuiteFault: one cannot be rendered.
        """
        if not self.templates:
            return {PromptStyle.CHAT: {case.id: self._with_turns(case, self._of_inputs(case)) for case in cases}}
        if PromptStyle.COMPLETION in self.templates:
            talk = next((case for case in cases if isinstance(case.rules, ConversationChecks)), None)
            if talk is not None:
                message = f'case "{talk.id}" has `turns`, which go with chat messages: take the completion prompt out.'
                raise SuiteFault(message, path=talk.path, line=talk.line)
        return {
            style: {case.id: self._with_turns(case, self._of_template(case, template)) for case in cases}
            for style, template in self.templates.items()
        }

    def _with_turns(self, case: Case, prompt: Prompt) -> Prompt:
        """Put what the user says behind the messages of a prompt, and the later turns beside them."""
        if not isinstance(case.rules, ConversationChecks):
            return prompt
        first, *later = (turn.user for turn in case.rules.turns)
        messages = (*prompt.messages, Message(role="user", content=first))
        return replace(prompt, messages=messages, turns=tuple(later))

    def _of_template(self, case: Case, template: PromptTemplate) -> Prompt:
        examples = self.examples.get(template.style)
        try:
            if template.style is PromptStyle.COMPLETION:
                return _behind_examples(template, case, examples)
            prompt = template.render(case.inputs)
        except TemplateFault as fault:
            message = f'case "{case.id}": {clause(fault)} ({template.style} prompt at {self.place}).'
            raise SuiteFault(message, path=case.path, line=case.line) from None
        if examples is None and not self.tools:
            return prompt
        messages = prompt.messages if examples is None else _with_examples(prompt.messages, examples.messages)
        return Prompt(messages=messages, tools=self.tools)

    def _of_inputs(self, case: Case) -> Prompt:
        if isinstance(case.rules, ConversationChecks):
            return Prompt(tools=self.tools)
        if not case.inputs:
            message = f'case "{case.id}" has no inputs, and the suite has no `prompt`: there is nothing to ask.'
            raise SuiteFault(message, path=case.path, line=case.line)
        return Prompt(messages=(Message(role="user", content=_shown(case)),), tools=self.tools)


def clause(fault: TemplateFault) -> str:
    """Give a fault without a full stop: the sentence goes on behind it."""
    return str(fault).rstrip(".")


def _behind_examples(template: PromptTemplate, case: Case, examples: Prompt | None) -> Prompt:
    if examples is None:
        return template.render(case.inputs)
    if EXAMPLES in template.names:
        return template.render({**case.inputs, EXAMPLES: examples.text})
    prompt = template.render(case.inputs)
    return replace(prompt, text=f"{examples.text}{prompt.text}")


def _with_examples(messages: tuple[Message, ...], examples: tuple[Message, ...]) -> tuple[Message, ...]:
    first = next((at for at, message in enumerate(messages) if message.role not in _IN_FRONT), len(messages))
    return (*messages[:first], *examples, *messages[first:])


def _shown(case: Case) -> str:
    """Write the inputs of a case: a single text as it is, others as JSON."""
    values = [*case.inputs.values()]
    if len(values) == 1 and isinstance(values[0], str):
        return values[0]
    return json.dumps(case.inputs, ensure_ascii=False, default=str)
