"""The comment that the action keeps on a pull request."""

from typing import Any

import pytest

from action_job import BOT, MARKER, Job


def test_the_first_comment_is_posted(job: Job) -> None:
    """Marker, verdict, model, commit, age of the baseline, then the summary."""
    job.run("comment")

    *_, post = job.calls("gh")
    assert post[:5] == ["api", "--silent", "--method", "POST", "repos/us/it/issues/5/comments"]
    assert (job.stubs / "body.md").read_text() == (
        f"{MARKER}\n<!-- 7.1 judge.0 -->\n"
        "**no worse**: model `candidate`, commit 0123456, baseline 3 days old, "
        "[run and report](https://example.org/run)\n\n<!-- llmbench -->\n## the summary\n"
    )


def remark(number: int, body: str = "hello", author: str = BOT) -> dict[str, Any]:
    return {"id": number, "user": {"login": author}, "body": body}


@pytest.mark.parametrize(
    ("pages", "number"),
    [
        ([[remark(1), remark(2, f"{MARKER}\n<!-- 6.1 judge.0 -->\nold")]], 2),
        ([[remark(n) for n in range(100)], [remark(101, f"{MARKER}\nold")]], 101),
        ([[remark(1, f"{MARKER}\nforged", author="mallory"), remark(2, f"{MARKER}\nours")]], 2),
        ([[remark(1, f"look: {MARKER}"), remark(2, "<!-- llmbench:gate:other -->\na")]], None),
        ([[remark(1, f"{MARKER}\nforged", author="mallory")]], None),
    ],
    ids=["second", "101st", "forged beside ours", "mentioned or another job's", "forged alone"],
)
def test_the_own_comment_is_kept_up_to_date(job: Job, pages: list[list[dict[str, Any]]], number: int | None) -> None:
    """The one of the bot that begins with the marker, on whichever page; else a new one is written."""
    for place, page in enumerate(pages):
        job.write(f"comments-{place + 1}.json", page)

    job.run("comment")

    *_, call = job.calls("gh")
    if number is None:
        assert call[3] == "POST"
    else:
        assert call[3:5] == ["PATCH", f"repos/us/it/issues/comments/{number}"]


def test_two_jobs_of_a_run_do_not_overwrite_each_other(job: Job) -> None:
    """The second leaves the comment of the first, and says how to part them."""
    job.write("comments-1.json", [remark(2, f"{MARKER}\n<!-- 7.1 judge.1 -->\nof the other job")])

    finished = job.run("comment")

    assert "Another job of this run has written the comment" in finished.log
    assert len(job.calls("gh")) == 1


@pytest.mark.parametrize("refuse", ["comments?", "--silent"])
def test_a_token_that_may_not_comment_fails_nothing(job: Job, refuse: str) -> None:
    """A warning names the permission."""
    job.write("refuse", refuse)

    finished = job.run("comment")

    assert finished.status == 0
    assert "the job needs the permission pull-requests: write" in finished.log


@pytest.mark.parametrize(
    "variables", [{"HEAD_REPOSITORY": "them/it"}, {"PULL_REQUEST": ""}, {"LLMBENCH_COMMENT": "never"}]
)
def test_where_no_comment_belongs(job: Job, variables: dict[str, str]) -> None:
    """A fork's token may only read, a nightly run has no pull request, and `never` is never."""
    finished = job.run("comment", **variables)

    assert finished.status == 0
    assert job.calls("gh") == []


def test_nothing_in_a_name_ends_the_marker(job: Job) -> None:
    """The name of a workflow stays within its comment, and that of a model within its quotes."""
    job.run("comment", GITHUB_WORKFLOW="a --> b", LLMBENCH_MODEL="a`b")

    first, _, third, *_ = (job.stubs / "body.md").read_text().splitlines()
    assert first == "<!-- llmbench:a -- b:. -->"
    assert "`ab`" in third


def test_a_comment_that_is_too_long_is_cut_behind_a_whole_line(job: Job) -> None:
    """GitHub takes 65,536 characters; what is left names the place of the rest."""
    lines = [f"- ünchanged case {number}: " + "x" * 60 for number in range(1500)]
    (job.folder / "summary.md").write_text("## the summary\n" + "\n".join(lines) + "\n")

    job.run("comment")

    body = (job.stubs / "body.md").read_text()
    *kept, blank, end = body.removesuffix("\n").split("\n")
    assert 60_000 < len(body.encode()) < 65_536
    assert body.startswith(f"{MARKER}\n")
    assert (kept[-2] in lines, kept[-1], blank) == (True, "", "")
    assert end == (
        "The rest is too long for a comment: see the [run and report](https://example.org/run), or the summary of the job."
    )


def test_one_line_that_is_too_long_is_left_out(job: Job) -> None:
    """Marker and verdict stay, by which the comment is found and read."""
    (job.folder / "summary.md").write_text("x" * 200_000)

    job.run("comment", LLMBENCH_MODEL="m" * 70_000, REPORT_URL="")

    body = (job.stubs / "body.md").read_text()
    assert body.startswith(f"{MARKER}\n<!-- 7.1 judge.0 -->\n**no worse**: model `{'m' * 200}`, commit 0123456")
    assert body.endswith("\nThe rest is too long for a comment: see the summary of the job.\n")
    assert len(body) < 1000


@pytest.mark.parametrize(
    ("variables", "start"),
    [
        (
            {"BASELINE_MODEL": "incumbent"},
            "**no worse**: model `candidate` against `incumbent`, commit 0123456, baseline 3",
        ),
        ({"STATUS": "2", "VERDICT": "inconclusive"}, "**inconclusive**, exit status 2: model `candidate`, commit"),
        ({"STATUS": "8", "VERDICT": "too few cases"}, "**too few cases**: model"),
        ({"LLMBENCH_MODEL": "a`b\nc\\n"}, "**no worse**: model `abc\\n`, commit"),
    ],
)
def test_the_first_line_has_what_decides(job: Job, variables: dict[str, str], start: str) -> None:
    """The verdict, how a run ended that could not be judged, both models."""
    job.run("comment", **variables)

    assert (job.stubs / "body.md").read_text().splitlines()[2].startswith(start)


def test_a_run_without_a_summary_says_where_the_reason_is(job: Job) -> None:
    """A usage error, say, in place of the verdict of an earlier push."""
    job.run("comment", SUMMARY="", VERDICT="none", STATUS="4")

    text = (job.stubs / "body.md").read_text()
    assert "**none**, exit status 4: model" in text
    assert "There is no summary; the log of the job has the reason." in text


@pytest.mark.parametrize("workflow", ["gate", "a\\nb", "it's; $(x)"])
def test_a_comment_is_found_again(job: Job, workflow: str) -> None:
    """Whatever the workflow is called, and with the ends of lines that a person's edit leaves."""
    job.run("comment", GITHUB_WORKFLOW=workflow)
    body = (job.stubs / "body.md").read_text()
    job.write("comments-1.json", [remark(9, body.replace("\n", "\r\n"))])

    job.run("comment", GITHUB_WORKFLOW=workflow, GITHUB_RUN_ID="8")

    assert job.calls("gh")[-1][3:5] == ["PATCH", "repos/us/it/issues/comments/9"]


def test_a_missing_token_fails_nothing(job: Job) -> None:
    """A warning names it."""
    job.write("refuse", "comments?")

    finished = job.run("comment", GH_TOKEN="")

    assert finished.status == 0
    assert "and GH_TOKEN, which is empty. The job summary has the verdict." in finished.log
