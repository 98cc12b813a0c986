"""The page without a browser: its numbers, its policy, what it holds for who runs no script."""

import base64
import gzip
import hashlib
import importlib
import inspect
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_llmbench.gate.comparison import join
from pytest_llmbench.gate.decision import decide
from pytest_llmbench.gate.min_score import MinScoreRuling
from pytest_llmbench.gate.run_decision import RunGate, RunRuling
from pytest_llmbench.gate.settings import GateSettings
from pytest_llmbench.models.base import Identity
from pytest_llmbench.report.html import page as page_module
from pytest_llmbench.report.html.cases import Flag
from pytest_llmbench.report.html.page import html_report
from pytest_llmbench.report.html.subject import Subject, two_models
from pytest_llmbench.results.history import Entry
from pytest_llmbench.results.records import JudgeCheck, JudgedSuite, JudgeInfo, Machine, Run, TokenPrice
from pytest_llmbench.values import Sampling


def ids(page: Any) -> list[str]:
    return [section.attributes["id"] for section in page.tree.all("section")]


# -- the verdict


def test_the_first_section_says_what_to_decide(world: Any, page_of: Any) -> None:
    """One word, why, and a row a suite with before, now, change, linked counts and verdict, the gravest first."""
    banner = page_of(world.judged()).tree.one("section", id="verdict")

    assert banner.one("h2").words == "✗ Worse"
    assert banner.one("div", class_="word").one("p").words == "Loss shown in: sql [moved]."
    rows = [row.words for row in banner.one("table").one("tbody").all("tr")]
    assert rows[0].startswith("sql moved 95% 75% −20")
    assert rows[0].endswith("▼ 20 worse ▲ 4 better ✗ worse")
    assert rows[2].endswith("none changed 1 with errors ◐ too few cases")
    assert [row.split()[:2] for row in rows] == [
        ["sql", "moved"],
        ["yes", "moved"],
        ["yes", "steady"],
        ["sql", "steady"],
    ]


def test_what_got_worst_is_told_at_once(world: Any, page_of: Any) -> None:
    """The first cases of each suite that lost: how they were, how they are, what was asked and why they fail."""
    banner = page_of(world.judged()).tree.one("section", id="verdict")

    items = [item.words for item in banner.one("div", class_="moved").all("li")]

    assert items[0] == "sql/case-000 moved passed → wrong-result Q: What of case-000? The answer counts too much."
    assert [item.split()[0] for item in items] == [
        "sql/case-000", "sql/case-001", "sql/case-002", "yes/head-000", "yes/head-001", "yes/head-002",
    ]  # fmt: skip
    assert banner.one("div", class_="moved").one("p").words == "All 23 cases that got worse"


def test_wrong_answers_stand_above_slips_of_format(world: Any, page_of: Any) -> None:
    """Three cases that lost their format come behind one that lost its label, in the list of the page's script too."""
    parts = {"expected": "yes", "strict": None, "lenient": "yes"}
    slip = world.sample("Answer: yes", 0.0, reason="format", parts=parts, format_ok=False)
    wrong = world.sample("no", 0.0, reason="wrong-label", parts=parts | {"strict": "no", "lenient": "no"})
    old = [world.record(f"c{place:02d}", grader="yes_no") for place in range(70)]
    new = [
        *(world.record(f"c{place:02d}", slip if place < 3 else wrong, grader="yes_no") for place in range(4)),
        *old[4:],
    ]

    page = page_of(world.compared(world.run(old), world.run(new)))

    assert page.tree.one("div", class_="moved").all("li")[0].words.startswith("sql/c03 passed → wrong-label")
    assert [case["r"][0]["f"] & Flag.SLIP for case in page.data["cases"]][:5] == [Flag.SLIP] * 3 + [0, 0]


def test_the_change_is_drawn_with_its_interval(world: Any, page_of: Any) -> None:
    """The picture's name has the numbers it shows, for who cannot see it."""
    banner = page_of(world.judged()).tree.one("section", id="verdict")

    titles = [svg.one("title").words for svg in banner.all("svg")]

    assert titles[0] == "left of the dashed line: a loss of more than the margin of 5 points"
    assert titles[1] == "change −20 points, 90% interval −30 to −10; margin 5 points"


def test_of_many_rows_those_that_pass_are_folded(world: Any, page_of: Any) -> None:
    """Seven suites of which one is worse: one row is shown, six are folded, none is lost."""

    def records(lost: int) -> list[Any]:
        return [
            world.record(
                f"c{place:02d}", world.sample(score=float(place >= (lost if suite == 0 else 0))), suite=f"s{suite}"
            )
            for suite in range(7)
            for place in range(70)
        ]

    banner = page_of(world.compared(world.run(records(0)), world.run(records(30)))).tree.one("section", id="verdict")

    shown, folded = banner.all("table")
    assert [row.one("th", scope="row").words for row in shown.one("tbody").all("tr")] == ["s0"]
    assert len(folded.one("tbody").all("tr")) == 6
    assert banner.all("summary")[0].words == "6 more: 6 no worse"


def test_a_run_alone_has_no_verdict(world: Any, page_of: Any) -> None:
    """Without an earlier run nothing is judged, and nothing is said to be better or worse."""
    page = page_of(Subject(name="alone", run=world.run([world.record("a")])))

    assert page.tree.one("section", id="verdict").one("h2").words == "No verdict"
    assert page.data["before"] is None
    assert page.data["first"] == {"f": "all"}
    assert "old" not in page.tree.one("h1").words


def test_the_models_are_named_at_the_top(world: Any, page_of: Any) -> None:
    """By role and by what answers, and beside each what answered in the run before."""
    page = page_of(world.judged())

    assert [item.words for item in page.tree.one("header").one("ul").all("li")] == [
        "moved (recorded moved.jsonl) · before: moved",
        "steady (recorded steady.jsonl) · before: steady",
    ]
    records = [world.record("a")]
    other = world.compared(world.run(records), world.run([replace(record, role="n", model="n") for record in records]))
    assert (
        page_of(other).tree.one("header").one("ul").one("li").words
        == "n (recorded n.jsonl) · before: m (recorded m.jsonl)"
    )


def test_a_refusal_says_why_nothing_was_judged(world: Any, page_of: Any) -> None:
    """A run that ended early, or has nothing in common with the one before, is inconclusive for that reason."""
    ruling = RunRuling(requirements=RunGate(settings=GateSettings()), refusal="the run ended before its time (Ctrl-C)")
    banner = page_of(Subject(name="n", run=world.run([world.record("a")]), ruling=ruling)).tree.one(
        "section", id="verdict"
    )

    assert banner.one("h2").words == "◐ Inconclusive"
    assert banner.one("p").words == "Not judged: the run ended before its time (Ctrl-C)"


def test_a_run_that_was_stopped_is_inconclusive_for_that_reason(world: Any, page_of: Any) -> None:
    """What its file answered may look fine, and says nothing about the rest."""
    before, now = (world.run([world.record(str(number)) for number in range(80)]) for _ in range(2))
    now = replace(now, stopped="the run ended before its time (stopping after 1 failures)")
    ruling = RunRuling(requirements=RunGate(settings=GateSettings()), gate=decide(join(before, now), GateSettings()))
    banner = page_of(Subject(name="n", run=now, before="base", ruling=ruling)).tree.one("section", id="verdict")

    assert banner.one("h2").words == "◐ Inconclusive"
    assert banner.one("p").words.startswith("The candidate run is incomplete: the run ended before")


def test_a_model_that_could_not_be_asked_is_named(world: Any, page_of: Any) -> None:
    """What no model answered is not undecided for want of cases."""
    subject = world.judged()
    broken = replace(subject.ruling, gate=replace(subject.gate, broken="moved could not be asked (HTTP 401)"))

    banner = page_of(replace(subject, ruling=broken)).tree.one("section", id="verdict")

    assert banner.all("p")[0].words == "Not judged: moved could not be asked (HTTP 401)"


def test_two_models_of_one_run_are_compared(world: Any, page_of: Any) -> None:
    """The second named against the first, with a verdict; the list opens on what got worse, else on disagreement."""
    cases = [f"c{place:02d}" for place in range(70)]
    old = [world.record(case, world.sample(score=float(case > "c05")), role="old") for case in cases]
    new = [world.record(case, world.sample(score=float(case > "c40")), role="new") for case in cases]
    runs = [world.run([*first, *second]) for first, second in ((old, new), (new, old))]
    found = [two_models(run, Path("run.json"), GateSettings()) for run in runs]

    pages = [
        page_of(Subject(name="run", run=run, before=two[0], ruling=two[1]))
        for run, two in zip(runs, found, strict=True)
        if two
    ]

    assert [page.tree.one("h1").words for page in pages] == [
        "llmbench run: new against old", "llmbench run: old against new"
    ]  # fmt: skip
    assert [page.tree.one("h2", id="verdict-title").words for page in pages] == ["✗ Worse", "✓ Better"]
    assert [page.data["first"] for page in pages] == [{"f": "worse", "s": "sql", "m": "new"}, {"f": "disagree"}]
    assert (
        two_models(world.run([*old, *(replace(record, suite="other") for record in new)]), Path("r"), GateSettings())
        is None
    )
    assert two_models(world.run(old), Path("r"), GateSettings()) is None


@pytest.mark.parametrize(
    ("latency_margin", "judged"),
    [(None, "nothing is gated"), (1.5, "only latency is gated: no worse")],
)
def test_where_every_suite_is_advice_only_that_is_said(
    world: Any, page_of: Any, latency_margin: float | None, judged: str
) -> None:
    """No verdict of a suite counts, and the latency is named only where it was asked for."""
    run = world.run([world.record(f"c{place}", world.sample(latency_s=0.5, concurrency=1)) for place in range(80)])
    settings = GateSettings(latency_margin=latency_margin)
    gate = decide(join(run, run), settings)
    gate = replace(gate, suites=tuple(replace(suite, why_advice_only="nobody has judged") for suite in gate.suites))

    page = page_of(Subject(name="n", run=run, ruling=RunRuling(requirements=RunGate(settings=settings), gate=gate)))

    assert page.tree.one("section", id="verdict").all("p")[0].words == (
        f"Every suite is advice only, because nobody has judged; {judged}."
    )


@pytest.mark.parametrize(
    ("score", "word", "sentence"),
    [(0.5, "✗ Worse", "A minimum score is missed."), (0.9, "✓ No worse", "Every minimum score is reached.")],
)
def test_minimum_scores_alone_are_a_verdict(world: Any, page_of: Any, score: float, word: str, sentence: str) -> None:
    """A run that must reach a score says whether it did."""
    floor = MinScoreRuling(suite="sql", role="m", floor=0.8, score=score, cases=10)
    ruling = RunRuling(requirements=RunGate(settings=GateSettings()), floors=(floor,))

    banner = page_of(Subject(name="n", run=world.run([world.record("a")]), ruling=ruling)).tree.one(
        "section", id="verdict"
    )

    assert (banner.one("h2").words, banner.all("p")[0].words) == (word, sentence)
    assert f"minimum score 80.0% {'missed' if score < 0.8 else 'reached'}" in banner.one("dl").words


# -- the other sections


def test_scores_stand_suite_by_model(world: Any, page_of: Any) -> None:
    """Each cell has score, change, interval, number of cases, latency, format and errors, and leads to its cases."""
    table = page_of(world.judged()).tree.one("section", id="scores").one("table")

    assert [head.words for head in table.one("thead").all("th")] == ["suite", "moved", "steady"]
    rows = table.one("tbody").all("tr")
    moved = rows[0].all("td")[0]
    assert moved.one("a", class_="score").words == "75%"
    assert moved.one("a", class_="score").attributes["href"] == "#f=all&s=sql&m=moved"
    assert moved.one("span", class_="bad").one("span", class_="sr").words == "−20 points, 90% interval −30 to −10"
    assert moved.one("svg", class_="bar").one("title").words == "score 75%, 95% interval 65% to 83%"
    assert moved.all("div", class_="dim")[0].words == "80 cases · p50 0.90s · p95 1.25s"
    format_badge = rows[1].all("td")[0].one("a", class_="chip")
    assert (format_badge.words, format_badge.attributes["href"]) == ("format 85%", "#f=format&s=yes&m=moved")
    errors = rows[1].all("td")[1].all("a", class_="chip")[1]
    assert (errors.words, errors.attributes["href"]) == ("1 error", "#f=errors&s=yes&m=steady")


def test_no_loss_is_red_unless_the_verdict_is_worse(world: Any, page_of: Any) -> None:
    """A loss that is significant and within the margin is not shown as one that the gate refuses."""
    old = [world.record(f"c{place:03d}") for place in range(400)]
    new = [world.record(f"c{place:03d}", world.sample(score=float(place >= 8))) for place in range(400)]
    subject = world.compared(world.run(old), world.run(new))
    assert subject.gate is not None
    assert (subject.gate.verdict, subject.gate.suites[0].is_real_drop) == ("no worse", True)

    page = page_of(subject)

    cell = page.tree.one("section", id="scores").one("td")
    assert not cell.all("span", class_="bad")
    assert cell.one("span", class_="warn").one("span", class_="sr").words.endswith(", a loss within the margin")


def test_tokens_and_cost_stand_beside_the_score(world: Any, page_of: Any) -> None:
    """The judge's apart from the model's; a cell of which nothing is known has neither."""
    replies = {"judge_tokens": [500, 40]}
    spent = world.sample(input_tokens=1200, output_tokens=80, parts=replies)
    run = world.run([world.record("a", spent), world.record("a", role="free")])
    price = TokenPrice(input_per_million=10.0, output_per_million=100.0)
    models = tuple(replace(model, price=price if model.role == "m" else None) for model in run.facts.models)
    judge = JudgeInfo(model="j", identity=None, suites={}, price=price)

    cells = (
        page_of(Subject(name="n", run=replace(run, facts=replace(run.facts, models=models, judge=judge))))
        .tree.one("section", id="scores")
        .all("td")
    )

    assert [line.words for line in cells[0].all("div", class_="dim")] == [
        "1 case", "1,200/80 tokens in/out · $0.02", "judge: 500/40 tokens in/out · $0.009",
    ]  # fmt: skip
    assert [line.words for line in cells[1].all("div", class_="dim")] == ["1 case"]


def test_a_change_that_may_be_chance_is_grey(world: Any, page_of: Any) -> None:
    """The colour of loss or gain is for what the interval shows; the words say so too."""
    old = [world.record(f"c{place:02d}") for place in range(70)]
    new = [world.record(f"c{place:02d}", world.sample(score=float(place > 0))) for place in range(70)]

    cell = page_of(world.compared(world.run(old), world.run(new))).tree.one("section", id="scores").one("td")

    assert not cell.all("span", class_="bad")
    assert cell.one("span", class_="dim").one("span", class_="sr").words.endswith(", may be chance")


def timed(world: Any, suite: str, role: str, load: int) -> list[Any]:
    sample = world.sample(latency_s=0.5 / load, ttft_s=0.1, output_tokens=5, concurrency=load)
    return [world.record(f"c{place}", sample, suite=suite, role=role) for place in range(3)]


def test_latencies_of_unlike_load_are_never_in_one_figure(world: Any, page_of: Any) -> None:
    """One at a time and eight at a time have figures of their own, of quality against speed and of how they spread."""
    records = [
        record for suite in "ab" for role, load in (("x", 1), ("y", 8)) for record in timed(world, suite, role, load)
    ]

    page = page_of(Subject(name="n", run=world.run(records)))

    captions = [caption.words for caption in page.tree.one("section", id="speed").all("figcaption")]
    assert captions == ["measured one at a time", "measured 8 at a time"]
    points = [
        [g.one("title").words.split(":")[0] for g in figure.all("g")]
        for figure in page.tree.one("section", id="speed").all("figure")
    ]
    assert points == [["a, x", "b, x"], ["a, y", "b, y"]]
    latency = page.tree.one("section", id="latency")
    assert [head.words for head in latency.all("h3")] == ["measured one at a time", "measured 8 at a time"]
    assert [table.one("tbody").words for table in latency.all("table")] == [
        "a x 3 0.50s 0.50s 0.10s 0.10s 10.0 b x 3 0.50s 0.50s 0.10s 0.10s 10.0",
        "a y 3 62.5ms 62.5ms 0.10s 0.10s 80.0 b y 3 62.5ms 62.5ms 0.10s 0.10s 80.0",
    ]


def test_no_figure_holds_one_point_alone(world: Any, page_of: Any) -> None:
    """A suite measured under a load of its own, or in one run of several, has nothing beside it to be read against."""
    records = [*timed(world, "a", "x", 1), *timed(world, "b", "x", 8)]
    history = (entry("1", "x", 0.5, suite="a"), entry("2", "x", 0.6, suite="a"), entry("2", "x", 0.6, suite="b"))

    page = page_of(Subject(name="n", run=world.run(records), history=history))

    assert "speed" not in ids(page)
    assert [caption.words for caption in page.tree.one("section", id="time").all("figcaption")] == ["a"]


def test_what_was_timed_elsewhere_is_left_out_and_said(world: Any, page_of: Any) -> None:
    """Reused answers have their time from another run, and some were measured under another load."""
    times = [(0.5, 8, False)] * 3 + [(9.0, 8, True), (0.1, 1, False)]
    records = [
        world.record(f"c{place}", world.sample(latency_s=latency, concurrency=load, reused=reused))
        for place, (latency, load, reused) in enumerate(times)
    ]

    latency = page_of(Subject(name="n", run=world.run(records))).tree.one("section", id="latency")

    assert latency.one("table").one("tbody").words == (
        "sql m 3 0.50s 0.50s – – – 1 reused answer left out; 1 answer measured under a different load left out"
    )


def test_what_a_model_was_trained_on_stands_apart(world: Any, page_of: Any) -> None:
    """In the scores and among the labels: two names, and no mean of both."""
    subject = world.judged()
    records = tuple(
        replace(one, trained="case") if one.suite == "yes" and one.case < "head-005" else one
        for one in subject.run.records
    )

    tree = page_of(replace(subject, run=replace(subject.run, records=records))).tree

    names = [row.one("th").words for row in tree.one("section", id="scores").one("tbody").all("tr")]
    assert [name for name in names if name.startswith("yes")] == ["yes", "yes (trained on)"]
    heads = [head.words.partition(" positive")[0] for head in tree.one("section", id="labels").all("h3")]
    assert heads == ["yes", "yes (trained on)"]


def test_labels_have_baselines_and_matrices(world: Any, page_of: Any) -> None:
    """Format, strict and lenient accuracy side by side, who reads nothing below them, and each count of the matrix."""
    labels = page_of(world.judged()).tree.one("section", id="labels")

    table, *matrices = labels.all("table")
    assert [head.words for head in table.one("thead").all("th")][:5] == [
        "model",
        "format",
        "strict",
        "95% interval",
        "lenient",
    ]
    rows = [row.words for row in table.one("tbody").all("tr")]
    assert rows[0].startswith("moved 85% 85% 64–95 100%")
    assert rows[2:] == ["always yes – 50% – 50% 50% n/a 0.67 100%", "always no – 50% – 50% 50% n/a 0.00 0%"]
    assert [matrix.one("tbody").words for matrix in matrices] == ["yes 10 0 0 no 0 10 0", "yes 10 0 0 no 0 9 0"]


def test_a_model_that_is_not_above_a_baseline_is_named(world: Any, page_of: Any) -> None:
    """A rule that reads nothing does as well: that is said in words."""
    sample = world.sample("yes", parts={"expected": "yes", "strict": "yes", "lenient": "yes"}, format_ok=True)
    run = world.run([world.record(f"c{place}", sample, grader="yes_no") for place in range(3)])

    labels = page_of(Subject(name="n", run=run)).tree.one("section", id="labels")

    assert labels.one("p", class_="warn").words == (
        "◐ m does not beat the trivial baseline: 100.0% (strict) against 100.0% for always answering yes."
    )


def entry(file: str, role: str, score: float, *breaks: str, suite: str = "sql") -> Entry:
    return Entry(
        file=file, date=f"2026-0{file}-01T10:00:00+00:00", commit=f"{file}abcdef0", suite=suite, role=role, model=role,
        cases=80, errors=0, score=score, interval=(score - 0.1, score + 0.1), format_rate=None, p50_s=None,
        breaks=breaks,
    )  # fmt: skip


def test_runs_over_time_are_lines_that_break(world: Any, page_of: Any) -> None:
    """A line a model, parted where the cases changed, which is said; a model of other runs alone is there too."""
    history = (
        entry("1", "m", 0.5), entry("2", "m", 0.6), entry("3", "m", 0.8, "cases"), entry("4", "m", 0.8), entry("1", "gone", 0.3),
    )  # fmt: skip
    run = world.run([world.record("a")])

    time = page_of(Subject(name="n", run=run, history=history)).tree.one("section", id="time")

    assert len(time.all("path", class_="line")) == 2
    assert time.all("p", class_="dim")[0].words == "┆ 2026-03-01 10:00 · commit 3abcdef: changed cases"
    assert [item.words for item in time.one("ul").all("li")] == ["m", "gone"]
    titles = [
        path.one("title").words
        for path in time.all("path")
        if path.all("title") and path.attributes["class"] != "break"
    ]
    assert titles[0] == "m, 2026-01-01 10:00 · commit 1abcdef: 50%"


def test_sections_without_anything_to_tell_are_not_there(world: Any, page_of: Any) -> None:
    """A run of one model, no labels, no latency, no other runs, no verdicts of people."""
    assert ids(page_of(Subject(name="n", run=world.run([world.record("a")])))) == ["verdict", "scores", "cases", "made"]


def test_sections_stand_in_their_order(world: Any, page_of: Any) -> None:
    """What to decide comes first, what it was made with last."""
    history = (entry("1", "moved", 0.5), entry("2", "moved", 0.6))

    judged = world.judged()
    run = world.run([*judged.run.records, *timed(world, "a", "moved", 1)])

    page = page_of(replace(judged, run=run, history=history))

    assert ids(page) == ["verdict", "scores", "speed", "labels", "time", "latency", "cases", "made"]
    links = [link.attributes["href"] for link in page.tree.one("nav").all("a")]
    assert set(links) <= {f"#{name}" for name in ids(page)}


def test_what_a_run_was_made_with_is_told(world: Any, page_of: Any) -> None:
    """Both runs: date and commit, machine, options, counts; models with identity and sampling; suites with digests."""
    subject = world.judged()
    subject = replace(subject, run=replace(subject.run, machine=Machine(cpu="EPYC", cpu_count=2, system="Linux")))

    made = page_of(subject).tree.one("section", id="made")

    sheets = {card.one("h3").words: card.one("dl").words for card in made.all("div", class_="card")}
    assert next(iter(sheets)) == "Run old (baseline)"
    assert sheets["Run new"].startswith("made 2026-11-21 10:00 · commit e90ce90 machine 2 × EPYC, Linux samples 1")
    assert "answers 199 errors 1" in sheets["Run new"]
    assert "provider recorded model moved.jsonl" in sheets["new: model moved"]
    assert "max_tokens 256, temperature 0.0" in sheets["new: model moved"]
    assert sheets["new: suite yes"] == "file cases/yes.yaml digest s grader yes_no, version 1"


def test_who_judged_and_how_is_told(world: Any, page_of: Any) -> None:
    """A run with a judge model has a sheet of it: identity, prompt, votes and sampling by suite."""
    how = JudgedSuite(prompt_sha256="words", votes=3, sampling=Sampling(max_tokens=9, temperature=0.7))
    judge = JudgeInfo(model="gpt", identity=Identity(provider="openai", model="gpt-5"), suites={"yes": how})
    counts = {"answers": 40, "changed": 3, "scores_changed": 3, "errors": 0, "input_tokens": 1, "output_tokens": 1}
    again = JudgeCheck(**counts, cases=("a",))
    run = world.run([world.record("a")], facts={"judge": judge, "judge_check": {"yes": again}})

    made = page_of(Subject(name="new", run=run)).tree.one("section", id="made")

    sheets = {card.one("h3").words: card.one("dl").words for card in made.all("div", class_="card")}
    assert sheets["new: judge"] == (
        "name gpt provider openai model gpt-5 prompt digest, yes words "
        "sampling, yes votes 3, max_tokens 9, temperature 0.7 "
        "judged again, yes 3 of 40 grades changed when judged again (7.5%)"
    )


# -- what the script reads


def test_the_data_hold_every_answer_now_and_before(world: Any, page_of: Any) -> None:
    """Of each case: what is asked beyond what all share, what was expected, and both answers with their grades."""
    data = page_of(world.judged()).data

    case = data["cases"][0]
    assert (data["suites"][case["s"]], case["c"], case["x"]) == ("sql", "case-000", "expected of case-000")
    assert data["frames"][case["p"][0][0]] == ["Answer in a word.\nQ: What of ", "\nA:"]
    assert case["p"][0][1] == "case-000?"
    cell = case["r"][0]
    assert (cell["o"], cell["v"], cell["bo"], cell["bv"]) == ("failed", 0.0, "passed", 1.0)
    assert cell["n"][0]["a"] == "SELECT count(*) FROM events"
    assert cell["n"][0]["q"] == {"d": "mysql", "s": "SELECT 1", "missing": [["25"]], "unexpected": [["NULL"]]}
    assert cell["b"][0]["a"] == "SELECT count(*) FROM events WHERE name = 'a'"


def test_the_flags_of_cases_are_those_of_the_gate(world: Any, page_of: Any) -> None:
    """As many cases are marked worse and better as the first section counts, suite by suite and model by model."""
    subject = world.judged()
    data = page_of(subject).data

    for ruling in subject.gate.suites:
        at = [role for role, *_ in data["roles"]].index(ruling.pairs.role)
        flags = [case["r"][at]["f"] for case in data["cases"] if data["suites"][case["s"]] == ruling.pairs.suite]
        assert sum(bool(flag & 1) for flag in flags) == len(ruling.worse)
        assert sum(bool(flag & 2) for flag in flags) == len(ruling.better)
    flags = [case["r"][0]["f"] for case in data["cases"]]
    assert (sum(bool(f & 4) for f in flags), sum(bool(f & 8) for f in flags)) == (23, 3)
    assert sum(bool(case["r"][1]["f"] & 16) for case in data["cases"]) == 1


def test_the_list_opens_on_what_got_worse(world: Any, page_of: Any) -> None:
    """In the suite with the gravest verdict, under the model it is about."""
    assert page_of(world.judged()).data["first"] == {"f": "worse", "s": "sql", "m": "moved"}


def test_the_gravest_verdict_opens_before_the_largest_drop(world: Any, page_of: Any) -> None:
    """A suite of two cases that lost both is too small to be judged worse, as one that lost a quarter of many is."""

    def run(lost: int, lost_of_two: int) -> Run:
        scores = {"sql": [place >= lost for place in range(80)], "two": [place >= lost_of_two for place in range(2)]}
        return world.run(
            [
                world.record(str(place), world.sample(score=float(score)), suite=suite)
                for suite in ("two", "sql")
                for place, score in enumerate(scores[suite])
            ]
        )

    subject = world.compared(run(0, 0), run(20, 2))

    assert {one.pairs.suite: (str(one.verdict), one.delta) for one in subject.gate.suites} == {
        "two": ("too few cases", -1.0),
        "sql": ("worse", -0.25),
    }
    assert page_of(subject).data["first"] == {"f": "worse", "s": "sql", "m": "m"}


def test_a_model_of_another_name_is_compared_under_its_role(world: Any, page_of: Any) -> None:
    """Where each run has one model they pair whatever their names, and the older name is told."""
    old, new = world.run([world.record("a", role="llama-7b")]), world.run([world.record("a", role="llama-13b")])

    page = page_of(world.compared(old, new))

    assert page.data["roles"] == [["llama-13b", None, "llama-7b"]]
    assert "was llama-7b" in page.tree.one("section", id="verdict").one("tbody").words


def test_long_data_are_compressed(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """From two million characters on: the script unpacks the same data."""
    text = "".join(f"{number} " for number in range(400_000))
    subject = Subject(name="n", run=world.run([world.record("a", world.sample(text))]))

    html = html_report(subject)

    coded = re.search(r'data-packing="gzip">([^<]*)</script>', html)
    assert coded is not None
    data = json.loads(gzip.decompress(base64.b64decode(coded[1])))
    assert data["cases"][0]["r"][0]["n"][0]["a"] == text
    assert len(html) < len(text)


# -- for who runs no script


def test_without_a_script_the_cases_can_be_read(world: Any, page_of: Any) -> None:
    """Those that got worse come first, with both answers; how many are left out is said."""
    cases = page_of(world.judged(cases=120)).tree.one("section", id="cases").one("noscript")

    assert cases.one("p", class_="warn").words.startswith(
        "◐ Without JavaScript there are no filters. Here are 100 of 140 cases"
    )
    first = cases.all("details")[0]
    assert first.one("summary").words == (
        "sql/case-000 Q: What of case-000? moved: passed → wrong-result steady: different"
    )
    assert [text.text for text in first.all("pre")][:3] == [
        "expected of case-000", "SELECT count(*) FROM events WHERE name = 'a'", "SELECT count(*) FROM events",
    ]  # fmt: skip
    assert len(cases.all("details")) == 100


# -- one file, nothing from elsewhere, always the same


def test_the_policy_allows_the_one_script_and_the_one_style_sheet(world: Any, page_of: Any) -> None:
    """Both by the digest of what stands in the page; everything else is forbidden, and nothing asks for it."""
    page = page_of(world.judged())

    policy = page.tree.one("meta", http_equiv="Content-Security-Policy").attributes["content"]
    script = next(node.text for node in page.tree.all("script") if "type" not in node.attributes)
    digests = [
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        for text in (script, page.tree.one("style").text)
    ]
    assert policy == (
        f"default-src 'none'; script-src {digests[0]}; style-src {digests[1]}; base-uri 'none'; form-action 'none'"
    )
    assert not re.search(r"\b(?:src|srcset|action|data)=", page.html.replace(script, ""))
    assert not [node for node in page.tree.all("a") if not (node.attributes["href"] or "").startswith("#")]
    assert not [name for name in ("link", "img", "iframe", "object", "form") if page.tree.all(name)]
    assert not re.search(r"\son\w+=|\sstyle=", page.html.replace(script, ""))
    for forbidden in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
        assert forbidden not in script


def test_the_same_run_gives_the_same_bytes(world: Any) -> None:
    """No time of writing, no order by chance: also where the data are compressed."""
    long = Subject(name="n", run=world.run([world.record("a", world.sample("x" * 3_000_000))]))

    assert html_report(world.judged()) == html_report(world.judged())
    assert html_report(long) == html_report(long)


def test_templates_scripts_and_styles_are_in_the_package() -> None:
    """Each file that the page is made of lies in the package and has something in it."""
    folder = Path(page_module.__file__).parent
    files = [path for name in ("templates", "script", "style") for path in (folder / name).iterdir()]

    own = {f"{inspect.getmodule(make).__name__.rpartition('.')[2]}.html" for make in page_module.SECTIONS}
    assert {path.name for path in files} == {"page.html", *own, *page_module.SCRIPTS, *page_module.STYLES}
    assert all(path.stat().st_size for path in files)


THROWAWAY = """\
from pathlib import Path
from pytest_llmbench.report.html.section import Section

def section(subject):
    text = Path(__file__).with_suffix(".html").read_text()
    return Section(name="models", title="Models", template=text, values={"note": "<b>bold</b> \u202e"})
"""
TEMPLATE = '<section id="models">{{ counted(subject.roles|length, "model") }}: {{ note }}</section>'


def test_a_section_is_a_module_with_its_template_and_a_line_of_the_table(
    world: Any, parsed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new section is listed and shown where it stands in the table, and what it prints is escaped like all else."""
    (tmp_path / "throwaway_section.py").write_text(THROWAWAY)
    (tmp_path / "throwaway_section.html").write_text(TEMPLATE)
    monkeypatch.syspath_prepend(tmp_path)
    throwaway = importlib.import_module("throwaway_section")
    first, *others = page_module.SECTIONS

    page = parsed(html_report(world.judged(), (first, throwaway.section, *others)))

    assert [link.words for link in page.tree.one("nav").all("a")][:3] == ["Verdict", "Models", "Scores"]
    assert [section.attributes["id"] for section in page.tree.all("section")][:3] == ["verdict", "models", "scores"]
    shown = page.tree.one("section", id="models")
    assert (shown.words, shown.all("b")) == (r"2 models: <b>bold</b> \u202e", [])
