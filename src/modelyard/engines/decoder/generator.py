"""The decoding engine's generator, and how likely texts are by its model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from modelyard.engines.contract import Array
from modelyard.engines.decoder.batch import StateBatch
from modelyard.engines.decoder.graphs import Graphs, empty, open_graphs
from modelyard.engines.generation import GeneratorOptions
from modelyard.engines.stepping.generator import Stepped, SteppingGenerator
from modelyard.errors import InvalidInput, MissingExtra

_SLOTS: Final = 16
_THREADS: Final = 1  # the nets are small: more threads gain little, and take each other's cores
_TOGETHER: Final = 8  # rows whose likelihood is computed at a time


class DecoderGenerator(SteppingGenerator):
    """See `engines.generation.Generator`."""

    def __init__(self, graphs: Graphs, tokenizer: Any, model: Stepped) -> None:
        super().__init__(model, StateBatch(graphs))
        self.graphs = graphs
        self._first = model.first

    def likelihood(self, texts: Sequence[str]) -> tuple[Array, Array]:
        """Minus the log probability of each text in nats, float64 [texts], and how many tokens that is of.

        Of texts longer than the context each token is predicted from at least the half of it that came before. For
        a thread of its own. Raises InvalidInput of models that read a source.
        """
        if self.graphs.file.encode is not None:
            raise InvalidInput("how likely a text is depends on what is translated", came="a text alone")
        nats, tokens = np.zeros(len(texts)), np.zeros(len(texts))
        for number, text in enumerate(texts):
            ids = [self.graphs.file.start, *self._tokenizer.encode(text, add_special_tokens=False).ids]
            nats[number] = self._surprise(np.array(ids, np.int64))
            tokens[number] = len(ids) - 1
        return nats, tokens

    def _surprise(self, ids: Array) -> float:
        """Nats of all tokens but the first."""
        context = self.graphs.file.context
        starts = range(0, max(1, len(ids) - 1 - context // 2), context - context // 2)
        windows = [(ids[at : at + context + 1], 0 if at == 0 else context // 2) for at in starts]
        return sum(self._of_windows(windows[at : at + _TOGETHER]) for at in range(0, len(windows), _TOGETHER))

    def _of_windows(self, windows: Sequence[tuple[Array, int]]) -> float:
        """`windows` are tokens, and how many of those after the first were counted before."""
        width = max(len(window) for window, _ in windows) - 1
        if width == 0:
            return 0.0
        tokens = np.full((len(windows), width + 1), self.graphs.file.start, np.int64)
        counts = np.zeros((len(windows), width), bool)
        for row, (window, skipped) in enumerate(windows):
            tokens[row, : len(window)] = window
            counts[row, skipped : len(window) - 1] = True
        state = {s.name: np.repeat(empty(s, 1), len(windows), 0) for s in self.graphs.file.state}
        logits = self.graphs.step(tokens[:, :-1], np.zeros(len(windows), np.int64), state)["logits"]
        logits = logits.astype(np.float64)
        largest = logits.max(axis=2)
        sums = largest + np.log(np.exp(logits - largest[..., None]).sum(axis=2))
        due = np.take_along_axis(logits, tokens[:, 1:, None], axis=2)[..., 0]
        return float(((sums - due) * counts).sum())


def create(path: Path, options: GeneratorOptions) -> DecoderGenerator:
    """Open the decoder.json at `path`. Raises InvalidInput, NotAllowedFormat, MissingExtra."""
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise MissingExtra("tokenizers", "text") from None
    graphs = open_graphs(path, options.threads or _THREADS)
    file = graphs.file
    if options.context is not None and options.context > file.context:
        raise InvalidInput(
            "the model's context is shorter", came=options.context, allowed=f"1 to {file.context}"
        )
    try:
        tokenizer = Tokenizer.from_file(str(path.parent / file.tokenizer))
    except Exception as error:  # of the Rust library, without a class of its own
        raise InvalidInput("the model's tokenizer cannot be opened") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    model = Stepped(
        name="onnx-decoder",
        tokenizer=tokenizer,
        first=file.start,
        ends=frozenset(file.ends),
        vocabulary=file.vocabulary,
        context=options.context or file.context,
        slots=options.slots or _SLOTS,
        source=file.source if file.encode is not None else None,
    )
    return DecoderGenerator(graphs, tokenizer, model)
