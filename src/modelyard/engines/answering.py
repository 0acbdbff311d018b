"""A generator in the place of an engine: what evaluation asks of a model that answers step by step."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from modelyard.engines import replying
from modelyard.engines.contract import Array, Tensors
from modelyard.engines.generation import Generator, GeneratorOptions
from modelyard.engines.table import generator_format, open_generator
from modelyard.types.generation import TextRequest
from modelyard.types.package import Manifest

FORMATS: Final = ("onnx-decoder",)
"""Of packages that are made of data alone: others' engines run in a sandbox, where nothing is evaluated."""
TEXT: Final = "text"


class Asking(Protocol):
    """A `tasks.Prepared` of models that generate."""

    def requests(
        self, arrays: Mapping[str, Array], parameters: Mapping[str, Any], cut: bool = False
    ) -> Sequence[TextRequest]:
        """What the generator is asked, one a row. `cut`: what is too long for it is cut.

        Raises InvalidInput (UnknownName) on parameters that there are none of."""


class Answering:
    """See `engines.contract.Engine`: each row's answer as `output`, BYTES [rows]. Where texts are gone on
    from, the input `text` is measured instead: `loss` in nats and the `tokens` that is of, FP64 [rows]."""

    def __init__(self, generator: Generator, prepared: Asking, output: str, measured: bool) -> None:
        self.generator = generator
        self._prepared, self._output, self._measured = prepared, output, measured

    def run(self, inputs: Tensors) -> dict[str, Array]:
        """Of tensors that the task transformed. Raises InvalidInput."""
        if self._measured and TEXT in inputs:
            generator: Any = self.generator
            nats, tokens = generator.likelihood([text.decode() for text in inputs[TEXT].tolist()])
            return {"loss": nats, "tokens": tokens}
        answers = asyncio.run(self._answers(self._prepared.requests(inputs, {}, cut=True)))
        out = np.empty(len(answers), object)
        out[:] = answers
        return {self._output: out}

    async def _answers(self, requests: Sequence[TextRequest]) -> list[bytes]:
        room = asyncio.Semaphore(self.generator.abilities.slots)

        async def one(request: TextRequest) -> bytes:
            async with room:
                return (await whole(self.generator, request)).encode()

        return list(await asyncio.gather(*(one(request) for request in requests)))


async def whole(generator: Generator, request: TextRequest) -> str:
    """An answer in one."""
    pieces: Any = generator.generate(request)
    async with aclosing(pieces):
        return "".join([delta.text async for delta in pieces])


def open_answering(
    folder: Path, manifest: Manifest, prepared: Any, *, threads: int, replay: bool
) -> Answering:
    """Of a package of one of FORMATS. Raises what `open_generator` does, and ParityMismatch."""
    generator = open_generator(folder, manifest, GeneratorOptions(threads=threads))
    if replay:
        asyncio.run(replying.replay(generator, folder, manifest))
    output = manifest.signature.outputs[0].name
    return Answering(generator, prepared, output, measured=manifest.task == "text-generation")


def is_answered(manifest: Manifest) -> bool:
    """Whether a package is opened this way."""
    return generator_format(manifest) in FORMATS
