"""Models that reason, on the shipped clickbait suite: a local one, and one behind an API."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent


def run(tmp_path: Path, entry: str, *options: str) -> tuple[str, list[dict[str, Any]]]:
    (tmp_path / "models.toml").write_text(f"[m]\n{entry}")
    target = tmp_path / "run.json"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--llm-answers=off", "--llm-no-fail"]
    models, json_file = f"--llm-models-file={tmp_path / 'models.toml'}", f"--benchmark-json={target}"
    done = subprocess.run(
        [*command, models, json_file, "--llm-model=m", "--llm-limit=3", *options, "cases/clickbait.yaml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    records = [benchmark["extra_info"]["llmbench"] for benchmark in json.loads(target.read_text())["benchmarks"]]
    return done.stdout, [record["samples"][0] for record in records]


@pytest.mark.parametrize("is_opened_by_template", [False, True])
def test_a_local_model(tmp_path: Path, make_reciter: Callable[..., Path], is_opened_by_template: bool) -> None:
    """It keeps the suite's format though its reasoning has line ends, which are the suite's stop string."""
    end = "<think>\n" if is_opened_by_template else ""
    script = ("<think>", "It", " may\n", "be", " clickbait,\n", "or", " not.", "</think>", "\n\n", "yes", "\n", "so")
    folder = make_reciter(tmp_path / "model", *script, template_end=end)
    entry = (
        f'provider = "transformers"\nmodel = "{folder}"\nprompt_style = "chat"\nthreads = 1\nreasoning_tokens = 32\n'
    )

    _, samples = run(tmp_path, entry)

    assert [(sample["answer"], sample["format_ok"]) for sample in samples] == [("yes", True)] * 3
    assert {sample["reasoning"] for sample in samples} == {"It may\nbe clickbait,\nor not."}


def test_a_model_behind_an_api(tmp_path: Path, openai_server: Any) -> None:
    """It keeps the format as well; the server is sent the room for its reasoning, and no stop string."""
    openai_server.usual = openai_server.stream("<think>\nIt ", "may\n", "not.\n</think>", "\n\nyes", "\nso")

    _, samples = run(
        tmp_path, f'provider = "openai"\nmodel = "m"\nbase_url = "{openai_server.url}"\n', "--llm-reasoning-tokens=32"
    )

    assert [(sample["answer"], sample["format_ok"]) for sample in samples] == [("yes", True)] * 3
    assert {received.body["max_tokens"] for received in openai_server.received} == {4 + 32}
    assert not any("stop" in received.body for received in openai_server.received)


def write_gguf(path: Path, *script: str, template_end: str = "") -> None:
    """Save what `make_reciter` does as GGUF: the tokens of the script, one after another, whatever is asked."""
    import gguf
    import numpy as np

    words = [
        "<unk>",
        "<s>",
        "</s>",
        *(f"<0x{byte:02X}>" for byte in range(256)),
        *(w.replace(" ", "▁") for w in script),
    ]
    n_others, n_words = len(words) - len(script), len(words)
    size = -(-n_words // 32) * 32
    kinds = gguf.TokenType
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(2048)
    writer.add_embedding_length(size)
    writer.add_block_count(1)
    writer.add_feed_forward_length(32)
    writer.add_head_count(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(size)
    writer.add_vocab_size(n_words)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(words)
    writer.add_token_scores([0.0] * n_others + [-1.0] * len(script))
    marks = [kinds.USER_DEFINED if word.startswith("<") else kinds.NORMAL for word in script]
    writer.add_token_types([kinds.UNKNOWN, kinds.CONTROL, kinds.CONTROL, *[kinds.BYTE] * 256, *marks])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_space_prefix(False)
    messages = "{% for message in messages %}{{ message['content'] }}\n{% endfor %}"
    writer.add_chat_template(messages + "{% if add_generation_prompt %}>" + template_end + "{% endif %}")
    ones, nothing = np.ones(size, np.float32), np.zeros((size, size), np.float32)
    following = np.zeros((n_words, size), np.float32)
    following[n_others, :n_others] = 1
    for place in range(n_others, n_words):
        following[place + 1 if place + 1 < n_words else 2, place] = 1
    tensors = {
        "token_embd": np.eye(n_words, size, dtype=np.float32),
        "output_norm": ones,
        "output": following,
        **dict.fromkeys(("blk.0.attn_norm", "blk.0.ffn_norm"), ones),
        **{f"blk.0.attn_{name}": nothing for name in ("q", "k", "v", "output")},
        **dict.fromkeys(("blk.0.ffn_gate", "blk.0.ffn_up"), nothing[:32]),
        "blk.0.ffn_down": nothing[:, :32].copy(),
    }
    for name, values in tensors.items():
        writer.add_tensor(f"{name}.weight", values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.parametrize("is_opened_by_template", [False, True])
def test_a_model_behind_llama_cpp(tmp_path: Path, is_opened_by_template: bool) -> None:
    """So it does behind llama.cpp's server, whether the model or its template opens the reasoning."""
    xllamacpp = pytest.importorskip("xllamacpp")
    opening, end = ([], "<think>") if is_opened_by_template else (["<think>"], "")
    script = (*opening, "It", " may\n", "be.", "</think>", "\n\n", "yes", "\n", " so")
    write_gguf(tmp_path / "model.gguf", *script, template_end=end)
    params = xllamacpp.CommonParams()
    params.model.path = str(tmp_path / "model.gguf")
    params.n_ctx = 4096
    params.n_parallel = 2
    params.cpuparams.n_threads = 1
    params.warmup = False
    params.port = 0
    server = xllamacpp.Server(params)

    entry = f'provider = "openai"\nmodel = "m"\nbase_url = "{server.listening_address}/v1"\nreasoning_tokens = 32\n'
    _, samples = run(tmp_path, entry)

    assert [(sample["answer"], sample["format_ok"]) for sample in samples] == [("yes", True)] * 3
    assert {sample["reasoning"] for sample in samples} == {"It may\nbe."}
    del server


def test_cut_reasoning(tmp_path: Path, openai_server: Any) -> None:
    """Where the limit ends all reasoning, each answer is empty and says why, and the scoreboard names the key."""
    openai_server.usual = openai_server.stream("It may", key="reasoning_content", finish="length")

    shown, samples = run(tmp_path, f'provider = "openai"\nmodel = "m"\nbase_url = "{openai_server.url}"\n')

    explanation = "The answer is nothing but reasoning. It was cut off at max_tokens = 4."
    assert {(sample["reason"], sample["explanation"]) for sample in samples} == {("empty", explanation)}
    assert "clickbait / m: cut off 3 of 3 answers at their limit of tokens; raise reasoning_tokens" in " ".join(
        shown.split()
    )


THOUGHT = "At first the capital seems to be Sydney."
FORMS = (
    "<reasoning>{}</reasoning>\nCanberra",
    "<thought>{}</thought>\nCanberra",
    "[THINK]{}[/THINK]Canberra",
    "◁think▷{}◁/think▷Canberra",
    "<seed:think>{}</seed:think>Canberra",
    "<|START_THINKING|>{}<|END_THINKING|><|START_RESPONSE|>Canberra<|END_RESPONSE|>",
    "<|channel>thought\n{}\n<channel|>Canberra",
    "<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>final<|message|>Canberra<|return|>",
    "analysis{}assistantfinalCanberra",
    "{}</think>\nCanberra",
)


def test_grades_of_recorded_answers(pytester: pytest.Pytester) -> None:
    """A label named only in the reasoning is no answer, and the one behind it is the answer, under each grader."""
    answers = [form.format(THOUGHT) for form in FORMS]
    wanted = {"exact": "Canberra", "contains": "Sydney", "regex": "Canberra", "yes_no": "Canberra"}
    for grader, expected in wanted.items():
        labels = "labels: [Canberra, Sydney]\n" if grader == "yes_no" else ""
        cases = "".join(f"  - {{id: c{place}, expected: {expected}}}\n" for place in range(len(answers)))
        pytester.path.joinpath(f"{grader}.yaml").write_text(
            f"suite: {grader}\ngrader: {grader}\n{labels}prompt: {{completion: 'Which city?'}}\ncases:\n{cases}"
        )
    lines = [json.dumps({"case": f"c{place}", "answer": answer}) for place, answer in enumerate(answers)]
    pytester.path.joinpath("answers.jsonl").write_text("\n".join(lines))
    suites = [f"{grader}.yaml" for grader in wanted]

    result = pytester.runpytest(
        "--llm-model=m=recorded:answers.jsonl",
        "--llm-no-fail",
        "--benchmark-quiet",
        "--benchmark-json=run.json",
        *suites,
    )

    assert result.ret == 0
    block = json.loads(pytester.path.joinpath("run.json").read_text())["llmbench"]
    outcomes = {(record["suite"], record["outcome"]) for record in block["unmeasured"]}
    assert outcomes == {("exact", "passed"), ("contains", "failed"), ("regex", "passed"), ("yes_no", "passed")}
    assert {record["samples"][0]["reasoning"] for record in block["unmeasured"]} == {THOUGHT}
