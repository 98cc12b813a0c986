"""The script of docs/scale.md that answers exported requests on Ray Data, run as it stands; only the engine is another."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_llmbench.models.base import OpenSettings
from pytest_llmbench.models.entries import RecordedEntry
from pytest_llmbench.models.recorded import PROVIDER
from pytest_llmbench.values import Answer, AnswerError, Message, Prompt, Request, Sampling

pytest.importorskip("ray.data")
pytestmark = pytest.mark.slow

PAGE = (Path(__file__).parents[2] / "docs" / "scale.md").read_text()

STAND_IN = '''
import ray
import ray.llm._internal.batch.processor.vllm_engine_proc
from ray.llm._internal.batch.processor.base import Processor, ProcessorBuilder
from ray.llm._internal.batch.stages.base import StatefulStage, StatefulStageUDF

ray.init(num_cpus=2, include_dashboard=False, object_store_memory=100 * 2**20, log_to_driver=False)


class Engine(StatefulStageUDF):
    """Answers with what it was asked, in the columns of vLLM's stage."""

    async def udf(self, batch):
        for row in batch:
            text = row["messages"][-1]["content"]
            is_bad = "bad" in text
            steps = [{7: {"decoded_token": "yes", "logprob": -0.1, "rank": 1}, 8: {"decoded_token": "no", "logprob": -2.5, "rank": 2}}]
            yield {
                self.IDX_IN_BATCH_COLUMN: row[self.IDX_IN_BATCH_COLUMN],
                "prompt": text,
                "generated_text": "" if is_bad else f"{text}: {row['sampling_params']['max_tokens']}",
                "num_input_tokens": 0 if is_bad else 5,
                "num_generated_tokens": 0 if is_bad else 2,
                "logprobs": steps if "logprobs" in row["sampling_params"] and not is_bad else None,
                "__inference_error__": "ValueError: this row is bad" if is_bad else "",
            }


def build(config, **kwargs):
    assert config.should_continue_on_error
    stage = StatefulStage(fn=Engine, map_batches_kwargs={"concurrency": 1, "num_cpus": 0.5})
    return Processor(config, [stage], **kwargs)


ProcessorBuilder._registry["vLLMEngineProcessorConfig"] = build
'''


def test_the_script_writes_a_line_for_each_request(tmp_path: Path) -> None:
    """Right answers, log-probabilities and a row that fails are read as recorded answers; the job goes on."""
    (script,) = (code for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "build_processor" in code)
    (tmp_path / "script.py").write_text(f"{STAND_IN}\n{script}")
    (tmp_path / "answers").mkdir()
    bodies = {
        "s/a/0": {"messages": [{"role": "user", "content": "one"}], "max_tokens": 3, "temperature": 0},
        "s/b/0": {"messages": [{"role": "user", "content": "bad"}], "max_tokens": 3},
        "s/c/0": {
            "messages": [{"role": "user", "content": "two"}],
            "max_tokens": 4,
            "logprobs": True,
            "top_logprobs": 20,
        },
    }
    lines = (json.dumps({"custom_id": custom_id, "body": {"model": "m", **body}}) for custom_id, body in bodies.items())
    (tmp_path / "requests.jsonl").write_text("\n".join(lines))

    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env={
            **os.environ,
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_MODE": "disabled",
            "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-3000:]
    entry = RecordedEntry(provider="recorded", answers=str(tmp_path / "answers" / "llama-13b.jsonl"))
    model = PROVIDER.open(entry, OpenSettings())
    a, b, c = model.answer(
        [
            Request(suite="s", case=case, sample=0, prompt=Prompt(messages=(Message(role="user", content="x"),)),
                    sampling=Sampling(), labels=("yes", "no") if case == "c" else ())
            for case in "abc"
        ]
    )  # fmt: skip
    assert isinstance(a, Answer)
    assert (a.text, a.input_tokens, a.output_tokens) == ("one: 3", 5, 2)
    assert isinstance(b, AnswerError)
    assert "this row is bad" in b.cause
    assert isinstance(c, Answer)
    assert c.label_logprobs is not None
    assert c.label_logprobs["yes"] > c.label_logprobs["no"]
