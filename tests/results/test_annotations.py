import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.results.annotations import (
    Annotation,
    Drawn,
    Said,
    add_annotation,
    answer_key,
    answer_sha256,
    read_annotations,
)


def verdict(answer: str = "Dough is money.", said: Said = Said.PASS, *, by: str = "ann", note: str = "") -> Annotation:
    return Annotation(
        key=answer_key("digest", answer),
        case="dough",
        suite="jokes",
        answer_sha256=answer_sha256(answer),
        answer=answer,
        verdict=said,
        by=by,
        at="2026-01-02T03:04:05+00:00",
        note=note,
        drawn=Drawn.RANDOM,
    )


def test_a_verdict_is_one_line_with_all_its_fields(tmp_path: Path) -> None:
    """People read and review the file, so the text stands as it is and the fields have their names."""
    path = tmp_path / "verdicts.jsonl"

    add_annotation(path, verdict("Dé «dough»", note="well said"))

    (line,) = path.read_text(encoding="utf-8").splitlines()
    assert "Dé «dough»" in line
    assert json.loads(line) == {
        "key": answer_key("digest", "Dé «dough»"),
        "case": "dough",
        "suite": "jokes",
        "answer_sha256": answer_sha256("Dé «dough»"),
        "answer": "Dé «dough»",
        "verdict": "pass",
        "by": "ann",
        "at": "2026-01-02T03:04:05+00:00",
        "note": "well said",
        "drawn": "random",
    }


@given(answer=st.text(alphabet=st.characters(exclude_categories=[])), note=st.text())
def test_every_text_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, answer: str, note: str) -> None:
    """Control characters, line separators and lone surrogates are kept, on one line."""
    path = tmp_path_factory.mktemp("verdicts") / "verdicts.jsonl"

    add_annotation(path, verdict(answer, note=note))

    assert read_annotations(path).verdicts == (verdict(answer, note=note),)
    assert path.read_bytes().count(b"\n") == 1


def test_the_key_hangs_on_case_and_answer() -> None:
    """Neither a changed case nor a changed answer inherits a verdict."""
    keys = {answer_key("a", "x"), answer_key("b", "x"), answer_key("a", "y"), answer_key("a\nx", "")}

    assert len(keys) == 4


def test_the_last_verdict_of_a_person_counts(tmp_path: Path) -> None:
    """Who thinks again adds a line; other people's verdicts on the answer stand beside it."""
    path = tmp_path / "verdicts.jsonl"
    for said, by in ((Said.PASS, "ann"), (Said.PART, "bob"), (Said.FAIL, "ann")):
        add_annotation(path, verdict(said=said, by=by))

    found = read_annotations(path)

    assert [(v.by, v.verdict) for v in found.verdicts] == [("bob", "part"), ("ann", "fail")]
    assert len(path.read_text().splitlines()) == 3


def test_a_line_cut_off_does_not_take_the_next_one_with_it(tmp_path: Path) -> None:
    """After a crash in the middle of a line the next verdict begins a line of its own."""
    path = tmp_path / "verdicts.jsonl"
    path.write_text('{"key": "1')

    add_annotation(path, verdict())

    found = read_annotations(path)
    assert found.verdicts == (verdict(),)
    assert found.faults == (
        f"{path}:1: this line is no verdict and is left out: not JSON (Unterminated string starting at).",
    )


GOOD = {name: getattr(verdict(), name) for name in Annotation.__dataclass_fields__}


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        (b"[]", "no object"),
        (b"pass", "not JSON (Expecting value)"),
        (b'{"answer": "\xff"}', "not UTF-8"),
        (json.dumps({k: v for k, v in GOOD.items() if k != "by"}).encode(), 'it has no "by"'),
        (json.dumps({**GOOD, "case": 7}).encode(), 'its "case" is no text'),
        (json.dumps({**GOOD, "verdict": "good"}).encode(), 'its "verdict" is "good"; it must be pass, part, fail'),
        (json.dumps({**GOOD, "verdict": ["pass"]}).encode(), 'its "verdict" is ["pass"]; it must be pass, part, fail'),
        (json.dumps({**GOOD, "answer": "!"}).encode(), 'its "answer" was changed: it does not fit "answer_sha256"'),
    ],
)
def test_a_line_that_is_no_verdict_is_named_and_left_out(tmp_path: Path, line: bytes, cause: str) -> None:
    """File, line and cause; the lines around it count."""
    path = tmp_path / "verdicts.jsonl"
    path.write_bytes(json.dumps(GOOD).encode() + b"\n\n" + line + b"\n")

    found = read_annotations(path)

    assert found.verdicts == (verdict(),)
    assert found.faults == (f"{path}:3: this line is no verdict and is left out: {cause}.",)


def test_what_others_leave_out_is_not_needed(tmp_path: Path) -> None:
    """Note and manner of drawing may be missing; further fields are left alone."""
    path = tmp_path / "verdicts.jsonl"
    path.write_text(json.dumps({**{k: v for k, v in GOOD.items() if k not in ("note", "drawn")}, "points": []}))

    (found,) = read_annotations(path).verdicts

    assert (found.note, found.drawn) == ("", None)


def test_a_missing_file_is_empty_and_an_unwritable_one_a_fault(tmp_path: Path) -> None:
    """The first review makes the file; a folder in its place is said to be none."""
    assert read_annotations(tmp_path / "none.jsonl").verdicts == ()
    with pytest.raises(UsageFault, match="cannot be written"):
        add_annotation(tmp_path, verdict())
    with pytest.raises(UsageFault, match="cannot be read"):
        read_annotations(tmp_path)
