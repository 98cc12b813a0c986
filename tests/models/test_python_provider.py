"""The provider `python`: a function of the project as a model, whatever it does."""

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from pytest_llmbench.errors import ModelFault, ModelsFileFault, UsageFault
from pytest_llmbench.models.base import OpenSettings
from pytest_llmbench.models.catalog import Catalog
from pytest_llmbench.models.python.entry import PythonEntry
from pytest_llmbench.models.python.provider import PROVIDER, PythonModel
from pytest_llmbench.values import Answer, AnswerError, Json, Message, Prompt, Request, Sampling, ToolCall

OpenApp = Callable[..., PythonModel]


@pytest.fixture
def open_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[OpenApp]:
    """Write a module with a function `answer` and open it: `open_app(source, concurrency=2)`."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    name = f"app_{abs(hash(request.node.nodeid))}"
    opened: list[PythonModel] = []

    def open_it(source: str, *, timeout_s: float | None = 30, **entry: Any) -> PythonModel:
        (tmp_path / f"{name}.py").write_text(dedent(source))
        table = {"provider": "python", "target": f"{name}:answer", **entry}
        model = PROVIDER.open(PythonEntry.model_validate(table), OpenSettings(root=tmp_path, timeout_s=timeout_s))
        opened.append(model)
        return model

    yield open_it
    for model in opened:
        model.close()
    sys.modules.pop(name, None)


def asked(prompt: str = "Hello?", case: str = "a", **inputs: Json) -> Request:
    messages = (Message(role="system", content="Be brief."), Message(role="user", content=prompt))
    return Request(
        suite="support",
        case=case,
        sample=0,
        prompt=Prompt(messages=messages),
        sampling=Sampling(max_tokens=9, stop=("\n",)),
        inputs=inputs,
    )


def text(answer: Answer | AnswerError) -> str:
    assert isinstance(answer, Answer), answer
    return answer.text


def cause(answer: Answer | AnswerError) -> str:
    assert isinstance(answer, AnswerError), answer
    return answer.cause


# -- what it is called with


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("def answer(prompt): return prompt", "Hello?"),
        ("def answer(question): return question", "Hello?"),
        ("def answer(question, /, verbose=False): return question", "Hello?"),
        ("def answer(messages): return messages[0]['content']", "Be brief."),
        ("def answer(inputs): return inputs['plan']", "gold"),
        ("def answer(sampling): return str([sampling['max_tokens'], sampling['stop']])", "[9, ['\\n']]"),
        ("def answer(*, prompt, inputs): return prompt + inputs['plan']", "Hello?gold"),
        ("def answer(**rest): return ' '.join(rest)", "prompt messages inputs session sampling tools"),
        ("def answer(session): return session[:12]", "support-a-0-"),
        ("async def answer(prompt): return prompt", "Hello?"),
        ("class App:\n    async def __call__(self, prompt): return prompt\nanswer = App()", "Hello?"),
        ("async def ask(prompt): return prompt\ndef answer(prompt): return ask(prompt)", "Hello?"),
    ],
)
def test_a_function_gets_what_its_parameters_name(open_app: OpenApp, function: str, expected: str) -> None:
    """Prompt, messages, inputs, sampling and session come by name; a single other parameter is the prompt."""
    model = open_app(function)

    (answer,) = model.answer([asked(plan="gold")])

    assert text(answer) == expected


def test_each_request_has_a_session_of_its_own(open_app: OpenApp) -> None:
    """The same request, sent again, begins a new conversation."""
    model = open_app("def answer(session): return session")

    sessions = {text(answer) for answer in model.answer([asked(), asked()])}

    assert len(sessions) == 2


def test_what_a_function_does_to_its_inputs_stays_there(open_app: OpenApp) -> None:
    """The graders see the case as it was written."""
    request = asked(items=["a"])
    model = open_app("def answer(inputs): inputs['items'].append('b'); return str(inputs['items'])")

    (answer,) = model.answer([request])

    assert text(answer) == "['a', 'b']"
    assert request.inputs == {"items": ["a"]}


# -- what it gives


def test_a_dict_has_what_the_application_knows_beside_its_text(open_app: OpenApp) -> None:
    """Tokens and time go to the fields of an answer, what other models do not have to `app`."""
    model = open_app("""
        def answer(prompt):
            return {
                "text": "Two days.", "input_tokens": 12, "output_tokens": 3, "cost_usd": 0.25, "ttft_s": 0.5,
                "context": ("Refunds take two days.",), "tools": [{"name": "find", "arguments": {"id": 7}}],
                "data": {"route": "refunds"},
            }
    """)

    (answer,) = model.answer([asked()])

    assert isinstance(answer, Answer)
    assert (answer.text, answer.input_tokens, answer.output_tokens, answer.ttft_s) == ("Two days.", 12, 3, 0.5)
    assert answer.tool_calls == (ToolCall(name="find", arguments={"id": 7}),)
    assert answer.cost_usd == 0.25
    assert answer.app == {"context": ["Refunds take two days."], "data": {"route": "refunds"}}
    assert answer.latency_s is not None
    assert answer.latency_s > 0


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("None", "gave None; it must give a text, or a dict with a text"),
        ("b'abc'", "gave a value of type bytes;"),
        ("(one for one in 'abc')", "gave a value of type generator;"),
        ("{}", 'gave a wrong dict: "text" is missing'),
        ("{'text': b'abc'}", "gave a wrong dict: text: must be a text"),
        ("{'txt': 'abc'}", 'gave a wrong dict: there is no key "txt"; the keys there are: text, '),
        ("{'text': 'abc', 'output_tokens': '3'}", "gave a wrong dict: output_tokens: must be a number"),
        ("{'text': 'abc', 'output_tokens': True}", "gave a wrong dict: output_tokens: must be a number"),
        ("{'text': 'abc', 'cost_usd': -1}", "gave a wrong dict: cost_usd: must be at least 0"),
        ("{'text': 'abc', 'context': 'one text'}", "gave a wrong dict: context: must be a list"),
        ("{'text': 'abc', 'data': {'set': {1}}}", "gave beside its text what cannot be written as JSON: "),
        ("{'text': 'abc', 'data': {'share': float('nan')}}", "gave beside its text what cannot be written as JSON: "),
    ],
)
def test_what_is_no_answer_is_an_error_of_its_case(open_app: OpenApp, value: str, expected: str) -> None:
    """What a function gives instead of a text is named, with what it must be."""
    model = open_app(f"def answer(prompt): return {value}")

    (answer,) = model.answer([asked()])

    assert cause(answer).startswith(f"{model.identity.model} {expected}")


def test_half_a_character_becomes_a_replacement(open_app: OpenApp) -> None:
    """The answer can be stored and reported, which is written as UTF-8."""
    model = open_app(r"def answer(prompt): return 'a\ud83d'")

    (answer,) = model.answer([asked()])

    assert text(answer) == "a\N{REPLACEMENT CHARACTER}"


# -- what goes wrong


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_what_a_function_raises_is_an_error_with_its_own_lines(open_app: OpenApp, kind: str) -> None:
    """The traceback begins in the application; the other cases are answered."""
    model = open_app(f"""
        def find(prompt):
            raise LookupError("no customer " + prompt)

        {kind} answer(prompt):
            return "found" if prompt == "1" else find(prompt)
    """)

    bad, good = model.answer([asked("2"), asked("1")])

    lines = cause(bad).splitlines()
    assert lines[0] == "LookupError: no customer 2"
    assert [line.partition(", in ")[2] for line in lines if "File " in line] == ["answer", "find"]
    assert not isinstance(bad, AnswerError) or not bad.is_fatal
    assert text(good) == "found"


@pytest.mark.parametrize(
    ("statement", "first_line"),
    [
        ("sys.exit(3)", "SystemExit: 3"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("answer(prompt)", "RecursionError: maximum recursion depth exceeded"),
        ("raise Silent", "Silent: its message cannot be read"),
        ("raise ValueError('x' * 10**6)", f"ValueError: {'x' * 1000} ... {'x' * 1000}"),
    ],
)
def test_whatever_is_raised_stays_with_its_case(open_app: OpenApp, statement: str, first_line: str) -> None:
    """An exit, an interrupt, endless recursion and a broken exception end neither thread nor run."""
    model = open_app(f"""
        import sys

        class Silent(Exception):
            def __str__(self):
                raise ValueError

        def answer(prompt):
            if prompt == "bad":
                {statement}
            return prompt
    """)

    bad, good = model.answer([asked("bad"), asked("good")])

    assert cause(bad).splitlines()[0].startswith(first_line)
    assert len(cause(bad)) < 5_000
    assert text(good) == "good"


@pytest.mark.parametrize(
    "function",
    [
        "def answer(prompt): return Event().wait() if prompt == 'bad' else prompt",
        "async def answer(prompt):\n    if prompt == 'bad': await asyncio.sleep(1e9)\n    return prompt",
        "async def answer(prompt): return Event().wait() if prompt == 'bad' else prompt",
        "async def answer(prompt):\n    return await asyncio.to_thread(Event().wait) if prompt == 'bad' else prompt",
    ],
    ids=["a thread", "a coroutine", "a blocked event loop", "a thread of a coroutine"],
)
def test_one_that_hangs_is_an_error_after_the_limit(open_app: OpenApp, function: str) -> None:
    """It is given up, and what comes behind it is answered, though its thread cannot be ended."""
    model = open_app(f"import asyncio\nfrom threading import Event\n{function}", timeout_s=0.2)

    bad, good = model.answer([asked("bad"), asked("good")])

    assert cause(bad) == f"{model.identity.model} gave no answer within 0.2 s"
    assert text(good) == "good"


def test_calls_beside_a_blocked_event_loop_are_errors(open_app: OpenApp) -> None:
    """They are given up with it, and what comes behind them is answered by a new loop."""
    model = open_app(
        """
        from threading import Event

        async def answer(prompt):
            if prompt == "bad":
                Event().wait()
            return prompt
        """,
        timeout_s=0.2,
        concurrency=3,
    )

    bad, beside, also, behind = model.answer([asked("bad"), asked("a"), asked("b"), asked("c")])

    assert cause(bad) == f"{model.identity.model} gave no answer within 0.2 s"
    blocked = "the event loop is blocked by another call; await what takes long, or use a plain def"
    assert {cause(beside), cause(also)} == {blocked}
    assert text(behind) == "c"


def test_an_exit_within_a_task_of_the_application_ends_its_loop_alone(open_app: OpenApp) -> None:
    """The call beside it is an error at once, and the next one has a new loop."""
    model = open_app("""
        import asyncio, sys

        async def leave():
            sys.exit(3)

        async def answer(prompt):
            if prompt == "bad":
                task = asyncio.ensure_future(leave())
                await asyncio.sleep(1e9)
            return prompt
    """)

    bad, good = model.answer([asked("bad"), asked("good")])

    assert cause(bad).splitlines()[0] == "SystemExit: 3"
    assert text(good) == "good"


def test_a_function_that_always_hangs_ends_the_run(open_app: OpenApp) -> None:
    """Each call that never returns keeps a thread, so a model with 64 of them is asked no more."""
    model = open_app("from threading import Event\ndef answer(prompt): Event().wait()", timeout_s=0.01, concurrency=100)

    answers = model.answer([asked()] * 300)

    assert {answer.is_fatal for answer in answers if isinstance(answer, AnswerError)} == {False, True}
    assert cause(answers[-1]).endswith(
        "and 64 calls of it still run; nothing more is asked of it. Find out why it hangs, or raise --llm-timeout"
    )


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import no_such_library\ndef answer(prompt): ...", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("raise SystemExit('no license')", "SystemExit: no license"),
        ("def answer(:", "SyntaxError: invalid syntax"),
    ],
)
def test_a_module_that_cannot_be_imported_ends_the_run(open_app: OpenApp, source: str, expected: str) -> None:
    """What it raises is passed on, once for all cases."""
    model = open_app(source)

    with pytest.raises(ModelFault, match=r'^the module "app_\d+" cannot be imported: ') as fault:
        model.answer([asked()])

    assert expected in str(fault.value)


def test_a_module_whose_import_hangs_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has a limit of its own, and a run that ends does not wait for it."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "app_that_hangs.py").write_text("from threading import Event\nEvent().wait()")
    entry = PythonEntry(provider="python", target="app_that_hangs:answer")
    halt = threading.Event()
    halt.set()

    with PythonModel(entry, OpenSettings(root=tmp_path, timeout_s=0.1), import_s=0.2) as model:
        assert cause(model.answer([asked()], halt=halt)[0]) == "stopped"
        with pytest.raises(ModelFault, match=r"cannot be imported: app_that_hangs:answer gave no answer within 0\.2 s"):
            model.answer([asked()])


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def anwser(prompt): ...", r'has no "answer"; functions in it: anwser\.$'),
        ("answer = 3", "is int, not a function; name one that can be called"),
        ("def answer(): ...", "takes nothing; it can take: prompt, messages, inputs, session, sampling"),
        ("def answer(prompt, plan): ...", r'asks for "plan"; an application can ask for: prompt, .* are in inputs\.$'),
    ],
)
def test_a_target_that_cannot_be_called_is_named(open_app: OpenApp, source: str, expected: str) -> None:
    """The message names the function, and what would do."""
    model = open_app(source)

    with pytest.raises(ModelFault, match=expected):
        model.answer([asked()])


# -- a run


def test_calls_are_side_by_side_as_concurrency_says(open_app: OpenApp) -> None:
    """Four calls meet at a barrier that needs all of them."""
    model = open_app(
        "from threading import Barrier\nbarrier = Barrier(4)\ndef answer(prompt): return str(barrier.wait(30) >= 0)",
        concurrency=4,
    )

    answers = model.answer([asked()] * 8)

    assert [text(answer) for answer in answers] == ["True"] * 8
    assert {answer.concurrency for answer in answers} == {4}


def test_coroutines_run_in_one_event_loop_through_a_run(open_app: OpenApp) -> None:
    """A client that an application keeps belongs to its loop, so there is one for all calls."""
    model = open_app(
        "import asyncio\nasync def answer(prompt): return str(id(asyncio.get_running_loop()))", concurrency=2
    )

    loops = {text(answer) for _ in range(2) for answer in model.answer([asked()] * 3)}

    assert len(loops) == 1


def test_each_answer_arrives_once_in_the_calling_thread(open_app: OpenApp) -> None:
    """The answers come in the order of the requests; they arrive as they come."""
    model = open_app("def answer(prompt): return prompt", concurrency=3)
    arrived: dict[int, tuple[Answer | AnswerError, int]] = {}

    answers = model.answer(
        [asked(str(number)) for number in range(9)],
        arrived=lambda index, answer: arrived.setdefault(index, (answer, threading.get_ident())) and None,
    )

    assert [text(answer) for answer in answers] == [str(number) for number in range(9)]
    assert arrived == {index: (answer, threading.get_ident()) for index, answer in enumerate(answers)}


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_run_that_ends_gives_up_what_is_in_flight(open_app: OpenApp, kind: str) -> None:
    """What has no answer yet is an error with the cause "stopped", and does not arrive."""
    halt = threading.Event()
    wait = "await asyncio.sleep(1e9)" if kind == "async def" else "Event().wait()"
    model = open_app(f"""
        import asyncio
        from threading import Event

        {kind} answer(prompt):
            if prompt == "wait":
                {wait}
            return prompt
    """)

    answers = model.answer(
        [asked("at once"), asked("wait"), asked("never")], arrived=lambda index, answer: halt.set(), halt=halt
    )

    assert text(answers[0]) == "at once"
    assert [cause(answer) for answer in answers[1:]] == ["stopped", "stopped"]


def test_a_closed_model_answers_nothing(open_app: OpenApp) -> None:
    """It can be closed twice, and asking it again is a fault."""
    model = open_app("async def answer(prompt): return prompt")
    model.answer([asked()])

    model.close()
    model.close()

    with pytest.raises(ModelFault, match="is closed; open it again"):
        model.answer([asked()])


# -- the entry


def test_nothing_is_imported_before_the_first_request(open_app: OpenApp) -> None:
    """An application that breaks at import can be named, opened and identified."""
    model = open_app("raise RuntimeError")

    assert model.identity.weights is not None
    assert model.identity.model.partition(":")[0] not in sys.modules


@pytest.mark.parametrize("target", ["my_app", "my_app.py:answer()", "my app:answer", "./my_app.py:answer", ":answer"])
def test_a_target_is_a_module_and_a_function(target: str, tmp_path: Path) -> None:
    """Another spelling is refused with an example of the right one."""
    with pytest.raises(ModelsFileFault, match=r'"target": must be MODULE:FUNCTION, as "my_app:answer", not'):
        Catalog(tmp_path / "models.toml", {}).choose([f"python:{target}"], tmp_path)


def test_a_target_can_be_named_without_an_entry(tmp_path: Path) -> None:
    """`python:MODULE:FUNCTION` is a model; its role has no colon."""
    (spec,) = Catalog(tmp_path / "models.toml", {}).choose(["python:my_app:answer"], tmp_path)

    assert spec.role == "my_app-answer"
    assert spec.traits.takes_inputs
    assert spec.traits.is_unversioned


def test_a_version_is_given_once(tmp_path: Path) -> None:
    """Which of two would count cannot be guessed."""
    entry = PythonEntry(provider="python", target="a:b", version="3", version_of=("a",))

    with pytest.raises(UsageFault, match=r'^Model "a:b" has version and version_of; leave one of them out\.$'):
        PROVIDER.prompt_style(entry)
