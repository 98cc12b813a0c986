"""From pytest's options to the settings of a run. The command line comes before the ini file."""

import os
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import pytest

from pytest_llmbench.errors import LlmbenchError, UsageFault
from pytest_llmbench.grading.parallel import cores
from pytest_llmbench.models.base import OpenSettings
from pytest_llmbench.models.catalog import Catalog, ModelSpec
from pytest_llmbench.models.transformers.devices import visible_devices
from pytest_llmbench.plugin.command_line import OPTIONS
from pytest_llmbench.plugin.internals.xdist import is_controller, is_worker, run_token
from pytest_llmbench.report.line_order import Order
from pytest_llmbench.report.safe_text import visible
from pytest_llmbench.runner.ahead import default_graders
from pytest_llmbench.runner.runner import AnswersSettings, RunSettings
from pytest_llmbench.runner.shard import Shard, parse_shard
from pytest_llmbench.runner.store.reuse import Reuse
from pytest_llmbench.values import Side

Word = TypeVar("Word", bound=StrEnum)

_BY_NAME = {option.name: option for option in OPTIONS}


def model_specs(config: pytest.Config) -> tuple[ModelSpec, ...]:
    """Resolve the named models.

    Raises:
        UsageFault: an unknown model, a broken models file.
    """
    given = config.getoption("llm_model")
    folder = config.invocation_params.dir if given else _ini_folder(config)
    return catalog(config).choose(given or config.getini("llm_model"), folder)


def judge_spec(config: pytest.Config) -> ModelSpec | None:
    """Resolve the named judge; None if none is named. Its role cannot be that of a model.

    Raises:
        UsageFault: an unknown model, a broken models file.
    """
    given = config.getoption("llm_judge")
    name = given or config.getini("llm_judge")
    if not name:
        return None
    folder = config.invocation_params.dir if given else _ini_folder(config)
    (spec,) = catalog(config).choose([name], folder, "--llm-judge")
    return replace(spec, role=f"judge:{spec.role}")


def catalog(config: pytest.Config) -> Catalog:
    """Give the models that can be named."""
    extra = {
        name: provider
        for providers in config.hook.pytest_llmbench_providers(config=config)
        for name, provider in providers.items()
    }
    return Catalog(path_of(config, "llm_models_file") or config.rootpath / "fixtures" / "models.toml", extra)


def run_settings(config: pytest.Config) -> RunSettings:
    """Read the settings of the run from the options.

    Raises:
        UsageFault, pytest.UsageError: a value is wrong.
    """
    concurrency = _count(config, "llm_concurrency")
    timeout_s = _number(config, "llm_timeout")
    samples = _count(config, "llm_samples")
    limit = _count(config, "llm_limit")
    side = _side(config)
    max_cost_usd = _number(config, "llm_max_cost")
    if max_cost_usd is not None and is_controller(config):
        raise UsageFault("--llm-max-cost counts in one process; leave -n out, which models behind an API do not need.")
    shard = _shard(config)
    options = {
        "samples": samples or 1,
        "limit": limit,
        "concurrency": concurrency,
        "timeout_s": timeout_s,
        "no_fail": flag(config, "llm_no_fail"),
        **({} if side is None else {"split": str(side)}),
        **({} if shard is None else {"shard": shard.to_json()}),
    }
    return RunSettings(
        root=config.rootpath,
        paths=_searched_paths(config),
        samples=samples or 1,
        limit=limit,
        side=side,
        shard=shard,
        reasoning_tokens=_count(config, "llm_reasoning_tokens"),
        max_cost_usd=max_cost_usd,
        n_checked=_count(config, "llm_check_batching") or 0,
        n_judged_again=_judged_again(config),
        is_only_planned=flag(config, "llm_plan"),
        is_bounded=bool(config.getoption("maxfail")) or bool(config.getoption("stepwise", False)),
        open_settings=OpenSettings(concurrency=concurrency, timeout_s=timeout_s, root=config.rootpath),
        options=options,
        answers=_answers(config, shard),
    )


def _judged_again(config: pytest.Config) -> int:
    """Read how many answers are to be judged a second time.

    Raises:
        UsageFault: there is no judge, or several processes would each draw their own.
    """
    n = _count(config, "llm_check_judge") or 0
    if n and not (config.getoption("llm_judge") or config.getini("llm_judge")):
        raise UsageFault("--llm-check-judge needs a judge; name one with --llm-judge.")
    if n and is_controller(config):
        raise UsageFault("--llm-check-judge draws its answers in one process; leave -n out, or add -n 0.")
    return n


def _side(config: pytest.Config) -> Side | None:
    """Read the side of split suites that is run, None for both.

    Raises:
        UsageFault: there is no such side.
    """
    word = config.getoption("llm_split") or config.getini("llm_split") or "all"
    if word == "all":
        return None
    try:
        return Side(word)
    except ValueError:
        raise UsageFault(f'--llm-split needs train, held-out or all, not "{word}".') from None


def _shard(config: pytest.Config) -> Shard | None:
    text = config.getoption("llm_shard") or config.getini("llm_shard")
    return parse_shard(text) if text else None


def graders(config: pytest.Config, specs: Sequence[ModelSpec]) -> int:
    """Read how many answers are graded at once.

    Raises:
        UsageFault: more than there are cores: a query's time would be spent waiting for one.
    """
    n_cores, given = cores(), _count(config, "llm_graders")
    if given is None:
        has_gpu = bool(visible_devices(os.environ))
        traits = (spec.traits for spec in specs)
        return default_graders(traits, n_cores, has_gpu=has_gpu, is_worker=is_worker(config))
    if given > n_cores:
        raise UsageFault(
            f"--llm-graders {given} is more than the {n_cores} cores of this machine; name at most {n_cores}."
        )
    return given


def _searched_paths(config: pytest.Config) -> tuple[str, ...] | None:
    """Give the paths that are searched for tests, relative to the root directory; None where files are left out."""
    option = config.option
    if any(getattr(option, name, None) for name in ("lf", "ignore", "ignore_glob")):
        return None
    folder, root = config.invocation_params.dir, config.rootpath
    found = ((folder / argument.partition("::")[0]).resolve() for argument in config.args)
    return tuple(path.relative_to(root).as_posix() for path in found if path.is_relative_to(root))


def listed(config: pytest.Config, name: str) -> tuple[list[str], bool]:
    """Read a repeatable option; return too whether the command line gave it, which comes before the ini file."""
    given: list[str] | None = config.getoption(name)
    return (list(given), True) if given else (list(config.getini(name) or ()), False)


def folder_of(config: pytest.Config, *, is_given: bool) -> Path:
    """Give the folder that a path is relative to: on the command line where pytest was called, else the ini file's."""
    return config.invocation_params.dir if is_given else _ini_folder(config)


def devices(specs: Sequence[ModelSpec]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Name the devices that workers are to have one each, and the roles whose models need one.

    None where an entry itself names the device of its model.
    """
    if any(spec.traits.is_placed for spec in specs):
        return (), ()
    return visible_devices(os.environ), tuple(spec.role for spec in specs if spec.traits.takes_device)


def _answers(config: pytest.Config, shard: Shard | None) -> AnswersSettings | None:
    if (config.getoption("llm_answers") or config.getini("llm_answers")) == "off":
        return None
    # a shard continues its own last run, where several run one after another in one folder
    name = "answers.sqlite" if shard is None else f"answers-{shard.index}-of-{shard.of}.sqlite"
    return AnswersSettings(
        path=path_of(config, "llm_answers") or config.rootpath / ".llmbench" / name,
        reuse=reuse(config),
        token=run_token(config),
        is_owner=not is_worker(config),
    )


def reuse(config: pytest.Config) -> Reuse:
    """Read which stored answers are used again.

    Raises:
        UsageFault: there is no such way.
    """
    return _word(config, "llm_reuse", Reuse.AUTO)


def line_order(config: pytest.Config) -> Order:
    """Read how the lines of the scoreboard stand.

    Raises:
        UsageFault: there is no such order.
    """
    return _word(config, "llm_sort", Order.SUITE)


def _word(config: pytest.Config, name: str, default: Word) -> Word:
    given = config.getoption(name) or config.getini(name) or default
    try:
        return type(default)(given)
    except ValueError:
        *words, last = type(default)
        option = name.replace("_", "-")
        raise UsageFault(f'--{option} needs {", ".join(words)} or {last}, not "{given}".') from None


def flag(config: pytest.Config, name: str) -> bool:
    """Read a switch.

    Raises:
        pytest.UsageError: the ini file has neither true nor false.
    """
    given = config.getoption(name)
    if given is not None:
        return bool(given)
    try:
        return bool(config.getini(name))
    except (ValueError, pytest.UsageError) as fault:
        raise pytest.UsageError(f"{name} in {config.inipath} needs true or false: {fault}.") from None


def _number(config: pytest.Config, name: str) -> float | None:
    given: float | None = config.getoption(name)
    text = config.getini(name) if given is None else ""
    return _BY_NAME[name].parse(text) if text else given


def _count(config: pytest.Config, name: str) -> int | None:
    number = _number(config, name)
    return None if number is None else int(number)


def path_of(config: pytest.Config, name: str) -> Path | None:
    """Read an option that names a file or folder; None where it is not given."""
    given = config.getoption(name)
    if given:
        return Path(config.invocation_params.dir / given)
    from_ini = config.getini(name)
    return _ini_folder(config) / from_ini if from_ini else None


def _ini_folder(config: pytest.Config) -> Path:
    return config.inipath.parent if config.inipath else config.rootpath


def usage_error(fault: LlmbenchError | str) -> pytest.UsageError:
    """Make a usage error of a fault."""
    return pytest.UsageError(visible(str(fault)))


def has_gate(config: pytest.Config) -> bool:
    """Return whether a run is gated, so that a wrong answer alone fails no test."""
    return any(listed(config, name)[0] for name in ("llm_baseline", "llm_min_score"))


_OF_THE_GATE = (
    "llm_baseline",
    "llm_min_score",
    "llm_margin",
    "llm_latency_margin",
    "llm_max_errors",
    "llm_allow_different",
    "llm_stop_early",
)


def has_gate_option(config: pytest.Config) -> bool:
    """Return whether an option of the gate is given, which must be right where the run is not gated, too."""
    return any(config.getoption(name) or config.getini(name) for name in _OF_THE_GATE)
