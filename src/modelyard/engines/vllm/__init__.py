"""The vllm engine: vLLM's own server (`vllm serve`), a child of the replica, on NVIDIA GPUs.

Source: vLLM 0.33 (vllm/engine/arg_utils.py, vllm/entrypoints/common/cli_args.py, entrypoints/openai/completion). It
batches, caches prefixes and cuts models over GPUs and hosts by itself; the replica hands it token ids and passes on
what it says. Where it ends, so do its requests; nothing of it outlives the replica.
"""

from modelyard.engines.vllm.generator import Vllm, create

__all__ = ["Vllm", "create"]
