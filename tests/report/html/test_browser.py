"""The report in a real Chromium: what a reader sees, clicks and types, and what hostile text must not do."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from pytest_llmbench.cli import main
from pytest_llmbench.report.html.page import html_report
from pytest_llmbench.report.html.subject import Subject
from pytest_llmbench.report.safe_text import visible
from pytest_llmbench.results.annotations import Drawn, Mark, answer_key, read_annotations
from pytest_llmbench.values import ToolCall

pytestmark = pytest.mark.slow

WIDTHS = (390, 820, 1280)


@dataclass(slots=True)
class Opened:
    """A report in a tab, and what happened there that must not."""

    page: Any
    faults: list[str] = field(default_factory=list)

    def count(self, name: str) -> int:
        """Read the count on a filter."""
        return int(self.page.locator(f'#filters button[data-filter="{name}"] span').inner_text())

    def rows(self) -> list[str]:
        """Name the cases that are listed."""
        names: list[str] = self.page.locator("#list button[data-case]").evaluate_all(
            "all => all.map(e => e.dataset.case)"
        )
        return names

    def is_pressed(self, name: str) -> bool:
        """Tell whether a filter is chosen."""
        pressed: str = self.page.locator(f'#filters button[data-filter="{name}"]').get_attribute("aria-pressed")
        return pressed == "true"


Open = Callable[..., Opened]


@pytest.fixture
def opened(chromium: Any, tmp_path: Path) -> Iterator[Open]:
    """Open a report: `opened(subject, hash="#f=all", width=390, ...)`; further words are of the browser's context."""
    contexts = []

    def open_report(subject: Subject, *, fragment: str = "", width: int = 1280, **context: Any) -> Opened:
        path = tmp_path / "report.html"
        path.write_bytes(html_report(subject).encode())
        contexts.append(chromium.new_context(viewport={"width": width, "height": 900}, **context))
        page = contexts[-1].new_page()
        tab = Opened(page)
        page.on("console", lambda message: tab.faults.append(f"console: {message.text}"))
        page.on("pageerror", lambda fault: tab.faults.append(f"error: {fault}"))
        page.on(
            "request", lambda request: tab.faults.append(f"request: {request.url}") if not is_own(request.url) else None
        )
        page.goto(f"{path.as_uri()}{fragment}")
        if context.get("java_script_enabled", True):
            page.wait_for_selector("html[data-ready]")
        return tab

    def is_own(address: str) -> bool:
        return address.split("#")[0] == (tmp_path / "report.html").as_uri() or address.startswith("blob:")

    yield open_report
    for context in contexts:
        context.close()


# -- the list


def test_the_worst_is_open_at_once(world: Any, opened: Open) -> None:
    """Nobody has to click to see a case that was lost: what it asked, what was expected, and both answers."""
    tab = opened(world.judged())

    assert tab.is_pressed("worse")
    assert (tab.page.locator("#suite").input_value(), tab.page.locator("#model").input_value()) == ("sql", "moved")
    first = tab.page.locator("#list button[data-case]").first
    assert (first.get_attribute("data-case"), first.get_attribute("aria-expanded")) == ("sql/case-000", "true")
    panel = tab.page.locator("#open")
    assert "expected of case-000" in panel.inner_text()
    answer = panel.get_by_role("article", name="moved")
    assert answer.locator("del").inner_text() == " WHERE name = 'a'"
    assert "wrong-result The answer counts too much." in answer.inner_text()
    assert answer.get_by_role("table", name="the reference has").inner_text().split() == [
        "the",
        "reference",
        "has",
        "25",
    ]
    assert "read as mysql" in answer.inner_text()
    assert tab.faults == []


def test_filters_count_and_show_the_same(world: Any, opened: Open) -> None:
    """Each filter lists as many cases as it says, and as many as the gate and the records have."""
    subject = world.judged()
    tab = opened(subject, fragment="#f=all")
    expected = {"all": 100, "worse": 23, "better": 4, "failing": 53, "disagree": 42, "format": 3, "errors": 1}

    for name, count in expected.items():
        tab.page.locator(f'#filters button[data-filter="{name}"]').click()

        assert (tab.count(name), len(tab.rows())) == (count, count), name
        assert tab.is_pressed(name)
        assert tab.page.locator("#shown").inner_text() == f"{count} of 100 shown"
    assert tab.faults == []


def test_counts_follow_suite_model_and_search(world: Any, opened: Open) -> None:
    """What a filter would show is known before it is clicked."""
    tab = opened(world.judged(), fragment="#f=all")

    tab.page.locator("#suite").select_option("yes")
    assert [tab.count(name) for name in ("all", "worse", "failing", "format", "errors")] == [20, 3, 3, 3, 1]
    tab.page.locator("#model").select_option("steady")
    assert [tab.count(name) for name in ("all", "worse", "failing", "format", "errors")] == [20, 0, 0, 0, 1]
    tab.page.locator("#suite").select_option("")
    tab.page.locator("#model").select_option("moved")
    tab.page.locator("#search").fill("counts TOO much")
    assert [tab.count(name) for name in ("all", "worse", "better")] == [20, 20, 0]
    tab.page.locator("#search").fill("case-01 too")
    assert tab.rows() == [f"sql/case-01{digit}" for digit in range(10)]
    tab.page.locator("#search").fill("nothing says this")
    assert tab.page.locator("#list").inner_text() == "No case matches."


def test_the_address_holds_the_state(world: Any, opened: Open) -> None:
    """What is chosen stands behind the hash, and a link to it shows the same; nonsense there is passed over."""
    tab = opened(world.judged(), fragment="#f=all")
    tab.page.locator("#suite").select_option("sql")
    tab.page.locator("#model").select_option("moved")
    tab.page.locator('#filters button[data-filter="better"]').click()
    tab.page.locator("#search").fill("case-077")
    tab.page.locator('#list button[data-case="sql/case-077"]').click()

    fragment = tab.page.evaluate("location.hash")
    again = opened(world.judged(), fragment=fragment)
    nonsense = opened(world.judged(), fragment="#f=none&s=none&m=none&p=x&c=none&__proto__=x&constructor=y")

    assert fragment == "#f=better&s=sql&m=moved&q=case-077&c=sql%2Fcase-077"
    assert again.rows() == ["sql/case-077"]
    assert again.page.locator("#open").is_visible()
    assert again.page.locator("#search").input_value() == "case-077"
    assert (nonsense.count("all"), nonsense.is_pressed("all")) == (100, True)
    assert tab.faults + again.faults + nonsense.faults == []


def test_links_of_the_page_lead_to_their_cases(world: Any, opened: Open) -> None:
    """The counts of the verdict, a case that got worst, a score, a badge: each shows what it speaks of."""
    tab = opened(world.judged())
    followed = {
        "#verdict tbody a.good": ("better", 4),
        "#verdict .moved li:nth-child(4) a": ("worse", 3),
        "#scores tbody tr:nth-child(2) td:nth-child(3) a.score": ("all", 20),
        "#scores a.chip.bad:text('error')": ("errors", 1),
    }

    for selector, (name, count) in followed.items():
        tab.page.locator(selector).first.click()
        # the page hears of its new address in a later turn
        tab.page.locator(f'#filters button[data-filter="{name}"][aria-pressed="true"]').wait_for()
        tab.page.locator("[data-case]:focus").wait_for()

        assert tab.is_pressed(name), selector
        assert len(tab.rows()) == count, selector
        assert tab.page.evaluate("document.activeElement.dataset.case") in tab.rows(), selector
    tab.page.locator("#verdict .moved li:nth-child(4) a").click()
    tab.page.locator('#list button[data-case="yes/head-000"][aria-expanded="true"]').wait_for()
    assert tab.faults == []


GO = """address => new Promise(done => {
    addEventListener("hashchange", () => setTimeout(done, 0), { once: true });
    location.hash = address;
})"""


def test_every_link_has_somewhere_to_go(world: Any, opened: Open) -> None:
    """A link is to a section that is there, or to a state of the list that shows at least one case."""
    tab = opened(world.judged())
    links = tab.page.locator("a[href]").evaluate_all("all => all.map(e => e.getAttribute('href'))")

    for address in dict.fromkeys(links):
        if "=" in address:
            tab.page.evaluate(GO, address)
            assert tab.rows(), address
        else:
            assert tab.page.locator(address).count() == 1, address
    assert len(links) > 20


def test_a_long_list_has_pages(world: Any, opened: Open) -> None:
    """Two hundred cases at once; a link to a case turns to its page."""
    subject = Subject(name="n", run=world.run([world.record(f"c{place:03d}") for place in range(450)]))
    tab = opened(subject)

    assert (len(tab.rows()), tab.page.locator("#page").inner_text()) == (200, "1–200 of 450")
    assert tab.page.locator("#earlier").is_disabled()
    tab.page.locator("#later").click()
    assert (tab.rows()[0], tab.page.evaluate("location.hash")) == ("sql/c200", "#f=all&p=2")
    tab.page.locator("#later").click()
    assert (len(tab.rows()), tab.page.locator("#page").inner_text()) == (50, "401–450 of 450")
    assert tab.page.locator("#later").is_disabled()
    linked = opened(subject, fragment="#f=all&c=sql%2Fc310")
    assert linked.page.locator("#page").inner_text() == "201–400 of 450"
    assert linked.page.locator("#open").is_visible()


def test_keys_are_enough(world: Any, opened: Open) -> None:
    """`/` goes to the search, Escape leaves it, j and k go from case to case, Enter opens and shuts one."""
    tab = opened(world.judged(), fragment="#f=worse&s=sql&m=moved")
    focus = "document.activeElement.dataset.case || document.activeElement.id"

    assert tab.page.evaluate(focus) == "sql/case-000"
    tab.page.keyboard.press("j")
    tab.page.keyboard.press("j")
    tab.page.keyboard.press("k")
    assert tab.page.evaluate(focus) == "sql/case-001"
    tab.page.keyboard.press("Enter")
    assert tab.page.locator("#open").count() == 1
    assert tab.page.evaluate(focus) == "sql/case-001"
    tab.page.keyboard.press("Tab")
    tab.page.keyboard.press("j")
    assert tab.page.evaluate(focus) == "sql/case-002"
    tab.page.keyboard.press("/")
    assert tab.page.evaluate(focus) == "search"
    tab.page.keyboard.type("j/k")
    assert tab.page.locator("#search").input_value() == "j/k"
    tab.page.keyboard.press("Escape")
    assert tab.page.evaluate("document.activeElement.tagName") == "BODY"


def test_a_run_of_one_model_alone_offers_no_more_than_there_is(world: Any, opened: Open) -> None:
    """No filter for what got worse without a run before, none for models that disagree, nothing to choose."""
    tab = opened(Subject(name="n", run=world.run([world.record("a")])))

    names = tab.page.locator("#filters button").evaluate_all("all => all.map(e => e.dataset.filter)")
    assert names == ["all", "failing", "format", "errors"]
    assert not tab.page.locator("#suite").is_visible()
    assert not tab.page.locator("#model").is_visible()


def test_evidence_is_marked_in_the_answer(world: Any, opened: Open) -> None:
    """The words that made a point, and those of a forbidden claim, also behind characters of two units."""
    answer = "🐟 The baker needs dough, and deer."
    parts = {
        "points": [
            {"name": "bread", "hit": True, "start": 18, "end": 23, "quote": "dough"},
            {"name": "money", "hit": False, "start": None, "end": None, "quote": None},
        ],
        "forbidden": [{"name": "animal", "hit": True, "start": 29, "end": 33, "quote": "deer"}],
    }
    record = world.record("a", world.sample(answer, 0.4, parts=parts), grader="key_points")
    tab = opened(Subject(name="n", run=world.run([record])), fragment="#f=all&c=sql/a")

    marks = tab.page.locator("#open mark")
    assert [(mark.inner_text(), mark.get_attribute("title")) for mark in marks.all()] == [
        ("dough", "bread"), ("deer", "animal"),
    ]  # fmt: skip
    assert tab.page.locator(".points li").all_inner_texts() == ["✓ bread", "✗ misses money", "✗ claims animal"]
    assert "failed 0.40" in tab.page.locator("#list").inner_text()


def test_the_checks_within_a_combination_are_a_list_below_it(world: Any, opened: Open) -> None:
    """Each combination has its own; nothing in one that passed looks like a fault."""
    inner = {"name": "words", "kind": "words", "passed": False, "explanation": "Expected 1 word."}
    either = {"name": "any of words or all of words", "kind": "any", "passed": True}
    both = {"name": "all of words", "kind": "all", "passed": True, "checks": [{**inner, "passed": True}]}
    parts = {"checks": [{**either, "checks": [inner, both]}, {"name": "json", "kind": "json", "passed": False}]}
    record = world.record("a", world.sample("x", 0.5, parts=parts), grader="checks")
    tab = opened(Subject(name="n", run=world.run([record])), fragment="#f=all&c=sql/a")

    chips = tab.page.locator("#open .points .chip")
    assert [(chip.inner_text(), chip.get_attribute("class").split()[1]) for chip in chips.all()] == [
        ("✓ any of words or all of words", "good"), ("✗ words: Expected 1 word.", "none"), ("✓ all of words", "good"),
        ("✓ words: Expected 1 word.", "good"), ("✗ json", "bad"),
    ]  # fmt: skip
    assert tab.page.locator("#open .within .within .chip").all_inner_texts() == ["✓ words: Expected 1 word."]
    assert tab.page.locator("#open .within .chip").count() == 3
    assert tab.faults == []


def test_calls_and_conversations_stand_where_an_answer_does(world: Any, opened: Open) -> None:
    """Calls have a box of their own, and no empty text above it; a conversation is one text, turn by turn."""
    call = ToolCall(name="search", arguments={"text": "refund"})
    turns = [{"user": "Hi", "answer": "Hello"}, {"user": "Bye", "answer": "", "tool_calls": [{"name": "end"}]}]
    calling = world.record("a", world.sample("", 1.0, tool_calls=(call,)))
    talking = world.record("b", world.sample("", 0.0, parts={"turns": turns}))
    run = world.run([calling, talking])

    first = opened(Subject(name="n", run=run), fragment="#f=all&c=sql/a")
    second = opened(Subject(name="n", run=run), fragment="#f=all&c=sql/b")

    assert first.page.locator("#open .answer .text").all_inner_texts() == ['search({"text": "refund"})']
    assert second.page.locator("#open .answer .text").all_inner_texts() == [
        "user: Hi\nmodel: Hello\nuser: Bye\ncalls: end()"
    ]
    assert first.faults == second.faults == []


def test_samples_stand_below_each_other(world: Any, opened: Open) -> None:
    """Several answers to one case are numbered; how many were right stands beside the outcome."""
    samples = (world.sample("one"), world.sample("two", 0.0), world.sample(None, None, error="HTTP 500"))
    tab = opened(Subject(name="n", run=world.run([world.record("a", *samples)])), fragment="#f=all&c=sql/a")

    text = tab.page.locator("#open").inner_text()
    assert re.findall(r"(.) sample (\d) of 3", text) == [("✓", "1"), ("✗", "2"), ("!", "3")]
    assert "HTTP 500" in text
    assert "✗ failed 1/3" in tab.page.locator(".chips").inner_text()


def test_packed_data_are_unpacked(world: Any, opened: Open) -> None:
    """Compressed data show the same; a text of two megabytes is cut at first and can be had whole."""
    text = "word " * 500_000
    tab = opened(Subject(name="n", run=world.run([world.record("a", world.sample(text))])), fragment="#f=all&c=sql/a")

    box = tab.page.locator(".answer .text")
    assert len(box.inner_text()) < 4_200
    box.get_by_role("button", name="show all 2,500,000 characters").click()
    assert box.evaluate("e => e.textContent.length") == len(text)
    assert tab.faults == []


# -- how it looks


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_nothing(world: Any, opened: Open, axe: str, width: int, scheme: str) -> None:
    """WCAG 2.0 and 2.1 A and AA, in both themes, with a case and every folded part open."""
    tab = opened(world.judged(), width=width, color_scheme=scheme, bypass_csp=True)
    tab.page.locator(".annotate button").first.click()
    tab.page.evaluate("document.querySelectorAll('details').forEach(e => { e.open = true; })")
    tab.page.evaluate(axe)

    found = tab.page.evaluate("axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'] })")

    assert [(one["id"], [node["html"] for node in one["nodes"]][:3]) for one in found["violations"]] == []
    assert len(found["passes"]) > 20


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_screen(world: Any, opened: Open, width: int) -> None:
    """With long names, long words, a table that is wide, and everything open."""
    long = "a-very-long-name-of-a-model-that-nobody-would-choose"
    subject = world.judged()
    renamed = tuple(
        replace(record, role=f"{long}-{record.role}", suite=f"{record.suite}-{long}") for record in subject.run.records
    )
    word = world.record("long", world.sample("x" * 5_000, 0.0, explanation="y" * 500), suite=long, role=f"{long}-moved")
    tab = opened(Subject(name=long, run=world.run([*renamed, word])), fragment=f"#f=all&c={long}/long", width=width)
    tab.page.evaluate("document.querySelectorAll('details').forEach(e => { e.open = true; })")

    assert tab.page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_table_of_labels_is_whole(world: Any, opened: Open) -> None:
    """At the width of a laptop no column is cut, with probabilities too."""
    parts = {"expected": "yes", "strict": "yes", "lenient": "yes", "p": {"yes": 0.7, "no": 0.2}, "p_other": 0.1}
    sample = world.sample("yes", parts=parts, format_ok=True, latency_s=0.5, concurrency=1)
    roles = ("smollm2-135m-instruct", "smollm2-135m-instruct-q4", "production")
    run = world.run(
        [world.record(f"c{place}", sample, grader="yes_no", role=role) for place in range(3) for role in roles]
    )

    tab = opened(Subject(name="n", run=run))

    assert "AUROC" in tab.page.locator("#labels").inner_text()
    assert tab.page.locator("#labels .wide").evaluate("e => e.scrollWidth <= e.clientWidth")


def test_the_theme_can_be_changed(world: Any, opened: Open) -> None:
    """Against what the system prefers, and back; screen readers are told."""
    tab = opened(world.judged(), color_scheme="dark")
    paper = "getComputedStyle(document.body).backgroundColor"
    dark = tab.page.evaluate(paper)

    assert tab.page.locator("#theme").get_attribute("aria-pressed") == "true"
    tab.page.locator("#theme").click()
    assert tab.page.locator("#theme").get_attribute("aria-pressed") == "false"
    assert tab.page.evaluate(paper) != dark
    tab.page.locator("#theme").click()
    assert tab.page.evaluate(paper) == dark


def test_paper_has_no_buttons(world: Any, opened: Open) -> None:
    """In print the controls are gone, folded sections are open, and the paper is white."""
    tab = opened(world.judged(), color_scheme="dark")

    tab.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    tab.page.emulate_media(media="print")

    assert not tab.page.locator("#controls").is_visible()
    assert not tab.page.locator("nav").is_visible()
    assert tab.page.locator("#made dl").first.is_visible()
    assert tab.page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "light"


def test_paper_has_the_folded_rows_of_many_suites(world: Any, opened: Open) -> None:
    """Seven suites of which one is worse: the six that are folded on the screen are printed."""
    suites = [f"s{place}" for place in range(7)]
    old = world.run([world.record(f"c{place}", suite=suite) for suite in suites for place in range(70)])
    wrong = world.sample(score=0.0)
    lost = [replace(one, samples=(wrong,), score=0.0, outcome=wrong.outcome) for one in old.records[:30]]
    tab = opened(world.compared(old, replace(old, records=(*lost, *old.records[30:]))))
    folded = tab.page.locator("#verdict details table")

    assert not folded.is_visible()
    tab.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert folded.is_visible()


def test_paper_is_white_after_the_dark_button(world: Any, opened: Open) -> None:
    """The ink of the chosen look would be pale."""
    tab = opened(world.judged(), color_scheme="light")

    tab.page.locator("#theme").click()
    assert tab.page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"
    tab.page.emulate_media(media="print")

    assert tab.page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "light"


def test_without_a_script_everything_can_be_read(world: Any, opened: Open) -> None:
    """Verdict, scores and pictures are there, the cases in plain form; no button is there that would do nothing."""
    tab = opened(world.judged(), java_script_enabled=False, width=390)

    assert tab.page.locator("#verdict h2").inner_text() == "✗ Worse"
    assert tab.page.locator("#scores .score").first.is_visible()
    assert tab.page.locator("#verdict tbody svg").first.is_visible()
    assert not tab.page.locator("#controls").is_visible()
    assert not tab.page.locator("#theme").is_visible()
    assert [button for button in tab.page.locator("button").all() if button.is_visible()] == []
    first = tab.page.locator("details.static").first
    first.locator("summary").click()
    assert "SELECT count(*) FROM events WHERE name = 'a'" in first.inner_text()
    assert tab.faults == []


# -- annotations of readers


def test_annotations_are_saved_as_the_command_reads_them(
    world: Any, opened: Open, payloads: tuple[Any, ...], tmp_path: Path, write_run: Callable[..., Path], capsys: Any
) -> None:
    """Digests, texts and names come out as `llmbench review` writes them, whatever the answer holds."""
    texts = {f"case-{place}": payload.text for place, payload in enumerate(payloads)}
    records = [world.record(case, world.sample(text)) for case, text in texts.items()]
    run = world.run(records)
    tab = opened(Subject(name="n", run=run), fragment="#f=all")
    words = ["pass", "part", "fail"]

    for place, case in enumerate(texts):
        tab.page.locator(f'#list button[data-case="sql/{case}"]').click()
        group = tab.page.locator("#open .annotate")
        group.get_by_role("button", name=words[place % 3]).click()
        if place == 1:
            group.locator("input").fill('a "note", with , and ; \\ and ü')
    tab.page.locator("#save").click()
    assert tab.page.evaluate("document.activeElement.id") == "by"
    tab.page.locator("#by").fill("Ann Ü. Müller")
    with tab.page.expect_download() as download:
        tab.page.locator("#save").click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)

    found = read_annotations(path)
    assert (path.name, found.faults, len(found.annotations)) == ("verdicts.jsonl", (), len(texts))
    for place, (verdict, (case, text)) in enumerate(zip(found.annotations, texts.items(), strict=True)):
        assert (verdict.case, verdict.suite, verdict.answer) == (case, "sql", text)
        assert verdict.key == answer_key(f"sql-{case}", text)
        assert (verdict.mark, verdict.by, verdict.drawn) == (Mark(words[place % 3]), "Ann Ü. Müller", Drawn.CHOSEN)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", verdict.at)
    assert found.annotations[1].note == 'a "note", with , and ; \\ and ü'
    assert main(["agreement", str(write_run(run)), "--verdicts", str(path)]) == 0
    assert capsys.readouterr().out.startswith(f"sql (exact): {len(texts)} annotations, ")
    assert tab.faults == []


ASKS_BEFORE_LEAVING = """() => {
    // the browser's own question, in a page about to be closed, crashes some builds of Chromium
    const leaving = new Event("beforeunload", { cancelable: true });
    dispatchEvent(leaving);
    return leaving.defaultPrevented;
}"""


def test_an_annotation_can_be_taken_back(world: Any, opened: Open) -> None:
    """The same button again; another replaces it; what is not saved is not lost without a word."""
    tab = opened(world.judged())
    group = tab.page.locator("#open .annotate").first
    pressed = lambda: [b.get_attribute("aria-pressed") for b in group.get_by_role("button").all()]  # noqa: E731

    group.get_by_role("button", name="pass").click()
    assert (pressed(), tab.page.locator("#given").inner_text()) == (
        ["true", "false", "false"], "1 annotation, kept in this tab until saved",
    )  # fmt: skip
    group.get_by_role("button", name="fail").click()
    assert pressed() == ["false", "false", "true"]
    tab.page.locator('#list button[data-case="sql/case-001"]').click()
    tab.page.locator('#list button[data-case="sql/case-000"]').click()
    assert pressed() == ["false", "false", "true"]
    assert tab.page.evaluate(ASKS_BEFORE_LEAVING)
    group.get_by_role("button", name="fail").click()
    assert not tab.page.locator("#annotations").is_visible()
    assert not tab.page.evaluate(ASKS_BEFORE_LEAVING)


# -- hostile text


def test_no_payload_acts(world: Any, opened: Open, payloads: tuple[Any, ...]) -> None:
    """Each is opened as answer, prompt, expectation and grade: it is shown as text, and nothing happens."""
    records, expected, prompts = [], {}, {}
    for place, payload in enumerate(payloads):
        text = payload.text
        parts = {"points": [{"name": text[:300], "hit": True, "quote": text[:20]}], "reading": text[:300]}
        sample = world.sample(
            text, 0.0, reason=text[:300], explanation=text[:2_000], parts=parts, finish_reason=text[:99]
        )
        records.append(world.record(f"case-{place}", sample, suite="sql"))
        expected[f"sql-case-{place}"] = text
    run = world.run(records, facts={"expected": expected, "prompts": prompts})
    tab = opened(
        world.compared(world.run([replace(r, samples=(world.sample("b"),)) for r in records]), run), fragment="#f=all"
    )
    dialogs: list[str] = []
    tab.page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))

    for place, payload in enumerate(payloads):
        tab.page.locator(f'#list button[data-case="sql/case-{place}"]').click()
        panel = tab.page.locator("#open")
        while panel.get_by_role("button", name="show all").count():
            panel.get_by_role("button", name="show all").first.click()
        shown = panel.locator(".answer .text:not(.old)").first.evaluate("e => e.textContent")
        assert shown == unhidden(payload.text), payload.name
        panel.locator(".answer").hover(position={"x": 5, "y": 5})

    assert tab.page.evaluate(
        "[window.acted, document.querySelectorAll('#list script, #list iframe, #list img').length]"
    ) == [None, 0]
    assert tab.page.evaluate("location.protocol") == "file:"
    assert (dialogs, tab.faults) == ([], [])


def unhidden(text: str) -> str:
    """Write out what nobody could see; a command to a CI service is none in a page."""
    return "".join(visible(character) for character in text)


def test_the_script_and_python_write_out_the_same_characters(world: Any, opened: Open) -> None:
    """Of all that Unicode has, the page hides or shows a character exactly as the terminal does."""
    tab = opened(Subject(name="n", run=world.run([world.record("a", world.sample("x"))])))
    numbers = [number for number in range(0x110000) if visible(chr(number)) != chr(number)]

    source = re.search(r"const UNSAFE = (new RegExp\(.*?\));", html_report(world.judged()), re.DOTALL)
    assert source is not None
    found = tab.page.evaluate(
        "([source]) => { const unsafe = eval(source), found = [];"
        "for (let n = 0; n < 0x110000; n++) { unsafe.lastIndex = 0; if (unsafe.test(String.fromCodePoint(n))) found.push(n); }"
        "return found; }",
        [source[1]],
    )

    assert found == numbers


def test_a_policy_stops_what_got_in_all_the_same(world: Any, opened: Open) -> None:
    """Were markup ever to get into the page, its handler would not run and its address would not be asked."""
    tab = opened(world.judged())
    failures: list[str] = []
    tab.page.on("requestfailed", lambda request: failures.append(request.failure))

    tab.page.evaluate(
        "document.body.insertAdjacentHTML('beforeend', '<img src=https://acted.example/x onerror=window.acted=1>"
        "<a id=bad href=javascript:window.acted=1>x</a>')"
    )
    tab.page.locator("#bad").click()

    assert tab.page.evaluate("window.acted") is None
    assert failures == ["csp"]  # it was stopped before it left
    assert [fault for fault in tab.faults if "Content Security Policy" in fault]
