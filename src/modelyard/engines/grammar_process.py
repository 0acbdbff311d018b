"""`python -m modelyard.engines.grammar_process FOLDER`: compiles constraints for the tokenizer in the folder.

Says "" when it is ready, then for each line {"name", "value"} what is wrong with it, or "". GenAI compiles a
grammar only for a request, so that the tokenizer is given to a model of no weight, whose logits are all 0.
"""

import contextlib
import json
import os
import resource
import select
import sys
import tempfile
from itertools import count
from pathlib import Path
from typing import Any, Final

from modelyard.engines.causal_graph import Layer, causal_graph

_MEMORY: Final = 4 << 30
"""Of addresses: compiled grammars are kept, and one that is too large ends this process alone."""
_IDLE: Final = 300.0  # seconds without a question: it ends
_WIDTH: Final = 32


def main(folder: str) -> None:
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what the library prints is no answer
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    trial = _Trial(folder)
    trial.wrong(
        "json_schema", '{"type":"object"}'
    )  # the compiler's own beginning is not the constraint's time
    out.write(b'""\n')
    lines = sys.stdin.buffer
    while select.select([lines], [], [], _IDLE)[0] and (line := lines.readline()):
        out.write(json.dumps(trial.wrong(**json.loads(line))).encode() + b"\n")


class _Trial:
    def __init__(self, folder: str) -> None:
        import openvino
        import openvino_genai as genai

        self._genai = genai
        scheduler = genai.SchedulerConfig()
        scheduler.num_kv_blocks, scheduler.max_num_seqs = 4, 1
        tokenizer = genai.Tokenizer(folder)
        with tempfile.TemporaryDirectory() as made:
            model = _weightless(max(tokenizer.get_vocab().values()) + 1)
            openvino.save_model(model, Path(made) / "openvino_model.xml", compress_to_fp16=False)
            self._pipeline = genai.ContinuousBatchingPipeline(made, tokenizer, scheduler, "CPU")
        self._numbers = count()

    def wrong(self, name: str, value: str) -> str:
        """Empty where a request with it can be computed."""
        import numpy as np
        from openvino import Tensor

        config = self._genai.GenerationConfig(max_new_tokens=1)
        config.structured_output_config = self._genai.StructuredOutputConfig(**{name: value})
        prompt = Tensor(np.zeros((1, 1), np.int64))
        handle = None
        try:
            handle = self._pipeline.add_request(next(self._numbers), prompt, config)
            self._pipeline.step()
        except (RuntimeError, ValueError) as error:
            if handle is not None:
                handle.cancel()
                self._pipeline.step()
            return str(error)[-500:] or "it cannot be compiled"
        return ""


def _weightless(vocabulary: int) -> Any:
    """An openvino.Model whose logits are all 0."""
    import numpy as np
    from openvino import opset13 as ops

    def embed(ids: Any, _: Any) -> Any:
        ones = ops.constant(np.ones((1, 1, _WIDTH), np.float32))
        return ops.multiply(ops.unsqueeze(ops.convert(ids, "f32"), ops.constant(-1)), ones)

    def head(found: Any) -> Any:
        nothing = ops.constant(np.zeros((1, 1, vocabulary), np.float32))
        return ops.multiply(ops.reduce_mean(found, ops.constant([-1]), True), nothing)

    return causal_graph(Layer(width=_WIDTH, embed=embed, head=head))


if __name__ == "__main__":
    main(sys.argv[1])
