"""The package: `model.json` and files named by digest. The version's digest is the manifest's."""

import hashlib
from typing import Any, Final

import msgspec
from msgspec import Struct

from modelyard.types.tensor import Signature

MANIFEST_NAME: Final = "model.json"


class FileEntry(Struct, frozen=True, kw_only=True):
    """One file of a package or data set: its sha256 in hex and its size in bytes."""

    sha256: str
    size: int


class NetRef(Struct, frozen=True, kw_only=True):
    """The architecture that made a package. `weights` is a safetensors file of the package, or None."""

    name: str
    framework: str
    config: dict[str, Any] = {}
    weights: str | None = None


class Golden(Struct, frozen=True, kw_only=True):
    """A safetensors file with `inputs.NAME` and `outputs.NAME` (the engine's tensors, batch first), and how far
    an engine's answer may be from it: |answer - golden| <= atol + rtol * |golden|."""

    file: str
    rows: int
    rtol: float
    atol: float


class Lineage(Struct, frozen=True, kw_only=True):
    """Where a version comes from. Digests are hex sha256; absent parts are None."""

    run: str | None = None
    dataset: str | None = None
    dataset_digest: str | None = None
    parent: str | None = None
    recipe: dict[str, Any] | None = None


class Manifest(Struct, frozen=True, kw_only=True):
    """`model.json`.

    signature       what callers send and get
    tensors         what the engine is fed and answers: after the task's transform, before its encode
    preprocessing   the task's fitted parameters, JSON values only
    formats         engine format -> path of its entry file in the package, as {"onnx": "model.onnx"}
    files           every file of the package but model.json itself
    """

    format_version: int = 1
    task: str
    signature: Signature
    tensors: Signature
    preprocessing: dict[str, Any] = {}
    labels: tuple[str, ...] = ()
    formats: dict[str, str] = {}
    net: NetRef | None = None
    golden: Golden | None = None
    lineage: Lineage = Lineage()
    licence: str = "unspecified"
    environment: dict[str, str] = {}
    files: dict[str, FileEntry] = {}


def encode_manifest(manifest: Struct) -> bytes:
    """Canonical JSON: sorted keys, so that the same content has the same digest."""
    return msgspec.json.encode(manifest, order="sorted")


def manifest_digest(manifest: Struct) -> str:
    """Hex sha256 of the canonical JSON."""
    return hashlib.sha256(encode_manifest(manifest)).hexdigest()
