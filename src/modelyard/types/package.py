"""The package: `model.json` and files named by digest. The version's digest is the manifest's."""

import hashlib
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from modelyard.types.tensor import Signature

MANIFEST_NAME: Final = "model.json"
NAME: Final = r"[a-z0-9][a-z0-9._-]{0,62}"
"""What a model, a data set or a deployment may be called (a regular expression of the whole name)."""
NAME_RULE: Final = "a-z, 0-9, '.', '_', '-', at most 63, beginning with a letter or a digit"


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
    an engine's answer may be from it: |answer - golden| <= atol + rtol * |golden|.

    `sets` counts the lengths at which a model with free axes was asked: the second one's tensors are named
    `1.inputs.NAME`, and so on, each with `rows` rows. See packages/golden.py for tensors of texts.
    """

    file: str
    rows: int
    rtol: float
    atol: float
    sets: int | UnsetType = UNSET


class Replies(Struct, frozen=True, kw_only=True):
    """Of models that generate: a JSON file with prompts and how the model went on, token by token with the
    likeliest (see packages/replies.py). An engine must begin with the same token, and tell a log probability of it
    that is at most `tolerance` away."""

    file: str
    tolerance: float


Layout = Literal["same", "NHWC", "NCHW", "NHW", "flat", "columns", "column"]


class InputAdapter(Struct, frozen=True, kw_only=True):
    """How one of the engine's tensors is made of the task's arrays (the inputs of `Manifest.signature`).

    name      the engine's tensor
    sources   the arrays that it is made of
    layout    "same": the array as it is. Of an image [rows, height, width, channels]: "NHWC", "NCHW", "NHW" (no
              channel axis), "flat" [rows, values]. Of a table's columns: "columns" puts them side by side
              [rows, columns], "column" is one as [rows, 1]
    mean, std subtracted, and divided by; one value, or one a channel, in the array's unit (pixels: 0 to 255)
    """

    name: str
    sources: tuple[str, ...]
    layout: Layout = "same"
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)


class OutputAdapter(Struct, frozen=True, kw_only=True):
    """How one of the task's outputs is made of one of the engine's.

    name        the task's output, as "probabilities"
    source      the engine's
    activation  "softmax" of logits; "sigmoid" of one logit, and "binary" of one probability: [rows, 2] of both
                classes; "label": the class that is answered has 1, the others 0; "flat": [rows]; "none"
    classes     for "label": what the engine answers for each of the package's labels, as text
    """

    name: str
    source: str
    activation: Literal["none", "softmax", "sigmoid", "binary", "label", "flat"] = "none"
    classes: tuple[str, ...] = ()


class Adapter(Struct, frozen=True, kw_only=True):
    """Between a task and a model that was brought, whose tensors are its own."""

    inputs: tuple[InputAdapter, ...]
    outputs: tuple[OutputAdapter, ...]


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

    Of models that were brought (`modelyard.conversion`):
    adapter         between the task's arrays and the model's own tensors, in the place of the task's transform
    requirements    digest of the environment that its engine needs (modelyard.environments)
    refusal         why this version cannot be deployed, with the way to one that can
    replies         golden inputs of a model that generates
    notes           what could not be converted, and what was inferred
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
    # Absent where unset, so that packages written before these existed stay canonical.
    adapter: Adapter | UnsetType = UNSET
    requirements: str | UnsetType = UNSET
    refusal: str | UnsetType = UNSET
    replies: Replies | UnsetType = UNSET
    notes: tuple[str, ...] | UnsetType = UNSET


def encode_manifest(manifest: Struct) -> bytes:
    """Canonical JSON: sorted keys, so that the same content has the same digest."""
    return msgspec.json.encode(manifest, order="sorted")


def manifest_digest(manifest: Struct) -> str:
    """Hex sha256 of the canonical JSON."""
    return hashlib.sha256(encode_manifest(manifest)).hexdigest()
