"""Have promptfoo itself grade the recorded answers: `make peers` writes `tests/peers/promptfoo/*/verdicts.json`.

Each configuration is run by promptfoo with a provider that gives the answers of `answers.jsonl` and of the
configuration's own, one after another.  What promptfoo sent and what it decided is stored with its version;
`tests/importers/test_peer_verdicts.py` compares it offline.

    python tests/peers/promptfoo_verdicts.py FOLDER_WITH_NODE_MODULES [NAME ...]
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent / "promptfoo"

PROVIDER = """
module.exports = class {
  constructor(options) { this.config = options.config; }
  id() { return 'answer ' + this.config.number; }
  async callApi(prompt) { return { output: this.config.answer, finishReason: 'stop', cost: 0.001 }; }
};
"""

REWRITE = """
const fs = require('fs'), yaml = require(process.argv[2] + '/node_modules/js-yaml');
const [source, target, answers] = process.argv.slice(3);
const schema = yaml.CORE_SCHEMA.withTags(yaml.mergeTag, yaml.timestampTag);
const config = yaml.load(fs.readFileSync(source, 'utf8'), { schema });
delete config.targets; delete config.env;
config.providers = JSON.parse(answers).map((answer, n) => (
  { id: 'file://recorded.js', config: { answer, number: n } }));
fs.writeFileSync(target, JSON.stringify(config));
"""


def answers_of(folder: Path) -> list[str]:
    """Give the answers that a configuration is tried on: all, and its own; its own alone where each takes a process."""
    alone = folder / "only_answers.jsonl"
    if alone.exists():
        return [json.loads(line)["answer"] for line in alone.read_text(encoding="utf-8").splitlines()]
    lines = [*(folder.parent / "answers.jsonl").read_text(encoding="utf-8").splitlines()]
    own = folder / "answers.jsonl"
    lines += own.read_text(encoding="utf-8").splitlines() if own.exists() else []
    return [json.loads(line)["answer"] for line in lines]


def verdicts(folder: Path, modules: Path, scratch: Path) -> dict[str, object]:
    """Run promptfoo on one configuration."""
    work = scratch / folder.name
    shutil.copytree(folder, work)
    (work / "recorded.js").write_text(PROVIDER, encoding="utf-8")
    config = next(path for path in work.iterdir() if path.name.startswith("promptfooconfig."))
    (scratch / "rewrite.js").write_text(REWRITE, encoding="utf-8")
    answers = answers_of(folder)
    made = work / "peer.json"
    command = ["node", str(scratch / "rewrite.js"), str(modules), str(config), str(made), json.dumps(answers)]
    subprocess.run(command, check=True)
    out = work / "results.json"
    words = ["node_modules/.bin/promptfoo", "eval", "-c", "peer.json", "-o", "results.json", "--no-cache", "--no-table"]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(scratch),
        "PROMPTFOO_DISABLE_TELEMETRY": "1",
        "PROMPTFOO_DISABLE_UPDATE": "1",
        "PROMPTFOO_CONFIG_DIR": str(scratch / "config"),
    }
    done = subprocess.run(
        [str(modules / words[0]), *words[1:], "--no-write", "--no-progress-bar"],
        cwd=work,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if not out.exists():
        raise SystemExit(f"{folder.name}: promptfoo wrote no results\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    version = json.loads((modules / "node_modules/promptfoo/package.json").read_text(encoding="utf-8"))["version"]
    found = json.loads(out.read_text(encoding="utf-8"))["results"]["results"]
    return {"promptfoo": version, "command": " ".join(words), "tests": _by_test(found, len(answers))}


def _by_test(found: list[dict], n_answers: int) -> list[dict[str, object]]:
    """Give one entry for each prompt and test: what was sent, and a letter for each answer: p, f, or e for an error."""
    tests: dict[int, dict] = {}
    for result in found:
        sent = tests.setdefault(result["testIdx"], {})
        entry = sent.setdefault(result["prompt"]["raw"], {"letters": {}, "scores": {}})
        number = int(result["provider"]["id"].split()[1])
        entry["letters"][number] = "p" if result["success"] else "e" if result.get("failureReason") == 2 else "f"
        entry["scores"][number] = result["score"]
    listed = []
    for test, prompts in sorted(tests.items()):
        for sent, entry in prompts.items():
            letters = "".join(entry["letters"][number] for number in range(n_answers))
            scores = [round(entry["scores"][number], 6) for number in range(n_answers)]
            same = [float(letter == "p") for letter in letters]
            own = {} if scores == same else {"scores": scores}
            listed.append({"test": test, "sent": sent, "verdicts": letters, **own})
    return listed


def main(arguments: list[str]) -> None:
    """Write the verdicts of the configurations named, or of all that are mapped."""
    modules, *names = arguments
    with tempfile.TemporaryDirectory() as scratch:
        for folder in sorted(HERE.iterdir()):
            if folder.is_dir() and not (folder / "refused.txt").exists() and (not names or folder.name in names):
                found = verdicts(folder, Path(modules).resolve(), Path(scratch))
                text = json.dumps(found, ensure_ascii=True, indent=1)
                (folder / "verdicts.json").write_text(text + "\n", encoding="utf-8")
                print(f"{folder.name}: {len(found['tests'])} tests")


if __name__ == "__main__":
    main(sys.argv[1:])
