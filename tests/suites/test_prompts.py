"""Templates: what they render, and that every fault is one of the template and says which."""

import hashlib
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmbench.suites.prompts import PromptTemplate, TemplateFault, compile_template
from pytest_llmbench.values import Json, Message, Prompt, PromptStyle


def completion(text: str) -> PromptTemplate:
    return compile_template(PromptStyle.COMPLETION, [("", text)])


@pytest.mark.parametrize(
    ("template", "inputs", "text"),
    [
        ("Q: {{ q }}\nA:", {"q": "why?"}, "Q: why?\nA:"),
        ("{{ q }}\n\n", {"q": "x"}, "x\n\n"),
        ("{{ q }}", {"q": '<b> & "it\'s"'}, '<b> & "it\'s"'),
        ("{{ n + 1 }} {{ on }} {{ nothing }}", {"n": 1, "on": True, "nothing": None}, "2 True None"),
        (
            "{% for row in rows %}{{ row.a }},{% endfor %}{{ rows[0]['a'] }}",
            {"rows": [{"a": 1}, {"a": 2}]},
            "1,2,1",
        ),
        ("{% if q is defined %}yes{% else %}no{% endif %}", {}, "no"),
        ("{{ q | default('none') }}", {}, "none"),
        ("{% raw %}{{ q }}{% endraw %}", {"q": "x"}, "{{ q }}"),
    ],
)
def test_a_template_sees_the_inputs_of_a_case(template: str, inputs: Mapping[str, Json], text: str) -> None:
    """Inputs keep their types, nothing is escaped, and a line break at the end stays."""
    assert completion(template).render(inputs) == Prompt(text=text)


def test_messages_keep_their_order_and_roles() -> None:
    """A chat prompt is rendered message by message, also where a role comes several times."""
    source = [("system", "Be {{ how }}."), ("user", "{{ q }}"), ("assistant", "a"), ("user", "{{ q }} again")]

    prompt = compile_template(PromptStyle.CHAT, source).render({"how": "brief", "q": "x"})

    assert prompt == Prompt(
        messages=(
            Message(role="system", content="Be brief."),
            Message(role="user", content="x"),
            Message(role="assistant", content="a"),
            Message(role="user", content="x again"),
        )
    )


@given(st.text())
def test_what_an_input_holds_is_never_a_template(text: str) -> None:
    """Braces in an input are text."""
    assert completion("{{ q }}").render({"q": text + "{{ q }}{% x %}"}).text == text + "{{ q }}{% x %}"


COMPILING = {
    "open braces": ("{{ q", "unexpected end of template, expected 'end of print statement'."),
    "an unknown tag": ("{% wait %}", "Encountered unknown tag 'wait'."),
    "an unknown filter": ("{{ q | shout }}", "No filter named 'shout'."),
    "an open block": (
        "{% if q %}",
        "Unexpected end of template. Jinja was looking for the following tags: 'elif' or 'else' or 'endif'. The "
        "innermost block that needs to be closed is 'if'.",
    ),
}


@pytest.mark.parametrize(("template", "message"), COMPILING.values(), ids=COMPILING)
def test_what_is_no_template_says_why(template: str, message: str) -> None:
    """A text that does not compile is a fault with jinja2's reason."""
    with pytest.raises(TemplateFault) as raised:
        completion(template)

    assert str(raised.value) == f"the completion prompt is no jinja2 template: {message}"


RENDERING = {
    "an unknown name": (
        "{{ b }} {{ a }} {{ known }}",
        'the completion prompt names "a", which is no field of the case; its fields are: known',
    ),
    "an unknown attribute": (
        "{{ known.colour }}",
        "the completion prompt cannot be rendered: 'str object' has no attribute 'colour'",
    ),
    "an unknown key": (
        "{{ known['colour'] }}",
        "the completion prompt cannot be rendered: 'str object' has no attribute 'colour'",
    ),
    "a division": ("{{ 1 / 0 }}", "the completion prompt cannot be rendered: division by zero"),
    "a wrong type": (
        "{{ known + 1 }}",
        'the completion prompt cannot be rendered: can only concatenate str (not "int") to str',
    ),
    "a filter for mappings": (
        "{{ 1 | dictsort }}",
        "the completion prompt cannot be rendered: 'int' object has no attribute 'items'",
    ),
    "a template in a file": (
        "{% include 'other' %}",
        "the completion prompt cannot be rendered: no loader for this environment specified",
    ),
    "a huge range": (
        "{{ range(10000000) }}",
        "the completion prompt cannot be rendered: Range too big. The sandbox blocks ranges larger than MAX_RANGE "
        "(100000).",
    ),
}


@pytest.mark.parametrize(("template", "message"), RENDERING.values(), ids=RENDERING)
def test_what_cannot_be_rendered_says_why(template: str, message: str) -> None:
    """Whatever fails in an expression is a fault of the template."""
    with pytest.raises(TemplateFault) as raised:
        completion(template).render({"known": "x"})

    assert str(raised.value) == message


def test_a_macro_that_calls_itself_is_a_fault() -> None:
    """An endless recursion ends as a fault, not with a traceback."""
    template = completion("{% macro m(x) %}{{ m(x) }}{% endmacro %}{{ m(1) }}")

    with pytest.raises(TemplateFault, match=r"^the completion prompt cannot be rendered: maximum recursion depth"):
        template.render({})


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__ }}",
        "{{ q.__class__.__mro__[1].__subclasses__() }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ rows.append(1) }}",
        "{{ q | attr('__class__') }}",
    ],
)
def test_a_template_does_not_leave_its_sandbox(template: str) -> None:
    """Neither Python's insides nor the case's own values can be reached or changed."""
    rows: list[Json] = [1]

    with pytest.raises(TemplateFault):
        completion(template).render({"q": "x", "rows": rows})

    assert rows == [1]


def test_half_a_character_has_a_digest() -> None:
    """A case can hold one, as an escape of JSON; the digest of all other prompts is that of their UTF-8."""
    prompts = [Prompt(text=text) for text in ("a \ud800", "a \udfff", "a é")]

    digests = [prompt.sha256 for prompt in prompts]

    assert len(set(digests)) == 3
    assert digests[2] == hashlib.sha256('["completion", "a é"]'.encode()).hexdigest()
