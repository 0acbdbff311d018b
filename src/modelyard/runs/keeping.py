"""Packages of models that are kept as they came: an engine opens the files themselves, or none does yet, and the
manifest says so."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from msgspec import UNSET, UnsetType

from modelyard import packages, tasks
from modelyard.errors import ModelyardError, NotAllowedFormat
from modelyard.files import link_or_copy
from modelyard.packages import generators
from modelyard.trust.inspection.contract import Inspection
from modelyard.types.generation import GENERATING
from modelyard.types.package import FileEntry, Lineage, Manifest, NetRef
from modelyard.types.tensor import Signature
from modelyard.version import __version__

_FOLDERS: Final = {"ctranslate2-whisper": "whisper/"}
"""Format whose files an engine opens as they are -> the folder of the package that they lie in."""
_NOTHING: Final = Signature(inputs=(), outputs=())
_PAIRS: Final = (
    "models that read one text and write another (encoder and decoder) have no engine here yet: this one is stored"
    " and exported as it is, and cannot be deployed"
)
_SPEECH: Final = (
    "speech is written down by CTranslate2; convert the folder where transformers and ctranslate2 are installed and"
    " import the result: ct2-transformers-converter --model FOLDER --output_dir WHISPER --quantization int8"
    " --copy_files tokenizer.json preprocessor_config.json"
)
_CONVERTED: Final = ("text-classification", "feature-extraction", "fill-mask")
"""Tasks of Hugging Face folders that there is a conversion for."""


def at_once(found: Inspection) -> bool:
    """Whether there is nothing to convert it to: no time is spent on a copy of it then."""
    if found.format == "safetensors":
        return not found.facts.get("architectures") or found.task not in _CONVERTED
    return found.format == "gguf" or found.format in _FOLDERS


def refusal_of(found: Inspection, error: ModelyardError | None) -> str | UnsetType:
    """Why a version is not deployed, with what the conversion said where there was one. Unset where it can be."""
    if found.format in _FOLDERS or generators.generates(found):
        return UNSET
    if isinstance(error, NotAllowedFormat):
        return error.message[:500]
    if found.facts.get("model_type") == "whisper":
        return _SPEECH
    if found.task == "text-generation":
        return _PAIRS
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
    refusal: str | UnsetType
    lineage: Lineage
    known: Mapping[str, FileEntry] = field(default_factory=dict)


def keep(source: Path, found: Inspection, out: Path, said: Said) -> Manifest:
    """Write a package of the files as they are: links, where the file system allows, not copies. `source` holds
    inspected files alone."""
    out.mkdir(parents=True)
    files = [source] if source.is_file() else sorted(p for p in source.rglob("*") if p.is_file())
    generates = generators.generates(found)
    below = generators.FOLDER if generates and source.is_dir() else _FOLDERS.get(found.format, "")
    if found.format == "gguf":
        below = ""
    names = {p: below + (p.name if source.is_file() else p.relative_to(source).as_posix()) for p in files}
    for path, name in names.items():
        target = out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        link_or_copy(path, target)
    manifest = Manifest(
        task=said.task,
        signature=_signature(said.task),
        tensors=_signature(said.task) if below or generates else _NOTHING,
        preprocessing=generators.describe(source, found, out) if generates else {},
        formats={
            generators.format_of(found) if generates else found.format: _entry([*names.values()], below)
        },
        net=NetRef(name=_architecture(found.facts), framework=found.format),
        lineage=said.lineage,
        licence=said.licence,
        environment={"python": platform.python_version(), "modelyard": __version__},
        refusal=said.refusal,
        notes=(found.why, *found.notes),
    )
    return packages.write(out, manifest, known={below + name: entry for name, entry in said.known.items()})


def _signature(task: str) -> Signature:
    return tasks.load(task).signature({}, ()) if task in GENERATING else _NOTHING


def _entry(names: list[str], below: str) -> str:
    """The file that an engine would be given: a folder's weights or configuration, or the file itself."""
    return next((n for n in (f"{below}model.bin", f"{below}config.json") if n in names), names[0])


def _architecture(facts: dict[str, Any]) -> str:
    named = facts.get("architectures") or [
        facts.get("general.architecture") or facts.get("model_type") or "unknown"
    ]
    return str(named[0])[:100]
