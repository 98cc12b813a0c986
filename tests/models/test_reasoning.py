"""Reasoning taken apart from answers: every form of marks, and what only looks like one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmbench.models.reasoning import AUTO, Marks, is_mark, marks_of, opened_by, separate

THOUGHT = "At first the capital seems to be Sydney."
TAGS = ("think", "thinking", "thought", "thoughts", "reasoning", "reflection", "analysis", "scratchpad")
FORMS = (
    *(f"<{tag}>{THOUGHT}</{tag}>Canberra" for tag in (*TAGS, "seed:think", "mm:think", "longcat_think", "THINK")),
    f"<think >{THOUGHT}</think>\n\nCanberra",
    f'<think duration="3">{THOUGHT}</think >\n\nCanberra',
    f"\n<think>\n{THOUGHT}\n</think>\n\nCanberra",
    f"<s><think>{THOUGHT}</think>Canberra",
    *(f"<{tag}>{THOUGHT}</{tag}>Canberra" for tag in ("antThinking", "thinking_process", "thought_process")),
    *(f"<{tag}>{THOUGHT}</{tag}>Canberra" for tag in ("chain_of_thought", "inner_thoughts", "inner_monologue")),
    *(f"<{tag}>{THOUGHT}</{tag}>Canberra" for tag in ("internal_reasoning", "reasoning_content", "rationale")),
    f"[THINK]{THOUGHT}[/THINK]Canberra",
    f"[think]{THOUGHT}[/think]Canberra",
    f"{THOUGHT}[/think]Canberra",
    f"<|think|>{THOUGHT}<|/think|>Canberra",
    f"<|thinking|>{THOUGHT}<|/thinking|>Canberra",
    f"◁think▷{THOUGHT}◁/think▷Canberra",
    f"<|START_THINKING|>{THOUGHT}<|END_THINKING|><|START_RESPONSE|>Canberra<|END_RESPONSE|>",
    f"<|begin_of_thought|>{THOUGHT}<|end_of_thought|><|begin_of_solution|>Canberra<|end_of_solution|>",
    f"<|channel>thought\n{THOUGHT}\n<channel|>Canberra",
    f"<unused94>thought\n{THOUGHT}<unused95>Canberra",
    f"Here is my thought process:\n{THOUGHT}\nHere is my response:\nCanberra",
    f"<think>{THOUGHT}</think><response>Canberra</response>",
    f"<|channel|>analysis<|message|>{THOUGHT}<|end|><|start|>assistant<|channel|>final<|message|>Canberra<|return|>",
    f"<|start|>assistant<|channel|>analysis<|message|>{THOUGHT}<|end|>"
    "<|start|>assistant<|channel|>final <|constrain|>json<|message|>Canberra",
    f"{THOUGHT}<|end|><|start|>assistant<|channel|>final<|message|>Canberra<|return|>",
    f"analysis{THOUGHT}assistantfinalCanberra",
    f"<|inner_prefix|>{THOUGHT}<|inner_suffix|>Canberra",
    f"Here are my reasoning steps:\n{THOUGHT}\n[BEGIN FINAL RESPONSE]\nCanberra",
    f"{THOUGHT}\n[BEGIN FINAL RESPONSE]\nCanberra",
    f"<think>{THOUGHT}</think><|begin_of_box|>Canberra<|end_of_box|>",
    f"{THOUGHT}</think>\n\nCanberra",
    f"{THOUGHT}[/THINK]Canberra",
)


@pytest.mark.parametrize("text", FORMS)
def test_forms(text: str) -> None:
    """Whatever a model calls its reasoning, the answer comes without it, and the reasoning without its marks."""
    found = separate(text)

    assert (found.text, found.reasoning) == ("Canberra", THOUGHT)
    assert text[found.start : found.end] == "Canberra"


@pytest.mark.parametrize("text", FORMS)
def test_forms_again(text: str) -> None:
    """What has been taken apart stays as it is."""
    once = separate(text)

    assert separate(once.text) == separate("Canberra")


@pytest.mark.parametrize(
    ("text", "answer", "reasoning"),
    [
        ("<think>a</think><think>b</think>yes", "yes", "a\n\nb"),
        ("<analysis>a</analysis>\n<reflection>b</reflection>\nyes", "yes", "a\n\nb"),
        ("<think>a<think>b</think>c</think>yes", "yes", "a<think>b</think>c"),
        ("<think>what does <think> mean?</think>yes", "yes", "what does <think> mean?"),
        ("<think>a</think>b</think>yes", "yes", "a\n\nb"),
        ("a</think>b</think>yes", "yes", "a</think>b"),
        ("<think>\n\n</think>\n\nyes", "yes", None),
        ("<think/>yes", "<think/>yes", None),
        ("<|begin_of_box|>yes<|end_of_box|>", "yes", None),
        (
            "<|begin_of_box|>yes<|end_of_box|> or <|begin_of_box|>no<|end_of_box|>",
            "<|begin_of_box|>yes<|end_of_box|> or <|begin_of_box|>no<|end_of_box|>",
            None,
        ),
        ("<think>```sql\nSELECT 1</think>\nyes", "yes", "```sql\nSELECT 1"),
        ("<think>a `</think>` in code</think>yes", "yes", "a `\n\n` in code"),
        ("it's so, I don't know</think>yes", "yes", "it's so, I don't know"),
        (f"<details><summary>Thoughts</summary>{THOUGHT}</details>\nyes", "yes", None),
        ("<details>a<details open>b</details>c</details>\nyes", "yes", None),
        ("<details>a <details> b</details>\nyes", "yes", None),
        ("<details>a</details><details>b<details>c</details></details>yes", "yes", None),
        ("<details>a</details>yes <details>b</details> or no", "yes <details>b</details> or no", None),
        ("<|channel|>final<|message|>yes<|return|>", "yes", None),
        (
            "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>no<|end|>"
            "<|start|>assistant<|channel|>commentary<|message|>b<|end|><|start|>assistant<|channel|>final<|message|>yes",
            "yes",
            "a\n\nno\n\nb",
        ),
        ("analysisassistantfinal is a wordassistantfinalyes", "yes", "assistantfinal is a word"),
    ],
)
def test_blocks(text: str, answer: str, reasoning: str | None) -> None:
    """Several blocks, nested ones, empty ones and a closing mark alone are read as docs/models.md says."""
    found = separate(text)

    assert found.text == answer
    if not text.startswith("<details>"):
        assert found.reasoning == reasoning


@pytest.mark.parametrize(
    "text",
    [
        "yes",
        "\nyes",
        "",
        "It is Canberra. <analysis>Sydney is larger.</analysis>",
        "Canberra <think>or Sydney</think> it is",
        "SELECT '</think>' AS mark",
        'The column "</think>" is quoted.',
        "A block ends with `</think>`.",
        "```html\n<think>a</think>\n</think>\n```",
        "~~~\n</think>\n~~~\nyes",
        "SELECT x FROM t -- '<think>' is no mark",
        "<details>the whole answer</details>",
        "<details>the <details>whole</details> answer</details>",
        "Here is my response: yes",
        "Here is my thought: yes",
        "analysis of the question: yes",
        "a < b and b > c </b>",
        "SELECT '<|channel|>final<|message|>' AS mark",
    ],
)
def test_no_marks(text: str) -> None:
    """What stands later in an answer, in code or in quotes, or only resembles a mark, is the answer."""
    found = separate(text)

    assert (found.text, found.reasoning, found.is_open) == (text, None, False)


@pytest.mark.parametrize(
    "text", [f"<think>{THOUGHT}", "<think>", "[THINK]a", "<|channel|>analysis<|message|>a", "<|channel|>ana"]
)
def test_cut_reasoning(text: str) -> None:
    """An opening mark that nothing closes has no answer behind it."""
    found = separate(text)

    assert (found.text, found.is_open) == ("", True)
    assert found.reasoning is None or "<" not in found.reasoning


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("<think>" * 1000 + "a" + "</think>" * 1000 + "yes", 3),
        ("<think>" * 5000, 0),
        ("</think>" * 5000 + "yes", 3),
        ("<think>" + "hm, " * 250_000 + "</think>yes", 3),
        ("'" * 20_000 + "</think>yes", 3),
        ("<think>a</think>" * 5000 + "yes", 3),
        ("<think " * 5000 + "yes", 7 * 5000 + 3),
        ("<" * 20_000, 20_000),
    ],
)
def test_texts_out_of_bounds(text: str, length: int) -> None:
    """Marks nested a thousand deep, never closed or never opened, and a megabyte of reasoning are read all the same."""
    assert len(separate(text).text) == length


_PIECES = st.sampled_from(
    (
        *("<think>", "</think>", "<analysis>", "</analysis>", "[THINK]", "[/THINK]", "<response>", "</response>"),
        *("<|channel|>", "final<|message|>", "<|end|>", "analysis", "assistantfinal"),
        *("\n", " ", "yes", "```\n", "'", "`", "it's"),
    )
)


@given(st.lists(_PIECES, max_size=8).map("".join))
def test_law(text: str) -> None:
    """The answer is a stretch of the text, and taken apart again it stays as it is."""
    found = separate(text)

    assert text[found.start : found.end] == found.text
    assert separate(found.text).text == found.text


def test_entry_pair() -> None:
    """A pair of an entry stands in place of the known marks, and is read literally."""
    marks = marks_of(("(*", "*)"))

    assert separate("(*a*) yes", marks).text == "yes"
    assert separate("a*)yes", marks).text == "yes"
    assert separate("<think>a</think>yes", marks).text == "<think>a</think>yes"


def test_none() -> None:
    """An entry that says "none" has its texts left whole."""
    assert separate("<think>a</think>yes", marks_of("none")).text == "<think>a</think>yes"


@pytest.mark.parametrize(
    ("prompt", "mark"),
    [
        ("<|im_start|>assistant\n<think>\n", "<think>\n"),
        ("<|assistant|>[THINK]", "[THINK]\n"),
        ("<start_of_turn>model\n<|channel>thought\n", "<|channel>thought\n"),
        ("<|start|>assistant<|channel|>analysis<|message|>", "<|channel|>analysis<|message|>"),
        ("<|im_start|>assistant\n<think>\n\n</think>\n\n", ""),
        ("<|start|>assistant", ""),
        ("What is <think>?<|im_end|><|im_start|>assistant\n", ""),
        ("", ""),
    ],
)
def test_prompt_that_ends_in_a_mark(prompt: str, mark: str) -> None:
    """A prompt that ends inside an opening mark makes what follows reasoning; one that closed it does not."""
    assert opened_by(prompt) == mark
    assert not mark or separate(f"{mark}it may be").is_open


@pytest.mark.parametrize("text", [form for form in FORMS if not form.startswith(THOUGHT)])
def test_growing_text(text: str) -> None:
    """Before its closing mark is whole, a growing text is within its reasoning, or may still come to be."""
    grown = [text[:place] for place in range(text.index(THOUGHT) + len(THOUGHT))]

    states = [separate(part, is_whole=False) for part in grown]

    assert all(found.is_open or AUTO.may_begin(part, found.start) for part, found in zip(grown, states, strict=True))


def test_tokens_that_are_marks() -> None:
    """Special tokens that begin or end reasoning are told from others."""
    marks = [
        "[THINK]",
        "[/THINK]",
        "<think>",
        "</think>",
        "<|channel|>",
        "<|message|>",
        "<|START_RESPONSE|>",
        "<channel|>",
    ]

    assert [token for token in [*marks, "<|im_end|>", "</s>", "<pad>", "<|im_start|>"] if is_mark(token)] == marks


def test_custom_marks_that_begin() -> None:
    """The beginning of an entry's own mark may still become one."""
    marks = Marks([(r"\(\*", r"\*\)")], is_known=False)

    assert [marks.may_begin(text, 0) for text in ("", " ", "(", "(*", "yes", "<thi")] == [
        True,
        True,
        True,
        True,
        False,
        False,
    ]
