"""The models file and `--llm-model`: what they name, and what every fault says."""

from pathlib import Path

import pytest

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.models.catalog import Catalog, split_role
from pytest_llmbench.models.entries import OpenAIEntry, RecordedEntry

FILE = """\
[chatgpt]
provider = "openai"
model = "gpt-4o-mini"
sampling = { max_tokens = 64 }
price = { input_per_million = 0.15, output_per_million = 0.60 }

[old]
provider = "recorded"
answers = "answers/old.jsonl"
"""


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    (tmp_path / "models.toml").write_text(FILE)
    return Catalog(tmp_path / "models.toml", {})


def fault_of(catalog: Catalog, *options: str) -> str:
    with pytest.raises(UsageFault) as raised:
        catalog.choose(options, catalog.file.parent)
    return str(raised.value).replace(f"{catalog.file.parent}/", "")


def test_a_name_is_an_entry_of_the_models_file(catalog: Catalog) -> None:
    """The role of a model is its name, if no other is given."""
    (spec,) = catalog.choose(["chatgpt"], Path())

    assert (spec.role, spec.name) == ("chatgpt", "chatgpt")
    assert isinstance(spec.entry, OpenAIEntry)
    assert spec.entry.sampling.max_tokens == 64
    assert spec.entry.price is not None


def test_paths_of_an_entry_are_relative_to_the_models_file(catalog: Catalog, tmp_path: Path) -> None:
    """`answers` is found beside the models file, wherever pytest was called."""
    (spec,) = catalog.choose(["base=old"], Path("/elsewhere"))

    assert spec.role == "base"
    assert isinstance(spec.entry, RecordedEntry)
    assert spec.entry.answers == str(tmp_path / "answers" / "old.jsonl")


@pytest.mark.parametrize(
    ("option", "role", "name"),
    [
        ("chatgpt", None, "chatgpt"),
        ("base=chatgpt", "base", "chatgpt"),
        ("openai:gpt-4o-mini", None, "openai:gpt-4o-mini"),
        ("new=openai:gpt=4", "new", "openai:gpt=4"),
        ("recorded:a=b.jsonl", None, "recorded:a=b.jsonl"),
    ],
)
def test_a_role_counts_only_before_the_first_colon(option: str, role: str | None, name: str) -> None:
    """An equals sign in a target is part of the target."""
    assert split_role(option) == (role, name)


@pytest.mark.parametrize(
    ("target", "role"),
    [
        ("recorded:answers/Old Run.jsonl", "Old-Run.jsonl"),
        ("openai:org/model-7b", "model-7b"),
        ("openai:ft:gpt-4o:me::1", "ft-gpt-4o-me-1"),
    ],
)
def test_the_role_of_a_target_is_a_slug_of_it(catalog: Catalog, target: str, role: str) -> None:
    """What may not stand in a test id becomes a dash."""
    (spec,) = catalog.choose([target], Path())

    assert spec.role == role


def test_a_target_on_the_command_line_is_relative_to_the_folder_given(catalog: Catalog) -> None:
    """`recorded:answers.jsonl` is found where pytest was called."""
    (spec,) = catalog.choose(["recorded:a.jsonl"], Path("/work-dir"))

    assert isinstance(spec.entry, RecordedEntry)
    assert spec.entry.answers == "/work-dir/a.jsonl"


def test_no_models_file_is_needed_for_targets(tmp_path: Path) -> None:
    """`PROVIDER:TARGET` works in a project without a models file."""
    (spec,) = Catalog(tmp_path / "none.toml", {}).choose(["openai:m"], tmp_path)

    assert spec.role == "m"


FAULTS = {
    "unknown name, nearest first": (
        FILE,
        "chatgtp",
        'there is no model "chatgtp" in models.toml; it has: chatgpt, old. '
        "To use another, add [chatgtp] to it, or name one as PROVIDER:TARGET, such as transformers:./folder. "
        'Did you mean "chatgpt"?',
    ),
    "unknown provider": (
        FILE.replace('"openai"', '"opnai"'),
        "chatgpt",
        'models.toml: [chatgpt]: there is no provider "opnai"; the known ones are: openai, anthropic, '
        "openrouter, python, ollama, gemini, http, groq, azure, mistral, recorded, lmstudio, transformers, vllm. "
        'Did you mean "openai"?',
    ),
    "unknown provider of a target": (
        FILE,
        "hf:x",
        '--llm-model "hf:x": there is no provider "hf"; the known ones are: http, python, anthropic, transformers, '
        "openai, recorded, azure, ollama, vllm, lmstudio, openrouter, gemini, groq, mistral.",
    ),
    "missing key": (
        FILE.replace("model =", "# model ="),
        "chatgpt",
        'models.toml: [chatgpt] has no "model"; its provider needs one, see docs/models.md.',
    ),
    "extra key": (
        FILE.replace("price =", "prize ="),
        "chatgpt",
        'models.toml: [chatgpt] has the unknown key "prize"; its keys are: price, provider, api, serve, api_key_env, '
        "api_version, "
        "max_retries, stream, prompt_style, sampling, training, serve_timeout_s, reasoning, reasoning_tokens, timeout_s, "
        "concurrency, headers_env, omit, model, max_tokens_field, base_url, extra_body. "
        'Did you mean "price"?',
    ),
    "wrong type": (
        FILE.replace("max_tokens = 64", "max_tokens = 'many'"),
        "chatgpt",
        'models.toml: [chatgpt]: "sampling.max_tokens": must be a number.',
    ),
    "devices that are no table": (
        "[local]\nprovider = 'transformers'\nmodel = './m'\ndevice_map = 3\n",
        "local",
        'models.toml: [local]: "device_map": must be a text such as "auto", or a table of layers and their devices.',
    ),
    "a number as a text": (
        FILE.replace("max_tokens = 64", "max_tokens = '64'"),
        "chatgpt",
        'models.toml: [chatgpt]: "sampling.max_tokens": must be a number.',
    ),
    "extra key below another": (
        FILE.replace("max_tokens = 64", "max_token = 64"),
        "chatgpt",
        'models.toml: [chatgpt] has the unknown key "sampling.max_token"; the keys of "sampling" are: '
        "max_tokens, temperature, stop, top_p, seed. "
        'Did you mean "max_tokens"?',
    ),
    **{
        f"reasoning = {given}": (
            FILE.replace("sampling =", f"reasoning = {given}\nsampling ="),
            "chatgpt",
            'models.toml: [chatgpt]: "reasoning": must be "auto", "none", or a list of two different marks, as '
            '["<think>", "</think>"].',
        )
        for given in (
            '"often"',
            '["<a>"]',
            '["<a>", "<a>"]',
            '["<a>", ""]',
            '["<a>", "</a>", "<b>"]',
            '["<a>", 3]',
            "true",
        )
    },
    "room below nothing": (
        FILE.replace("sampling =", "reasoning_tokens = -1\nsampling ="),
        "chatgpt",
        'models.toml: [chatgpt]: "reasoning_tokens": must be at least 0.',
    ),
    "no provider": (
        "[a]\nmodel = 'x'\n",
        "a",
        'models.toml: [a] has no provider; add one, such as provider = "openai".',
    ),
    "no table": ("a = 1\n", "a", "models.toml: [a] is no table; a model is a table with its name in square brackets."),
    "bad toml": (
        "[a\n",
        "a",
        "models.toml: this is not TOML: Expected ']' at the end of a table declaration (at line 1, column 3).",
    ),
    "deep toml": (
        f"a = {'[' * 10_000}{']' * 10_000}",
        "a",
        "models.toml: this file is nested too deep; write it flatter.",
    ),
    "empty model": (
        FILE.replace('model = "gpt', 'model = "" # "gpt'),
        "chatgpt",
        'models.toml: [chatgpt]: "model": must not be empty.',
    ),
    "empty address": (
        '[a]\nprovider = "openai"\nmodel = "m"\nbase_url = ""\n',
        "a",
        'models.toml: [a]: "base_url": must not be empty.',
    ),
    "table in a table": (
        '[a.b]\nprovider = "openai"\n',
        "a.b",
        'there is no model "a.b" in models.toml; it has: a. To use another, add ["a.b"] to it, or name one as '
        "PROVIDER:TARGET, such as transformers:./folder.",
    ),
    "empty target": (FILE, "openai:", '--llm-model "openai:" names no target; write it after the colon.'),
    "empty role": (FILE, "=chatgpt", '--llm-model "=chatgpt" is incomplete; write NAME or ROLE=NAME.'),
    "empty name": (FILE, "a=", '--llm-model "a=" is incomplete; write NAME or ROLE=NAME.'),
    "bad role": (
        FILE,
        "a b=chatgpt",
        '--llm-model "a b=chatgpt": "a b" is not a valid role; use letters, digits, ".", "_" and "-".',
    ),
}


@pytest.mark.parametrize(("text", "option", "message"), FAULTS.values(), ids=FAULTS)
def test_a_fault_names_file_entry_and_key(tmp_path: Path, text: str, option: str, message: str) -> None:
    """A fault of the models file or the option is one clear sentence."""
    file = tmp_path / "models.toml"
    file.write_text(text)

    assert fault_of(Catalog(file, {}), option) == message


def test_a_models_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    """Editors of Windows write one."""
    file = tmp_path / "models.toml"
    file.write_text("\ufeff" + FILE, encoding="utf-8")

    (spec,) = Catalog(file, {}).choose(["chatgpt"], tmp_path)

    assert spec.name == "chatgpt"


def test_a_role_stands_once(catalog: Catalog) -> None:
    """Two models of one role cannot be told apart in test ids."""
    assert fault_of(catalog, "chatgpt", "chatgpt") == (
        'two models have the role "chatgpt"; give them different roles with --llm-model ROLE=NAME.'
    )


def test_a_missing_models_file_is_named(tmp_path: Path) -> None:
    """Without a models file, a name cannot be known."""
    assert fault_of(Catalog(tmp_path / "m.toml", {}), "llama") == (
        'there is no model "llama": there is no models file m.toml; create it with [llama] in it.'
    )
