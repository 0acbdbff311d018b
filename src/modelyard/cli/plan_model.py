"""Which shape `yard plan` is asked about: a published one, a file's, a model's of the platform, or numbers."""

from pathlib import Path
from typing import Any

from msgspec import Struct

from modelyard.cli.platform import client
from modelyard.client.models import split_reference
from modelyard.client.transport import at
from modelyard.errors import InvalidInput, NotFound, Unavailable, UnknownName
from modelyard.planning.configs import shape_of_config, shape_of_path
from modelyard.planning.shapes import KNOWN, Shape

_NEEDED = ("params", "layers", "hidden", "heads")
_CONFIG = "config.json"
_WEIGHTS = (".safetensors", "openvino_model.bin")


class Sizes(Struct, frozen=True, kw_only=True):
    """A shape as numbers; None: not said."""

    params: float | None = None
    active: float | None = None
    layers: int | None = None
    hidden: int | None = None
    heads: int | None = None
    kv_heads: int | None = None
    head_dim: int | None = None
    vocabulary: int | None = None
    experts: int | None = None
    experts_used: int | None = None

    @property
    def said(self) -> list[str]:
        return [name for name in self.__struct_fields__ if getattr(self, name) is not None]


def find_shape(model: str | None, sizes: Sizes) -> Shape:
    """Raises InvalidInput, NotFound, and what reading a file raises."""
    if model is None:
        return _given(sizes)
    if sizes.said:
        raise InvalidInput("a model has its own shape", came=_flags(sizes.said), allowed="MODEL, or numbers")
    if (known := KNOWN.get(model.lower())) is not None:
        return known
    path = Path(model)
    if path.exists():
        return shape_of_path(path)
    if path.suffix in (".json", ".gguf") or "/" in model:
        raise NotFound("no such file", came=path.name)
    return _of_platform(model)


def _given(sizes: Sizes) -> Shape:
    """Of experts: parameters P = s + e, of which a token uses s + e k / E."""
    params, layers, hidden, heads = sizes.params, sizes.layers, sizes.hidden, sizes.heads
    if params is None or layers is None or hidden is None or heads is None:
        missing = [name for name in _NEEDED if getattr(sizes, name) is None]
        raise InvalidInput("name a model, or give its numbers", came=f"without {_flags(missing)}",
                           allowed=f"a model, or {_flags(_NEEDED)}")  # fmt: skip
    if heads < 1:
        raise InvalidInput("a model has no such heads", came=heads, allowed="1 or more")
    return Shape(
        name=f"{params / 1e9:g}B parameters",
        parameters=params,
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=heads if sizes.kv_heads is None else sizes.kv_heads,
        head_dim=max(hidden // heads, 1) if sizes.head_dim is None else sizes.head_dim,
        vocabulary=128_000 if sizes.vocabulary is None else sizes.vocabulary,
        inner=4 * hidden,
        expert_parameters=_in_experts(sizes, params),
        experts=sizes.experts or 0,
        experts_used=sizes.experts_used or 0,
        source="numbers that were given; the feed-forward part is taken to be 4 hidden widths",
    )


def _in_experts(sizes: Sizes, params: float) -> float:
    if sizes.active is None and not sizes.experts and not sizes.experts_used:
        return 0.0
    if sizes.active is None or not sizes.experts or not sizes.experts_used:
        raise InvalidInput("a mixture of experts has three numbers", came=_flags(sizes.said),
                           allowed="--active, --experts and --experts-used")  # fmt: skip
    left = 1 - sizes.experts_used / sizes.experts
    if not 0 < sizes.active <= params or left <= 0:
        raise InvalidInput("a token cannot use so many parameters of it", came=f"{sizes.active:g}",
                           allowed=f"more than 0, at most {params:g}, and fewer experts than all")  # fmt: skip
    return (params - sizes.active) / left


def _of_platform(reference: str) -> Shape:
    """By the config.json of its package. Where nothing answers, the published shapes are what was meant."""
    try:
        version = client().models.version(reference)
    except (Unavailable, NotFound) as error:
        unknown = UnknownName("model", reference, KNOWN)
        unknown.add_note(f"the platform: {error.message}")
        raise unknown from error
    files: dict[str, Any] = version["manifest"]["files"]
    config = next((name for name in sorted(files) if name.rpartition("/")[2] == _CONFIG), None)
    name, number = split_reference(reference)[0], version["version"]
    if config is None:
        raise InvalidInput("its package has no config.json, so its shape is not known", came=f"{name}:{number}",
                           allowed="a package with config.json, a GGUF file, or --params and so on")  # fmt: skip
    text = client().transport.file(at("models", name, "versions", number, "files", *config.split("/")))
    beside = config.removesuffix(_CONFIG)
    weights = sum(f["size"] for n, f in files.items() if n.startswith(beside) and n.endswith(_WEIGHTS))
    return shape_of_config(text, f"{name}:{number}", float(weights) or None)


def _flags(names: Any) -> str:
    return ", ".join("--" + name.replace("_", "-") for name in names)
