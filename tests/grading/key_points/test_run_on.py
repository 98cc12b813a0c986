import pytest

from pytest_llmbench.grading.key_points.run_on import run_on_start


@pytest.mark.parametrize(
    ("answer", "cut"),
    [
        (" Dough means money.\n\nJoke: My tailor practises law.\nExplanation: A suit is worn.", "\nJoke:"),
        ("Dough means money.\nQ: Why?\nA: Because.", "Q:"),
        ("Dough means money.\nQuestion: Why?", "Question:"),
        ("Dough means money.\n\nMy tailor practises law.\nExplanation: A suit is worn.", "Explanation:"),
        ("Dough means money.\n\n**Joke 4:** My tailor", "**Joke"),
        ("Dough means money.\n\n4. My tailor practises law.", "4."),
        ("Dough means money.\n\n  12) My tailor", "  12)"),
        ("Dough has two senses:\n1. money\n2. bread\n\n7. My tailor", "7."),
        ("Explanation: Dough means money.\nExplanation: A suit is worn.", "Explanation: A suit"),
        ("Joke: dough\nExplanation: money\nJoke: suit\nExplanation: law", "Joke: suit"),
        ("Sure! Here it is:\n\nDough means money.\n\nJoke: suit", "Joke:"),
    ],
)
def test_next_example_is_cut_off(answer: str, cut: str) -> None:
    """A later line that begins another example ends the answer."""
    start = run_on_start(answer)

    assert start == answer.index(cut.lstrip("\n"))


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "Dough means money.",
        "Dough means money.\n\nIt also means bread.",
        "Joke: dough\nExplanation: money is dough",
        "**Joke:** Our baker quit.\n\n**Explanation:** money is dough",
        "Explanation: Dough means money.",
        "\n\nQ: what is dough? Money.",
        "Sure! Here's an explanation of the joke.\n\nExplanation: money",
        "Here is the joke again:\n\nJoke: dough\n\nExplanation: money",
        '"Our baker quit."\n\nExplanation: money',
        "Dough has two senses:\n1. money\n2. bread\n3. both",
        "1. money\n2. bread",
        "1) money\n\n2) bread",
        "She quit in\n1999.5 was the rate",
        "The joke: it is\na joke, explained",
    ],
)
def test_what_belongs_to_the_answer_stays(answer: str) -> None:
    """Lists, headings and a joke restated before its explanation are no next example."""
    start = run_on_start(answer)

    assert start is None
