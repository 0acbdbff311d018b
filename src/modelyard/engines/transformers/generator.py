"""The transformers engine: a Hugging Face folder, stepped."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelyard.engines.generation import GeneratorOptions
from modelyard.engines.stepping.generator import Stepped, SteppingGenerator


def create(path: Path, options: GeneratorOptions) -> SteppingGenerator:
    """Open the Hugging Face folder whose config.json is at `path`. Raises InvalidInput, MissingExtra."""
    from modelyard.engines.transformers import loading

    opened = loading.open_folder(path.parent, options)
    from modelyard.engines.transformers.batch import open_batch

    model = Stepped(
        name="transformers",
        tokenizer=opened.tokenizer,
        first=opened.first,
        ends=opened.ends,
        vocabulary=opened.vocabulary,
        context=opened.context,
        slots=opened.slots,
    )
    threads = options.threads or max(1, loading.cores() - 1)
    return SteppingGenerator(model, open_batch(opened.model), lambda: _inferring(threads))


@contextmanager
def _inferring(threads: int) -> Iterator[None]:
    import torch

    torch.set_num_threads(threads)
    with torch.inference_mode():
        yield
