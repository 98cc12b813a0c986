import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.results.annotations import (
    Annotation,
    Drawn,
    Mark,
    add_annotation,
    answer_key,
    answer_sha256,
    read_annotations,
)


def annotation(
    answer: str = "Dough is money.", mark: Mark = Mark.PASS, *, by: str = "ann", note: str = ""
) -> Annotation:
    return Annotation(
        key=answer_key("digest", answer),
        case="dough",
        suite="jokes",
        answer_sha256=answer_sha256(answer),
        answer=answer,
        mark=mark,
        by=by,
        at="2026-01-02T03:04:05+00:00",
        note=note,
        drawn=Drawn.RANDOM,
    )


def test_a_annotation_is_one_line_with_all_its_fields(tmp_path: Path) -> None:
    """People read and review the file, so the text stands as it is and the fields have their names."""
    path = tmp_path / "verdicts.jsonl"

    add_annotation(path, annotation("Dé «dough»", note="well put"))

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
        "note": "well put",
        "drawn": "random",
    }


@given(answer=st.text(alphabet=st.characters(exclude_categories=[])), note=st.text())
def test_every_text_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, answer: str, note: str) -> None:
    """Control characters, line separators and lone surrogates are kept, on one line."""
    path = tmp_path_factory.mktemp("verdicts") / "verdicts.jsonl"

    add_annotation(path, annotation(answer, note=note))

    assert read_annotations(path).annotations == (annotation(answer, note=note),)
    assert path.read_bytes().count(b"\n") == 1


def test_the_key_hangs_on_case_and_answer() -> None:
    """Neither a changed case nor a changed answer inherits an annotation."""
    keys = {answer_key("a", "x"), answer_key("b", "x"), answer_key("a", "y"), answer_key("a\nx", "")}

    assert len(keys) == 4


def test_the_last_annotation_of_a_person_counts(tmp_path: Path) -> None:
    """Who thinks again adds a line; other people's annotations of the answer stay."""
    path = tmp_path / "verdicts.jsonl"
    for mark, by in ((Mark.PASS, "ann"), (Mark.PART, "bob"), (Mark.FAIL, "ann")):
        add_annotation(path, annotation(mark=mark, by=by))

    found = read_annotations(path)

    assert [(v.by, v.mark) for v in found.annotations] == [("bob", "part"), ("ann", "fail")]
    assert len(path.read_text().splitlines()) == 3


def test_a_line_cut_off_does_not_take_the_next_one_with_it(tmp_path: Path) -> None:
    """After a crash in the middle of a line the next annotation begins a line of its own."""
    path = tmp_path / "verdicts.jsonl"
    path.write_text('{"key": "1')

    add_annotation(path, annotation())

    found = read_annotations(path)
    assert found.annotations == (annotation(),)
    assert found.faults == (
        f"{path}:1: this line is not an annotation and is left out: not JSON (Unterminated string starting at).",
    )


GOOD = {
    **{name: getattr(annotation(), name) for name in Annotation.__dataclass_fields__ if name != "mark"},
    "verdict": "pass",
}


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        (b"[]", "not an object"),
        (b"pass", "not JSON (Expecting value)"),
        (b'{"answer": "\xff"}', "not UTF-8"),
        (json.dumps({k: v for k, v in GOOD.items() if k != "by"}).encode(), 'it has no "by"'),
        (json.dumps({**GOOD, "case": 7}).encode(), 'its "case" is not a text'),
        (json.dumps({**GOOD, "verdict": "good"}).encode(), 'its "verdict" is "good"; it must be pass, part, fail'),
        (json.dumps({**GOOD, "verdict": ["pass"]}).encode(), 'its "verdict" is ["pass"]; it must be pass, part, fail'),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deep"),
        (json.dumps({**GOOD, "answer": "!"}).encode(), 'its "answer" was changed: it does not match "answer_sha256"'),
    ],
)
def test_a_line_that_is_no_annotation_is_named_and_left_out(tmp_path: Path, line: bytes, cause: str) -> None:
    """File, line and cause; the lines around it count."""
    path = tmp_path / "verdicts.jsonl"
    path.write_bytes(json.dumps(GOOD).encode() + b"\n\n" + line + b"\n")

    found = read_annotations(path)

    assert found.annotations == (annotation(),)
    assert found.faults == (f"{path}:3: this line is not an annotation and is left out: {cause}.",)


def test_what_others_leave_out_is_not_needed(tmp_path: Path) -> None:
    """Note and manner of drawing may be missing; further fields are left alone."""
    path = tmp_path / "verdicts.jsonl"
    path.write_text(json.dumps({**{k: v for k, v in GOOD.items() if k not in ("note", "drawn")}, "points": []}))

    (found,) = read_annotations(path).annotations

    assert (found.note, found.drawn) == ("", None)


def test_a_missing_file_is_empty_and_an_unwritable_one_a_fault(tmp_path: Path) -> None:
    """The first review makes the file; a folder in its place is refused."""
    assert read_annotations(tmp_path / "none.jsonl").annotations == ()
    with pytest.raises(UsageFault, match="cannot be written"):
        add_annotation(tmp_path, annotation())
    with pytest.raises(UsageFault, match="cannot be read"):
        read_annotations(tmp_path)


def test_an_annotation_may_be_of_one_check_or_point(tmp_path: Path) -> None:
    """Its line names them; those of the same person on other checks of the answer stay beside it."""
    path = tmp_path / "verdicts.jsonl"
    whole, check = annotation("a"), replace(annotation("a"), check="tone")
    point = replace(annotation("a"), check="key_points", point="money sense")
    for made in (whole, check, point, replace(check, mark=Mark.FAIL)):
        add_annotation(path, made)

    found = read_annotations(path).annotations

    assert found == (whole, point, replace(check, mark=Mark.FAIL))
    assert '"check": "key_points", "point": "money sense"' in path.read_text().splitlines()[2]


def test_the_name_of_a_check_is_a_text(tmp_path: Path) -> None:
    """Any other value is a fault of the line."""
    path = tmp_path / "verdicts.jsonl"
    add_annotation(path, replace(annotation("a"), check="tone"))
    path.write_text(path.read_text().replace('"tone"', "3"))

    assert read_annotations(path).faults == (
        f'{path}:1: this line is not an annotation and is left out: its "check" is not a text.',
    )
