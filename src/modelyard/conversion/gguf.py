"""GGUF files (ggml-org/ggml, docs/gguf.md): kept as they came, until an engine opens them.

Nothing here reads more than the header's first entry; `modelyard.trust.inspection` reads it all, before.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from modelyard.conversion.contract import Form, Job, Stored
from modelyard.errors import InvalidInput
from modelyard.files import link_or_copy
from modelyard.types.package import NetRef
from modelyard.types.tensor import Signature, TensorSpec

ENTRY: Final = "model.gguf"
REFUSAL: Final = (
    "no engine here opens GGUF yet: engines for large language models come with a later version; this one is stored"
    " and exported as it is; an ONNX or safetensors form of an encoder can be deployed"
)
_MAGIC: Final = b"GGUF"
_VERSIONS: Final = (2, 3)
_ARCHITECTURE: Final = b"general.architecture"
_STRING: Final = 8


@dataclass(frozen=True, kw_only=True)
class GgufFile:
    """A file whose header says that it is one. `architecture` as llama.cpp names it, or "unknown"."""

    path: Path
    architecture: str


def load(path: Path) -> GgufFile:
    """Raises InvalidInput for another file."""
    with path.open("rb") as file:
        head = file.read(4096)
    version = int.from_bytes(head[4:8], "little")
    if not head.startswith(_MAGIC) or version not in _VERSIONS:
        raise InvalidInput(
            "this is no GGUF file", came=f"{head[:4]!r}, version {version}", allowed="GGUF 2 or 3"
        )
    return GgufFile(path=path, architecture=_architecture(head))


def subject(model: GgufFile, job: Job) -> Stored:
    """See `contract.Framework`. The file is linked, where the file system allows, not copied."""

    def save(out: Path) -> str:
        link_or_copy(model.path, out / ENTRY)
        return ENTRY

    task = job.options.task or ("feature-extraction" if "bert" in model.architecture else "text-generation")
    return Stored(
        task=task,
        signature=_signature(task),
        form=Form(format="gguf", save=save),
        refusal=REFUSAL,
        net=NetRef(name=model.architecture, framework="gguf"),
        labels=job.options.labels,
    )


def _signature(task: str) -> Signature:
    text = TensorSpec(name="text", datatype="BYTES", shape=(-1,))
    if task == "feature-extraction":
        answer = TensorSpec(name="embedding", datatype="FP32", shape=(-1, -1))
    else:
        answer = TensorSpec(name="generated_text", datatype="BYTES", shape=(-1,))
    return Signature(inputs=(text,), outputs=(answer,))


def _architecture(head: bytes) -> str:
    """Of the first key, which is the architecture in every file that llama.cpp writes."""
    try:
        key, at = _string(head, 24)
        (kind,) = struct.unpack_from("<I", head, at)
        value, _ = _string(head, at + 4)
    except struct.error:
        return "unknown"
    text = value.decode("ascii", "replace")
    return text if key == _ARCHITECTURE and kind == _STRING and text.isprintable() and text else "unknown"


def _string(head: bytes, at: int) -> tuple[bytes, int]:
    (length,) = struct.unpack_from("<Q", head, at)
    end = at + 8 + length
    if end > len(head):
        raise struct.error
    return head[at + 8 : end], end
