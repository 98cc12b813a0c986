"""Measure graders on the human verdicts of PunEval: kappa, TPR, TNR, bias against length, and flip rate.

    git clone https://github.com/Zhijun-Xu/PunEval
    python benchmarks/judge_agreement.py PunEval                                  # patterns alone, no model
    python benchmarks/judge_agreement.py PunEval --task puns --judge smollm2-135m --sample 60 --again 20

The data are fetched by you and no part of this project; they are copied into a temporary folder alone.  Two tasks:

- `explanations`: does an explanation of a pun name the word, and give both of its senses? A person marked each point.
  The texts of eight models are in results/pun_explanation.json; where that file is missing (it has 4 MiB and more, and
  some mirrors leave it out), those of people remain, of which a person passed 95 %.
- `puns`: is a sentence, written by a person or a model to order, a pun on both senses of a word? A person marked it
  (`success`); a third are.

The points are key points, for which there are patterns too, or with `--grader rubric` a check in plain words each.
What is run are the commands that a user runs: pytest with recorded answers, `llmbench agreement --by-check`.

Source: Xu et al. (2024), "A good pun is its own reword", arXiv 2404.13599.
"""

import argparse
import json
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pytest_llmbench.results.annotations import DEFAULT_FILE, Drawn, Mark, add_annotation, annotation_on
from pytest_llmbench.results.run_file import read_run

ROOT = Path(__file__).parent.parent
KINDS = ("hom", "het")
"""Puns on one word with two senses, and on two words that sound alike."""

_POINTS = {
    "pun_word": "names the word that the pun is on",
    "alter_word": "names the other word that it sounds like",
    "pun_sense": "gives the first sense",
    "alter_sense": "gives the second sense",
}
_IS_PUN = "is a pun, in which the word has both senses"
_STOP = frozenset(
    [
        "that",
        "this",
        "with",
        "from",
        "have",
        "been",
        "which",
        "used",
        "into",
        "more",
        "some",
        "than",
        "such",
        "very",
        "their",
        "other",
        "something",
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """An answer with the marks of a person, by the name of the point; `patterns` are those of each point."""

    case: str
    pun: str
    inputs: Mapping[str, str]
    reference: str
    answer: str
    marks: Mapping[str, bool]
    patterns: Mapping[str, Sequence[str]]


class Clone:
    """The files of a clone, bare or with a work tree."""

    def __init__(self, path: Path):
        self._path = path

    def read(self, name: str) -> dict[str, Any] | None:
        """Read a JSON file; None where the clone does not have it."""
        if (self._path / name).is_file():
            return dict(json.loads((self._path / name).read_bytes()))
        shown = subprocess.run(["git", "-C", str(self._path), "show", f"HEAD:{name}"], capture_output=True)
        return dict(json.loads(shown.stdout)) if shown.returncode == 0 else None

    def needed(self, name: str) -> dict[str, Any]:
        """Read a JSON file, or end the command."""
        found = self.read(name)
        if found is None:
            sys.exit(f"{self._path}: there is no {name}; name a clone of github.com/Zhijun-Xu/PunEval.")
        return found


def explanations(clone: Clone) -> Iterator[Marked]:
    """Give the explanations of puns, with a mark for each point."""
    marks = clone.needed("results/pun_explanation_punchline_check.json")
    puns = {pun: facts for kind in KINDS for pun, facts in clone.needed(f"dataset/{kind}_dataset.json").items()}
    texts = clone.read("results/pun_explanation.json") or {}
    for pun, by_writer in marks.items():
        facts = puns[pun]
        for key, given in by_writer.items():
            writer = key.removeprefix("human_eval ").removesuffix("_explanation")
            found = texts.get(pun, {}).get(f"{writer}_explanation def_true CoT_true examples_true", {})
            text = facts.get("human_explanation") if writer == "human" else found.get("biased_to_pun")
            points = {name: given[name] for name in _POINTS if given.get(name) in (0, 1)}
            if text and points:
                yield Marked(
                    case=f"{pun}.{writer}",
                    pun=pun,
                    inputs={"task": "Explain the pun.", "pun": facts["human_text"]},
                    reference=_senses(facts),
                    answer=text,
                    marks={_POINTS[name]: bool(mark) for name, mark in points.items()},
                    patterns={_POINTS[name]: _words(facts[name]) for name in points},
                )


def puns_to_order(clone: Clone) -> Iterator[Marked]:
    """Give the sentences that were to be puns, with the mark whether they are."""
    marks = clone.needed("results/pun_generation_manual_indicators.json")
    texts = clone.needed("results/pun_generation.json")
    facts = {pun: own for kind in KINDS for pun, own in clone.needed(f"dataset/{kind}_dataset.json").items()}
    for pun, by_writer in marks.items():
        for writer, given in by_writer.items():
            methods = {"": given} if "success" in given else given
            for method, own in methods.items():
                text = texts[pun][writer] if not method else texts[pun][writer].get(method)
                if text and own.get("success") in (0, 1):
                    asked = f'Write a sentence that is a pun on "{facts[pun]["pun_word"]}".'
                    yield Marked(
                        case=re.sub(
                            r"[^A-Za-z0-9._-]", "-", f"{pun}.{writer.removesuffix('_text')}.{method}".rstrip(".")
                        ),
                        pun=pun,
                        inputs={"task": asked},
                        reference=_senses(facts[pun]),
                        answer=text,
                        marks={_IS_PUN: bool(own["success"])},
                        patterns={_IS_PUN: _words(facts[pun]["pun_word"])},
                    )


TASKS = {"explanations": explanations, "puns": puns_to_order}


def _senses(facts: Mapping[str, str]) -> str:
    return (
        f'The pun is on "{facts["pun_word"]}". First sense, of "{facts["pun_word"]}": {facts["pun_sense"]}. '
        f'Second sense, of "{facts["alter_word"]}": {facts["alter_sense"]}.'
    )


def _words(text: str) -> list[str]:
    """Make patterns of a text by rule, as nobody wrote synonyms: the stems of its longer words."""
    words = [word for word in re.findall(r"[a-z]+", text.lower()) if len(word) > 3 and word not in _STOP]
    stems = [f"{word[: max(4, len(word) - 2)]}\\w*" for word in words]
    return list(dict.fromkeys(stems)) or [re.escape(text.strip().lower()) + r"\w*"]


def key_points(one: Marked) -> dict[str, Any]:
    """Ask for the points of an answer as key points."""
    points = [{"name": name, "any": list(any_), "echo_ok": True} for name, any_ in one.patterns.items()]
    return {"points": points, "references": [one.reference], "max_words": 150}


def rubrics(one: Marked) -> dict[str, Any]:
    """Ask for each point by a check in plain words."""
    asked = ({"criterion": f"The answer {name}.", "reference": one.reference} for name in one.marks)
    return {"checks": [{"rubric": rubric, "name": name} for rubric, name in zip(asked, one.marks, strict=True)]}


GRADERS = {"key_points": key_points, "rubric": rubrics}


def write_suite(folder: Path, options: argparse.Namespace, answers: Sequence[Marked]) -> None:
    """Write the suite, the recorded answers, and what makes the folder a project."""
    task, fields = options.task, GRADERS[options.grader]
    cases = [{"id": one.case, "cluster": one.pun, **one.inputs, **fields(one)} for one in answers]
    prompt = "\n".join(f"{{{{ {name} }}}}" for name in answers[0].inputs)
    suite = {
        "suite": task,
        **({"grader": "key_points"} if options.grader == "key_points" else {}),
        "judge": {"max_tokens": 400, "temperature": options.temperature},
        "prompt": {"chat": [{"role": "user", "content": prompt}]},
        "cases": cases,
    }
    (folder / "cases").mkdir()
    (folder / "cases" / f"{task}.yaml").write_text(json.dumps(suite))
    lines = (json.dumps({"case": one.case, "answer": one.answer}) + "\n" for one in answers)
    (folder / "answers.jsonl").write_text("".join(lines))
    (folder / "pytest.ini").write_text("[pytest]\n")


def grade(folder: Path, name: str, *options: str) -> Path:
    """Run the suite on the recorded answers, and print what the run says of its judge."""
    run = folder / f"{name}.json"
    recorded = [
        "--llm-model",
        "recorded:answers.jsonl",
        "--llm-no-fail",
        f"--benchmark-json={run}",
        "-q",
        "--no-header",
    ]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *recorded, *options, "cases"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if not run.is_file():
        sys.exit(f"{done.stdout}\n{done.stderr}")
    records = read_run(run).records
    errors = sum(record.has_error for record in records)
    passed = sum(record.score is not None and record.outcome == "passed" for record in records)
    print(f"\n== {name}: {len(records)} answers, {passed} passed, {errors} without a grade")
    print(*(line for line in done.stdout.splitlines() if "judged again" in line), sep="\n")
    return run


def annotate(folder: Path, run: Path, answers: Sequence[Marked]) -> None:
    """Write the marks of people as `llmbench review --by-check` would have: a point each, then the whole answer."""
    known = {one.case: one for one in answers}
    for record in read_run(run).records:
        one = known[record.case]
        for point, passes in {**one.marks, None: all(one.marks.values())}.items():
            made = annotation_on(
                record,
                one.answer,
                Mark.PASS if passes else Mark.FAIL,
                by="puneval",
                at="2024",
                drawn=Drawn.RANDOM,
            )
            if point is not None:
                made = replace(made, check=point) if record.grader == "checks" else replace(made, point=point)
            add_annotation(folder / DEFAULT_FILE, made)


def agree(folder: Path, run: Path) -> None:
    """Print the agreement, without the disagreements."""
    command = [str(Path(sys.executable).with_name("llmbench")), "agreement", str(run), "--by-check"]
    print(subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.rstrip())


def main() -> None:
    """Measure the patterns, then each judge."""
    parser = argparse.ArgumentParser(description="Measure graders on the human verdicts of PunEval.")
    parser.add_argument("clone", type=Path, help="folder of a clone of github.com/Zhijun-Xu/PunEval, bare or not")
    parser.add_argument("--task", choices=TASKS, default="explanations")
    parser.add_argument("--grader", choices=GRADERS, default="key_points")
    parser.add_argument("--judge", action="append", default=[], help="a judge model, as for --llm-judge; repeatable")
    parser.add_argument("--models-file", type=Path, default=ROOT / "fixtures" / "models.toml")
    parser.add_argument("--sample", type=int, help="judge so many of the answers, drawn at random; default: all")
    parser.add_argument("--temperature", type=float, default=0.0, help="of the judge; default 0")
    parser.add_argument("--again", type=int, default=20, help="have so many answers judged a second time")
    options = parser.parse_args()
    answers = list(TASKS[options.task](Clone(options.clone)))
    for judge in [*([None] if options.grader == "key_points" else []), *options.judge]:
        drawn = (
            answers
            if judge is None
            else random.Random(0).sample(answers, min(options.sample or len(answers), len(answers)))
        )
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_suite(folder, options, drawn)
            patterns = grade(folder, "patterns") if judge is None else None
            asked = ["--llm-judge", judge, f"--llm-models-file={options.models_file.resolve()}"] if judge else []
            again = [f"--llm-check-judge={options.again}"] if judge and options.again else []
            run = patterns or grade(folder, judge.replace("/", "-"), *asked, *again)
            annotate(folder, run, drawn)
            agree(folder, run)


if __name__ == "__main__":
    main()
