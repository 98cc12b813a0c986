"""All stages through TRL's own trainers, in this process, on a random Llama of two layers."""

import io
import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import tiny_llama as tiny
from pytest_llmbench.errors import UsageFault
from pytest_llmbench.models.base import OpenSettings
from pytest_llmbench.models.catalog import Catalog
from pytest_llmbench.tuning.plan import Machine
from pytest_llmbench.tuning.prepare import Prepared, Setting, prepare
from pytest_llmbench.tuning.stage.checks import CheckFault
from pytest_llmbench.tuning.stage.job import StageJob
from pytest_llmbench.tuning.stage.watch import Reports, StageFault
from pytest_llmbench.tuning.tune import Tuning, job_of

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # advice of libraries, to a log where they run

LORA = "[lora]\nr = 4\nalpha = 8\n"
STEPS = "steps = 3\ntrl = {warmup_steps = 0}\n"
STAGES = (
    '[[stage]]\nkind = "sft"\n' + STEPS,
    '[[stage]]\nkind = "dpo"\n' + STEPS,
    '[[stage]]\nkind = "kto"\n' + STEPS,
    '[[stage]]\nkind = "reward"\n' + STEPS,
    '[[stage]]\nkind = "grpo"\nmin_mixed = 0\ngenerations = 2\nbatch = 4\nrewards = {score = 1.0, format = 0.2, model = 0.5}\n'
    + STEPS,
    '[[stage]]\nkind = "rloo"\nmin_mixed = 0\ngenerations = 2\nbatch = 4\n' + STEPS,
)


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    """Nothing is sent and no bars are drawn, as where a stage runs by itself."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HF_HUB_DISABLE_TELEMETRY", "HF_HUB_OFFLINE", "HF_DATASETS_DISABLE_PROGRESS_BARS"):
            patch.setenv(name, "1")
        yield


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a project with a suite and a random Llama."""
    root = tiny.make_project(tmp_path_factory.mktemp("project"))
    tiny.make_llama(root / "endless", tiny.NO_END)
    return root


def read(project: Path, text: str, base: str = "base", *, suite: str = "color.yaml", shadow: str = "") -> Prepared:
    head = f'model = "./{base}"\noutput = "out"\n{shadow}[data]\nsuites = ["{suite}"]\n'
    path = project / "recipe.toml"
    path.write_text(head + text, encoding="utf-8")
    setting = Setting(
        root=project,
        catalog=Catalog(project / "models.toml", {}),
        open_settings=OpenSettings(cache_dir=project / "cache"),
        machine=Machine(gpus=(), memory_gb=None),
    )
    return prepare(path, setting, is_plan=False)


def jobs(project: Path, prepared: Prepared, output: Path) -> Iterator[tuple[Path, StageJob]]:
    """Write the stages of a recipe, each continuing the one before; gives their folders and jobs."""
    assert prepared.base is not None
    tuning = Tuning(
        recipe=prepared.recipe,
        text=prepared.text,
        base=prepared.base,
        plans=prepared.plans,
        rows=prepared.rows,
        splits=prepared.sources.splits,
        output=output,
        root=project,
        cache_dir=project / "cache",
    )
    adapter, reward = None, None
    for plan, rows in zip(prepared.plans, prepared.rows, strict=True):
        folder = output / plan.name
        folder.mkdir(parents=True)
        job = job_of(tuning, plan, rows, adapter, reward)
        (folder / "data.jsonl").write_text(rows.text, encoding="utf-8")
        (folder / "stage.json").write_text(job.text(), encoding="utf-8")
        yield folder, job
        adapter, reward = (adapter, folder) if plan.stage.kind == "reward" else (folder, reward)


def train(folder: Path) -> tuple[Any, list[dict[str, Any]]]:
    from pytest_llmbench.tuning.stage.training import train as train_stage

    stream = io.StringIO()
    trained = train_stage(folder, Reports(stream))
    return trained, [json.loads(line) for line in stream.getvalue().splitlines()]


def steps(events: list[dict[str, Any]]) -> list[float]:
    return [event["loss"] for event in events if event["event"] == "step"]


def weights_of(folder: Path) -> Mapping[str, Any]:
    from safetensors.torch import load_file

    found: Mapping[str, Any] = load_file(folder / "adapter_model.safetensors")
    return found


def test_six_stages_in_a_row(project: Path, tmp_path: Path) -> None:
    """Each trains three steps; those that answer continue one adapter, and the model of rewards scores for grpo."""
    prepared = read(project, LORA + "".join(STAGES))
    folders: dict[str, Path] = {}

    for folder, job in jobs(project, prepared, tmp_path):
        trained, events = train(folder)
        assert (trained.steps, trained.was_stopped) == (3, False)
        assert [event["step"] for event in events if event["event"] == "step"] == [1, 2, 3]
        assert job.adapter is None or Path(job.adapter).name in folders
        folders[folder.name] = folder

    assert list(folders) == ["01-sft", "02-dpo", "03-kto", "04-reward", "05-grpo", "06-rloo"]
    assert all((folder / "tokenizer_config.json").is_file() for folder in folders.values())
    assert not any(
        (folder / "generation_config.json").is_file() or (folder / "ref").exists() for folder in folders.values()
    )
    first, second = weights_of(folders["01-sft"]), weights_of(folders["02-dpo"])
    assert first.keys() == second.keys()
    assert any(not first[name].equal(second[name]) for name in first)
    config = json.loads((folders["04-reward"] / "adapter_config.json").read_bytes())
    assert config["task_type"] == "SEQ_CLS"


def test_what_is_trained_is_answered(project: Path, tmp_path: Path) -> None:
    """The provider opens the adapter as a run does, and it says what it was taught, up to the end token."""
    from pytest_llmbench.values import Request, Sampling

    prepared = read(
        project, LORA + '[[stage]]\nkind = "sft"\nsteps = 60\nlearning_rate = 2e-2\ntrl = {warmup_steps = 0}\n'
    )
    ((folder, _),) = jobs(project, prepared, tmp_path)
    train(folder)
    assert prepared.base is not None
    entry = prepared.base.entry.model_copy(update={"adapter": str(folder)})
    row = prepared.rows[0].rows[0]
    loaded = prepared.sources.suites[0]
    prompt = loaded.prompts[prepared.base.style][row["case_id"]]
    request = Request(suite="color", case=row["case_id"], sample=0, prompt=prompt, sampling=Sampling(max_tokens=8))

    with prepared.base.spec.provider.open(entry, OpenSettings(cache_dir=project / "cache")) as model:
        (answer,) = model.answer([request])

    assert (answer.text.strip(), answer.finish_reason) == (row["completion"][0]["content"], "stop")
    assert model.identity.template_sha256 == prepared.base.template_sha256


def test_a_stage_goes_on_as_if_it_had_not_ended(project: Path, tmp_path: Path) -> None:
    """Stopped after two of four steps, the losses of the other two and the adapter are those of one go."""
    text = LORA + '[[stage]]\nkind = "sft"\nsteps = 4\nlearning_rate = 1e-2\n'
    ((whole, _),) = jobs(project, read(project, text), tmp_path / "whole")
    ((parted, _),) = jobs(project, read(project, text), tmp_path / "parted")
    _, events = train(whole)
    stop_after(parted, 2)

    trained, rest = train(parted)

    assert rest[0] == {"event": "resumed", "checkpoint": "checkpoint-2"}
    assert steps(rest) == pytest.approx(steps(events)[2:], abs=1e-4)
    assert trained.steps == 4
    mine, its = weights_of(whole), weights_of(parted)
    assert all(mine[name].allclose(its[name], atol=1e-5) for name in mine)


def stop_after(folder: Path, step: int) -> None:
    """Train a stage until a step, and ask it to stop there."""
    from pytest_llmbench.tuning.stage.training import train as train_stage

    class Stopping(io.StringIO):
        def write(self, text: str) -> int:
            if json.loads(text).get("step") == step - 1:
                (folder / "stop").touch()
            return len(text)

    assert train_stage(folder, Reports(Stopping())).was_stopped
    assert (folder / f"checkpoint-{step}").is_dir()


Change = Callable[[StageJob], StageJob]


def with_arguments(**arguments: Any) -> Change:
    return lambda job: job.model_copy(update={"arguments": {**job.arguments, **arguments}})


@pytest.mark.parametrize(
    ("base", "change", "fault", "message"),
    [
        ("base", with_arguments(max_length=20), CheckFault, "the trainer drops "),
        ("base", with_arguments(max_length=24), CheckFault, "no end token stands behind the answer of case"),
        ("endless", with_arguments(), CheckFault, "no end token stands behind the answer of case"),
        ("base", with_arguments(learning_rate=1e30, max_grad_norm=0.0), StageFault, "is not a finite number at step"),
        (
            "base",
            lambda job: job.model_copy(
                update={"lora": job.lora and job.lora.model_copy(update={"targets": ("qproj",)})}
            ),
            CheckFault,
            'lora.targets: the model has no layer "qproj"; its projections are: q_proj, ',
        ),
    ],
    ids=["rows dropped", "answers cut", "no end token", "no number", "no such layer"],
)
def test_a_stage_that_must_not_go_on(
    base: str, change: Change, fault: type[Exception], message: str, project: Path, tmp_path: Path
) -> None:
    """Each ends before it does harm, with a sentence."""
    prepared = read(project, LORA + '[[stage]]\nkind = "sft"\n' + STEPS, base)
    ((folder, job),) = jobs(project, prepared, tmp_path)
    (folder / "stage.json").write_text(change(job).text(), encoding="utf-8")

    with pytest.raises(fault, match=r".*") as found:
        train(folder)

    assert message in str(found.value)


def test_another_template_than_the_runs(project: Path, tmp_path: Path) -> None:
    """One that TRL is told to take is found before the first step, with the place where it differs."""
    other = tmp_path / "other"
    tokenizer = tiny.make_tokenizer(tiny.TEMPLATE.replace("assistant\n", "assistant:\n"))
    tokenizer.save_pretrained(other)
    prepared = read(project, LORA + '[[stage]]\nkind = "sft"\n' + STEPS)
    ((folder, job),) = jobs(project, prepared, tmp_path / "out")
    changed = with_arguments(chat_template_path=str(other))(job)
    (folder / "stage.json").write_text(changed.text(), encoding="utf-8")

    with pytest.raises(CheckFault, match=r"the prompt of case .* is not the one that a run sends: from token"):
        train(folder)


@pytest.mark.parametrize(
    ("rows", "min_mixed", "message"),
    [
        ("broken", 0.0, "graders broke 20 times in a row"),
        ("held out", 0.0, "was in a training batch, and then it can decide nothing"),
        ("alike", 0.5, "of 13 sampled cases have answers that are graded differently"),
    ],
)
def test_rewards_that_must_not_teach(
    rows: str, min_mixed: float, message: str, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A grader that only breaks, a held-out case in a batch, and answers that are all graded alike end a stage."""
    monkeypatch.syspath_prepend(project)  # a stage runs in the project's root directory
    suite = project / "broken.yaml"
    suite.write_text(
        (project / "color.yaml").read_text().replace("grader: yes_no", "grader: 'broken_grader:grade'"),
        encoding="utf-8",
    )
    (project / "broken_grader.py").write_text("def grade(case, answer):\n    raise OSError('database is gone')\n")
    text = '[[stage]]\nkind = "grpo"\nsteps = 12\ngenerations = 2\nbatch = 4\n'
    prepared = read(project, LORA + text)
    ((folder, job),) = jobs(project, prepared, tmp_path)
    data = prepared.rows[0]
    if rows == "held out":
        held_out = next(case.id for case in prepared.sources.suites[0].suite.cases if case.side == "held-out")
        data = replace(data, rows=tuple({**row, "case_id": held_out} for row in data.rows))
        (folder / "data.jsonl").write_text(data.text, encoding="utf-8")
        with pytest.raises(UsageFault, match="was changed since it was made, and may hold cases that are held out"):
            train(folder)
    changed = {"suites": (str(suite),)} if rows == "broken" else {}
    job = job.model_copy(update={"min_mixed": min_mixed, "data_sha256": data.sha256, **changed})
    (folder / "stage.json").write_text(job.text(), encoding="utf-8")

    with pytest.raises(StageFault, match=message):
        train(folder)


@pytest.mark.parametrize("kind", ["sft", "dpo"])
def test_a_step_as_on_a_gpu(kind: str, project: Path, tmp_path: Path) -> None:
    """Checkpointing and bfloat16, which are off on a CPU, train an adapter when the recipe turns them on."""
    text = f'[[stage]]\nkind = "{kind}"\nsteps = 1\ntrl = {{gradient_checkpointing = true, bf16 = true}}\n'
    ((folder, _),) = jobs(project, read(project, LORA + text), tmp_path)

    trained, events = train(folder)

    assert trained.steps == 1
    assert len(steps(events)) == 1


def test_two_processes_train_as_one(project: Path, tmp_path: Path) -> None:
    """Four rows on each of two give the losses and gradients of eight on one."""
    text = (
        LORA + '[[stage]]\nkind = "sft"\nsteps = 2\nbatch = 8\ntrl = {warmup_steps = 0, dataloader_drop_last = true}\n'
    )
    ((one, _),) = jobs(project, read(project, text), tmp_path / "one")
    ((two, job),) = jobs(project, read(project, text), tmp_path / "two")
    (two / "stage.json").write_text(with_arguments(per_device_train_batch_size=4)(job).text(), encoding="utf-8")
    train(one)
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", str(free_port())]

    found = subprocess.run(
        [*launch, "-m", "pytest_llmbench.tuning.stage", str(two / "stage.json")],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert found.returncode == 0, found.stderr
    events = [json.loads(line) for line in found.stdout.splitlines()]
    assert [event["event"] for event in events] == ["begin", "step", "step", "end"]
    mine, its = history(one), history(two)
    assert [line["loss"] for line in mine] == pytest.approx([line["loss"] for line in its], abs=1e-4)
    assert [line["grad_norm"] for line in mine] == pytest.approx([line["grad_norm"] for line in its], abs=1e-4)


def history(folder: Path) -> list[dict[str, float]]:
    state = json.loads((folder / "checkpoint-2" / "trainer_state.json").read_bytes())
    return [line for line in state["log_history"] if "grad_norm" in line]


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


def test_a_shadow_shows_what_a_lenient_grader_hides(project: Path, tmp_path: Path) -> None:
    """Rewarded for holding the right word, the model says both; the same cases, graded strictly, show it.

    All weights are trained here: first on the right label, the wrong one and both, then by the lenient reward.
    """
    lenient = (project / "color.yaml").read_text().replace("suite: color", "suite: lenient")
    (project / "lenient.yaml").write_text(lenient.replace("grader: yes_no", "grader: contains"), encoding="utf-8")
    begun = read(project, '[[stage]]\nkind = "sft"\nsteps = 200\nbatch = 12\nlearning_rate = 2e-2\n')
    answers = [[{"role": "assistant", "content": text}] for text in ("yes", "no", "yes no")]
    rows = tuple({**row, "completion": answer} for row in begun.rows[0].rows for answer in answers)
    begun = replace(begun, rows=(replace(begun.rows[0], rows=rows),))
    ((first, _),) = jobs(project, begun, tmp_path / "first")
    train(first)
    text = '[[stage]]\nkind = "grpo"\nsteps = 100\nbatch = 16\nmin_mixed = 0\nlearning_rate = 1e-3\nmax_tokens = 8\n'
    hacked = read(project, text, suite="lenient.yaml", shadow='shadow = ["color.yaml"]\n')
    ((second, job),) = jobs(project, hacked, tmp_path / "second")
    (second / "stage.json").write_text(job.model_copy(update={"base": str(first)}).text(), encoding="utf-8")

    train(second)

    state = json.loads((second / "checkpoint-100" / "trainer_state.json").read_bytes())
    log = [line for line in state["log_history"] if "reward" in line]
    reward, shadow = ([line[f"rewards/llmbench_{name}/mean"] for line in log] for name in ("score", "shadow_color"))
    assert sum(reward[:10]) / 10 < 0.85
    assert sum(reward[-10:]) / 10 > 0.95
    assert sum(shadow[-10:]) / 10 < 0.2 < sum(shadow[:10]) / 10
