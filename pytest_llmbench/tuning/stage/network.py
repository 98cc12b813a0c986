"""The network that learns: the base, the adapter that is continued, or the one that begins."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from pytest_llmbench.models.validation import nearest_first
from pytest_llmbench.tuning.kinds import StageKind
from pytest_llmbench.tuning.stage.checks import CheckFault
from pytest_llmbench.tuning.stage.job import StageJob


def load_tokenizer(job: StageJob) -> Any:
    """Load the tokenizer a run would use: the adapter's where it has one, else the base's."""
    import transformers

    adapter = None if job.adapter is None else Path(job.adapter)
    has_own = adapter is not None and (adapter / "tokenizer_config.json").is_file()
    tokenizer = transformers.AutoTokenizer.from_pretrained(adapter if has_own else job.base, trust_remote_code=False)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_network(job: StageJob, tokenizer: Any) -> tuple[Any, Any]:
    """Load what learns. The trainer's arguments are to exist by then: under ZeRO-3 they divide the weights.

    Returns:
        The network, and the configuration of an adapter that begins (None where one is continued, or none is there).
    """
    network, adapter = _begin(job, tokenizer)
    if adapter is not None:
        _check_targets(adapter.target_modules, network)
    return network, adapter


def _begin(job: StageJob, tokenizer: Any) -> tuple[Any, Any]:
    if job.kind is StageKind.REWARD:
        return _load(job, "AutoModelForSequenceClassification", tokenizer, num_labels=1), _lora(job, "SEQ_CLS")
    network = _load(job, "AutoModelForCausalLM", tokenizer)
    if job.adapter is None:
        return network, _lora(job, "CAUSAL_LM")
    import peft

    return peft.PeftModel.from_pretrained(network, job.adapter, is_trainable=True), None


def _check_targets(targets: Collection[str], network: Any) -> None:
    """Refuse a target that is no layer of the network.

    Raises:
        CheckFault: one is none.
    """
    layers = {name.rpartition(".")[2] for name, _ in network.named_modules()}
    missing = sorted(set(targets) - layers)
    if missing:
        known = ", ".join(nearest_first(missing[0], sorted(name for name in layers if name.endswith("proj")))) or "none"
        raise CheckFault(f'lora.targets: the model has no layer "{missing[0]}"; its projections are: {known}.')


def load_reward_model(job: StageJob, tokenizer: Any) -> Any:
    """Load the model of a stage `reward` as one that scores, with its adapter merged."""
    folder = Path(str(job.reward_model))
    if not (folder / "adapter_config.json").is_file():
        return _load(job, "AutoModelForSequenceClassification", tokenizer, where=str(folder), num_labels=1)
    import peft

    network = _load(job, "AutoModelForSequenceClassification", tokenizer, num_labels=1)
    return peft.PeftModel.from_pretrained(network, str(folder)).merge_and_unload()


def _load(job: StageJob, kind: str, tokenizer: Any, *, where: str | None = None, **more: Any) -> Any:
    import torch
    import transformers

    how: dict[str, Any] = {"dtype": _dtype(job), "trust_remote_code": False, **more}
    if job.quantization == "int4":
        how["quantization_config"] = transformers.BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16
        )
    network = getattr(transformers, kind).from_pretrained(where or job.base, **how)
    if job.kind is StageKind.REWARD or "num_labels" in more:
        network.config.pad_token_id = tokenizer.pad_token_id
    return network


def _dtype(job: StageJob) -> Any:
    """Choose the dtype of the weights: bfloat16 on a GPU where they are frozen, else float32."""
    import torch

    return torch.bfloat16 if torch.cuda.is_available() and job.lora is not None else torch.float32


def _lora(job: StageJob, task: str) -> Any:
    if job.lora is None:
        return None
    import peft

    return peft.LoraConfig(
        r=job.lora.r,
        lora_alpha=job.lora.alpha,
        lora_dropout=job.lora.dropout,
        target_modules=list(job.lora.targets),
        task_type=task,
    )


def end_tokens(network: Any, tokenizer: Any) -> frozenset[int]:
    """Give the tokens at which a run ends an answer: those of the generation config, else the tokenizer's."""
    config = getattr(network, "generation_config", None)
    ends = None if config is None else config.eos_token_id
    if ends is None:
        ends = tokenizer.eos_token_id
    return frozenset([ends] if isinstance(ends, int) else ends or ())
