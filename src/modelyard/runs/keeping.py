"""Packages of models that are kept as they came: no engine opens them yet, and the manifest says so."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from modelyard import packages
from modelyard.errors import ModelyardError, NotAllowedFormat
from modelyard.files import link_or_copy
from modelyard.trust.inspection.contract import Inspection
from modelyard.types.package import FileEntry, Lineage, Manifest, NetRef
from modelyard.types.tensor import Signature, TensorSpec
from modelyard.version import __version__

_TEXT: Final = Signature(
    inputs=(TensorSpec(name="text", datatype="BYTES", shape=(-1,)),),
    outputs=(TensorSpec(name="text", datatype="BYTES", shape=(-1,)),),
)
_NOTHING: Final = Signature(inputs=(), outputs=())
_GENERATES: Final = (
    "large language models are served by engines that come with a later version: this one is stored and exported"
    " as it is, and cannot be deployed yet"
)
_CONVERTED: Final = ("text-classification", "feature-extraction", "fill-mask")
"""Tasks of Hugging Face folders that there is a conversion for."""


def at_once(found: Inspection) -> bool:
    """Whether there is nothing to convert it to: no time is spent on a copy of it then."""
    if found.format == "safetensors":
        return not found.facts.get("architectures") or found.task not in _CONVERTED
    return found.format == "gguf"


def refusal_of(found: Inspection, error: ModelyardError | None) -> str:
    """Why a version is not deployed, with what the conversion said where there was one."""
    if isinstance(error, NotAllowedFormat):
        return error.message[:500]
    if found.format == "gguf" or found.task == "text-generation":
        return _GENERATES
    if found.format == "safetensors" and not found.facts.get("architectures"):
        return "weights alone do not say what network they are of; import the folder with its config.json"
    said = f" ({error.message[:400]})" if error is not None else ""
    name = _architecture(found.facts)
    return (
        f"no engine here opens {name}, and it could not be converted{said}; export it to ONNX and import that"
    )


@dataclass(frozen=True, kw_only=True)
class Said:
    """What the manifest says besides the files. `known` are digests of files (by their name in the package) that
    were hashed when they came."""

    task: str
    licence: str
    refusal: str
    lineage: Lineage
    known: Mapping[str, FileEntry] = field(default_factory=dict)


def keep(source: Path, found: Inspection, out: Path, said: Said) -> Manifest:
    """Write a package of the files as they are: links, where the file system allows, not copies. `source` holds
    inspected files alone."""
    out.mkdir(parents=True)
    files = [source] if source.is_file() else sorted(p for p in source.rglob("*") if p.is_file())
    names = {p: p.name if source.is_file() else p.relative_to(source).as_posix() for p in files}
    for path, name in names.items():
        target = out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        link_or_copy(path, target)
    manifest = Manifest(
        task=said.task,
        signature=_TEXT if said.task == "text-generation" else _NOTHING,
        tensors=_NOTHING,
        formats={found.format: _entry(list(names.values()))},
        net=NetRef(name=_architecture(found.facts), framework=found.format),
        lineage=said.lineage,
        licence=said.licence,
        environment={"python": platform.python_version(), "modelyard": __version__},
        refusal=said.refusal,
        notes=(found.why, *found.notes),
    )
    return packages.write(out, manifest, known=said.known)


def _entry(names: list[str]) -> str:
    """The file that an engine would be given: the configuration of a folder, or the file itself."""
    return "config.json" if "config.json" in names else names[0]


def _architecture(facts: dict[str, Any]) -> str:
    named = facts.get("architectures") or [
        facts.get("general.architecture") or facts.get("model_type") or "unknown"
    ]
    return str(named[0])[:100]
