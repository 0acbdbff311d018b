"""Which engine opens which format."""

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Final, cast

from modelyard.engines.contract import Create, Engine, EngineOptions
from modelyard.engines.generation import CreateGenerator, Generator, GeneratorOptions
from modelyard.errors import InvalidInput
from modelyard.types.package import Manifest

ENGINES: Final[dict[str, str]] = {
    "onnx": "modelyard.engines.onnx",
    "openvino": "modelyard.engines.openvino",
    "keras": "modelyard.engines.keras",
    "savedmodel": "modelyard.engines.savedmodel",
    "pt2": "modelyard.engines.torch",
    "skops": "modelyard.engines.skops",
}
"""Format -> module with `create`, loaded when it is first needed. The first that a package has is taken."""

GENERATORS: Final[dict[str, str]] = {
    "onnx-decoder": "modelyard.engines.decoder",
    "openvino-genai": "modelyard.engines.openvino_genai",
    "gguf": "modelyard.engines.llama_cpp",
    "vllm": "modelyard.engines.vllm",
    "transformers": "modelyard.engines.transformers",
    "ctranslate2-whisper": "modelyard.engines.whisper",
}
"""Format -> module with `create`, of engines that batch by themselves and stream. The first that a package has is
taken; a package's manifest lists in `formats` only what it is to be served from."""


def generates(formats: Iterable[str]) -> bool:
    """Whether a version of these formats is served by an engine that batches by itself and streams."""
    return any(name in GENERATORS for name in formats)


def generator_format(manifest: Manifest) -> str | None:
    """The package's first format that a generator is known for; None where batches are run."""
    return next((name for name in GENERATORS if name in manifest.formats), None)


def open_generator(folder: Path, manifest: Manifest, options: GeneratorOptions) -> Generator:
    """Raises InvalidInput (no such format, or its file is none), MissingExtra."""
    name = generator_format(manifest)
    if name is None:
        raise InvalidInput(
            "the package has no format that generates", came=list(manifest.formats), allowed=GENERATORS
        )
    create = cast(CreateGenerator, import_module(GENERATORS[name]).create)
    return create(folder / manifest.formats[name], options)


def open_engine(folder: Path, manifest: Manifest, options: EngineOptions) -> Engine:
    """Open the package's first format that an engine is known for.

    Raises:
        InvalidInput: the package has no such format, or its file is none.
        NotAllowedFormat: the file reaches for data outside its folder.
        MissingExtra: the engine's library is not installed.
    """
    for name, module in ENGINES.items():
        if name in manifest.formats:
            create = cast(Create, import_module(module).create)
            return create(folder / manifest.formats[name], manifest.tensors, options)
    raise InvalidInput(
        "the package has no format that an engine opens", came=list(manifest.formats), allowed=ENGINES
    )
