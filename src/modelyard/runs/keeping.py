"""Packages of models that are kept as they came: no engine opens them yet, and the manifest says so."""

import platform
from pathlib import Path
from typing import Any, Final

from modelyard import packages
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
_GGUF: Final = (
    "no engine of this platform opens GGUF yet: the version is stored, and can be exported; "
    "an ONNX export of the same model can be deployed"
)


def refusal_of(found: Inspection, reason: str | None) -> str:
    """Why a version of this format is not deployed, with what the conversion said where there was one."""
    if found.format == "gguf":
        return _GGUF
    said = f" ({reason})" if reason else ""
    return f"this model could not be converted to a format that an engine opens{said}; export it to ONNX and import that"


def keep(
    source: Path, found: Inspection, out: Path, *, lineage: Lineage, licence: str, task: str, reason: str | None = None,
    known: dict[str, FileEntry] | None = None,
) -> Manifest:  # fmt: skip
    """Write a package of the files as they are: links, where the file system allows, not copies.

    Args:
        source: the model's file or folder, of inspected files alone.
        known: digests of files (by their name in the package) that were hashed when they came.
    """
    out.mkdir(parents=True)
    files = [source] if source.is_file() else sorted(p for p in source.rglob("*") if p.is_file())
    names = {p: p.name if source.is_file() else p.relative_to(source).as_posix() for p in files}
    for path, name in names.items():
        target = out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        link_or_copy(path, target)
    manifest = Manifest(
        task=task,
        signature=_TEXT if task == "text-generation" else _NOTHING,
        tensors=_NOTHING,
        formats={found.format: _entry(list(names.values()))},
        net=NetRef(name=_architecture(found.facts), framework=found.format),
        lineage=lineage,
        licence=licence,
        environment={"python": platform.python_version(), "modelyard": __version__},
        refusal=refusal_of(found, reason),
        notes=(found.why, *found.notes),
    )
    return packages.write(out, manifest, known=known)


def _entry(names: list[str]) -> str:
    """The file that an engine would be given: the configuration of a folder, or the file itself."""
    return "config.json" if "config.json" in names else names[0]


def _architecture(facts: dict[str, Any]) -> str:
    named = facts.get("architectures") or [
        facts.get("general.architecture") or facts.get("model_type") or "unknown"
    ]
    return str(named[0])[:100]
