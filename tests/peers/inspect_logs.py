"""Have Inspect itself write logs of the recorded answers: `make peers` writes `tests/peers/inspect/*.eval` and `*.json`.

Each log is of one scorer, with a sample for each answer of `answers.jsonl`; the scores in it are Inspect's own verdicts.
Those in `datasets/` are of the files of samples there, as Inspect reads them.

    python tests/peers/inspect_logs.py        (in an environment with inspect_ai)
"""

import json
import shutil
import tempfile
from pathlib import Path

from inspect_ai import Epochs, Task
from inspect_ai import eval as run
from inspect_ai.dataset import FieldSpec, MemoryDataset, Sample, csv_dataset, json_dataset
from inspect_ai.model import ChatMessageSystem, ChatMessageUser, ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import choice, exact, includes, match, pattern
from inspect_ai.solver import generate, multiple_choice, system_message

HERE = Path(__file__).parent / "inspect"
LETTERS = [
    "ANSWER: A",
    "ANSWER: B",
    "answer: a",
    "ANSWER: A.",
    "A",
    "I think\nANSWER: A",
    "ANSWER: A\nANSWER: B",
    "",
    "ANSWER:A",
    "ANSWER: A,B",
]
NUMBERS = [
    "42",
    "The answer is 42.",
    "42!",
    "42 apples",
    "41",
    "$42",
    "42%",
    "1,042",
    "42.0",
    "4.2e1",
    "-42",
    "",
    "**42**",
    "no",
    "(42)",
    "41 or 42",
    "42 or 41",
]


WORDS = [
    "The quick-witted fox",
    "quick witted fox",
    "A quick witted, fox.",
    "fox quick witted",
    "quickwitted fox",
    "quick-witted foxes",
    "(the) 'Quick' witted  fox!",
    "quick\nwitted\tfox",
    "It is the quick-witted fox",
    "quick-witted fox 3",
    "qu.ick wit_ted fox an",
    "quick the witted fox",
    "",
    "the",
    "QUICK WITTED FOX\n",
]


def answers() -> list[str]:
    """Give the answers that each scorer is tried on."""
    lines = (HERE / "answers.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["answer"] for line in lines]


def output(text: str) -> ModelOutput:
    """Give a reply with its usage: else the tokens are counted by a tokenizer that is fetched."""
    found = ModelOutput.from_content("mockllm/model", text)
    found.usage = ModelUsage(input_tokens=10, output_tokens=len(text.split()), total_tokens=10 + len(text.split()))
    return found


def task(name, scorer, target, texts, solver=None, **keys):
    """Make a task whose n-th sample gets the n-th text."""
    samples = [
        Sample(id=f"{name}-{n}", input=f"Question {n} of {name}", target=target, metadata={"topic": "tests"}, **keys)
        for n, _ in enumerate(texts)
    ]
    return Task(
        name=name, dataset=MemoryDataset(samples, name=name), solver=solver or [generate()], scorer=scorer
    ), texts


TASKS = {
    "includes": lambda: task("includes", includes(), "yes", answers()),
    "includes-case": lambda: task("includes-case", includes(ignore_case=False), ["yes", "World"], answers()),
    "match-end": lambda: task("match-end", match(), "Yes", answers(), [system_message("Be brief."), generate()]),
    "match-begin": lambda: task("match-begin", match("begin"), ["yes", "hello"], answers()),
    "match-any": lambda: task("match-any", match("any", ignore_case=False), "World", answers()),
    "match-exact": lambda: task("match-exact", match("exact"), "strasse", answers()),
    "match-number": lambda: task("match-number", match(numeric=True), "42", NUMBERS),
    "pattern": lambda: task("pattern", pattern(r"(?:Hello|hello),? (\w+)"), "world", answers()),
    "choice": lambda: task("choice", choice(), "A", LETTERS, [multiple_choice()], choices=["one", "two", "three"]),
    "exact": lambda: task("exact", exact(), "yes", answers()),
    "exact-words": lambda: task("exact-words", exact(), ["The quick-witted fox", "foxes"], WORDS),
}
FIELDS = FieldSpec(input="question", target="answer", id="qid", metadata=["level"])
DATASETS = {
    "biology": lambda path: (json_dataset(f"{path}.jsonl", FIELDS), match("begin"), [generate()]),
    "questions": lambda path: (csv_dataset(f"{path}.csv"), includes(ignore_case=False), [generate()]),
    "mcq": lambda path: (json_dataset(f"{path}.json"), choice(), [multiple_choice()]),
}


def main() -> None:
    """Write a log for each task, in the binary format; one in JSON too, with epochs and messages."""
    for old in [*HERE.rglob("*.eval"), *HERE.glob("*.json")]:
        old.unlink()
    with tempfile.TemporaryDirectory() as scratch:
        for name, make in TASKS.items():
            made, texts = make()
            outputs = [output(text) for text in texts]
            log = _run(made, outputs, scratch, "eval")
            shutil.copy(log, HERE / f"{name}.eval")
        messages = [ChatMessageSystem(content="Be brief."), ChatMessageUser(content="Say yes.")]
        samples = [Sample(id=1, input=messages, target="yes"), Sample(id=2, input="Say no.", target="no")]
        epochs = Task(
            name="epochs",
            dataset=MemoryDataset(samples, name="epochs"),
            solver=[generate()],
            scorer=includes(),
            epochs=Epochs(2),
        )
        outputs = [output(text) for text in ("yes", "no", "perhaps", "no")]
        shutil.copy(_run(epochs, outputs, scratch, "json"), HERE / "epochs.json")
        for name, make in DATASETS.items():
            found, scorer, solver = make(HERE / "datasets" / name)
            made = Task(name=name, dataset=found, solver=solver, scorer=scorer)
            outputs = [output(text) for text in ("yes", "ANSWER: B", "4")[: len(found)]]
            shutil.copy(_run(made, outputs, scratch, "eval"), HERE / "datasets" / f"{name}.eval")


def _run(made, outputs, scratch, log_format):
    model = get_model("mockllm/model", custom_outputs=outputs, memoize=False)
    (log,) = run(
        made, model=model, log_dir=scratch, log_format=log_format, display="none", max_samples=1, max_connections=1
    )
    assert log.status == "success", log.error
    return log.location


if __name__ == "__main__":
    main()
