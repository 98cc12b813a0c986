"""Freeze a task: build it with lm-evaluation-harness, and write down what it would ask a model.

Run as a script by the interpreter that has `lm_eval`; it needs nothing else of this package, and no model.  Lines of
JSON on the standard output tell the parent what was found; nothing is built before a line comes back.
For a task that is not trusted, templates are rendered in jinja2's sandbox, and functions are not imported.

    python child.py '{"task": "gsm8k", "is_file": false, "is_trusted": true, "out": "rows.jsonl"}'
"""

import difflib
import json
import logging
import os
import sys
from typing import Any

SEED = 1234
"""What the harness draws the shots with, unless it is asked otherwise."""


class Refused(Exception):
    """The task cannot be frozen; its text is a sentence."""


def main() -> None:
    """Freeze the task that the first argument describes."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # the harness prints

    def tell(**found: Any) -> None:
        channel.write(json.dumps(found) + "\n")
        channel.flush()

    asked = json.loads(sys.argv[1])
    try:
        entry = locate(asked)
        tell(**entry)
        if not sys.stdin.readline():
            return
        tell(**freeze(asked))
    except Refused as fault:
        tell(refused=str(fault))
    except (Exception, SystemExit) as fault:
        lines = str(fault).strip().splitlines()
        tell(refused=f"{type(fault).__name__}: {lines[0] if lines else ''}")


def locate(asked: dict[str, Any]) -> dict[str, Any]:
    """Find the file of a task."""
    try:
        from lm_eval.tasks import TaskManager
    except ImportError as fault:
        missing = fault.name or "lm_eval"
        raise Refused(
            f"there is no `{missing}` in {sys.executable}: pip install lm_eval, or name with --python the "
            "interpreter that has it"
        ) from None
    from importlib.metadata import version

    logging.disable(logging.WARNING)
    found: dict[str, Any] = {"lm_eval": version("lm_eval"), "seed": SEED}
    if asked["is_file"]:
        return {**found, "path": asked["task"]}
    index = TaskManager().task_index
    entry = index.get(asked["task"])
    if entry is None:
        near = difflib.get_close_matches(asked["task"], list(index), n=3)
        raise Refused(
            f'lm_eval {found["lm_eval"]} has no task "{asked["task"]}"'
            + (f"; did you mean {', '.join(near)}?" if near else "; lm_eval ls tasks lists them")
        )
    if entry.yaml_path is None or entry.kind.name not in ("TASK", "PY_TASK"):
        members = sorted(entry.tags) or [
            one if isinstance(one, str) else one.get("task", "") for one in (entry.cfg or {}).get("task", [])
        ]
        raise Refused(
            f'"{asked["task"]}" is a group of tasks; name one: {", ".join(map(str, members[:8]))}'
            + (", ..." if len(members) > 8 else "")
        )
    return {**found, "path": str(entry.yaml_path)}


def freeze(asked: dict[str, Any]) -> dict[str, Any]:
    """Build the task, and write its requests, a document a line."""
    from lm_eval import evaluator, utils
    from lm_eval.tasks import TaskManager, _yaml_loader
    from lm_eval.utils import handle_non_serializable

    if not asked["is_trusted"]:
        from jinja2.sandbox import SandboxedEnvironment

        closed = SandboxedEnvironment(undefined=utils.env.undefined, keep_trailing_newline=True)
        closed.filters.update(utils.env.filters)
        utils.env = closed

        def import_nothing(*names: Any) -> Any:
            raise Refused(f"the function {names[0]} of a task that is not trusted")

        _yaml_loader._import_func_in_yml = import_nothing
    manager = TaskManager(include_defaults=not asked["is_file"])
    ((name, task),) = manager.load(asked["task"])["tasks"].items()
    config = json.loads(json.dumps(task.dump_config(), default=str))
    # without its metrics, which may have no value for answers that are none
    found = evaluator.simple_evaluate(
        model=_recorder(), tasks=[task], task_manager=manager, predict_only=True, bootstrap_iters=0
    )
    seen = set()
    with open(asked["out"], "w", encoding="utf-8") as out:
        for sample in found["samples"][name]:
            if sample["doc_id"] in seen:  # the same for each pipeline of filters
                continue
            seen.add(sample["doc_id"])
            arguments = {
                f"gen_args_{place}": {f"arg_{number}": one for number, one in enumerate(each)}
                for place, each in enumerate(sample["arguments"])
            }
            row = {key: sample[key] for key in ("doc_id", "doc_hash", "target")}
            out.write(json.dumps({**row, "arguments": arguments}, default=handle_non_serializable) + "\n")
    return {
        "name": name,
        "config": config,
        "version": str(found["versions"].get(name, "")),
        "shots": found["n-shot"].get(name),
    }


def _recorder() -> Any:
    """Make a model that answers nothing; the harness keeps what it was asked."""
    from lm_eval.api.model import LM

    class Recorder(LM):  # type: ignore[misc]
        """Gives an empty answer to everything."""

        def generate_until(self, requests: list[Any], disable_tqdm: bool = True) -> list[str]:
            """Write nothing."""
            del disable_tqdm
            return ["" for _ in requests]

        def loglikelihood(self, requests: list[Any], disable_tqdm: bool = True) -> list[tuple[float, bool]]:
            """Know nothing."""
            del disable_tqdm
            return [(0.0, False) for _ in requests]

        def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = True) -> list[float]:
            """Know nothing."""
            del disable_tqdm
            return [0.0 for _ in requests]

    return Recorder()


if __name__ == "__main__":
    main()
