"""Which engine opens which format."""

from importlib import import_module
from pathlib import Path
from typing import Final, cast

from modelyard.engines.contract import Create, Engine, EngineOptions
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
