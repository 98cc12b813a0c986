"""action.yml: what it hands to the script, and that it names other actions by commit."""

import re

import yaml

from action_job import ACTION, SCRIPT


def test_the_script_reads_no_expression() -> None:
    """What a pull request names reaches the script in variables alone: an expression in a script is code."""
    for step in ACTION["runs"]["steps"]:
        assert "${{" not in step.get("run", "")


def test_each_action_is_named_by_its_commit() -> None:
    """A tag can be moved, a commit cannot."""
    used = [step["uses"] for step in ACTION["runs"]["steps"] if "uses" in step]

    assert len(used) == 5
    assert all(len(name.partition("@")[2]) == 40 for name in used)


def test_each_variable_of_the_script_is_set_by_the_action() -> None:
    """The script needs no variable that the action forgets to hand on."""
    names = set(re.findall(r"LLMBENCH_[A-Z_]+", SCRIPT.read_text()))
    given = {name for step in ACTION["runs"]["steps"] for name in step.get("env", {})}

    assert names
    assert names <= given


def test_the_page_has_each_input_and_output() -> None:
    """With its default; nothing that is gone stays there."""
    page = (SCRIPT.parent / "docs" / "action.md").read_text()
    inputs = page[page.index("## Inputs") : page.index("## Outputs")]
    outputs = page[page.index("## Outputs") : page.index("## Baselines")]
    defaults = dict(re.findall(r"^\| `([a-z-]+)` \| (?:`(.*?)`|newest)? ?\|", inputs, re.MULTILINE))

    assert defaults == {name: str(made.get("default", "")) for name, made in ACTION["inputs"].items()}
    assert re.findall(r"^\| `([a-z-]+)` \|", outputs, re.MULTILINE) == list(ACTION["outputs"])


def test_answers_are_kept_whatever_the_gate_says() -> None:
    """The step that saves them runs after a red gate too, under the key that the first step restores by."""
    restore, save = (step for step in ACTION["runs"]["steps"] if step.get("uses", "").startswith("actions/cache/"))

    assert save["if"] == f"always() && {restore['if']}"
    assert (save["with"]["path"], save["with"]["key"]) == (restore["with"]["path"], restore["with"]["key"])
    assert restore["with"]["key"].startswith(restore["with"]["restore-keys"])


def test_the_page_has_the_hook_that_the_repository_offers() -> None:
    """Written out for those who name no repository."""
    page = (SCRIPT.parent / "docs" / "action.md").read_text()
    blocks = re.findall(r"^```yaml\n(.*?)^```$", page[page.index("## Before a commit") :], re.DOTALL | re.MULTILINE)
    (local,), (named,) = (yaml.safe_load(block)["repos"] for block in blocks)
    (offered,) = yaml.safe_load((SCRIPT.parent / ".pre-commit-hooks.yaml").read_text())

    (hook,) = local["hooks"]
    assert {name: offered[name] for name in hook if name != "additional_dependencies"} == {
        name: hook[name] for name in hook if name != "additional_dependencies"
    }
    assert named["hooks"] == [{"id": offered["id"]}]
