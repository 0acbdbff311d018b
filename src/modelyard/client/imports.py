"""Models that are brought, and bundles."""

import json
import re
import zipfile
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from modelyard.client.folder_zip import files_of
from modelyard.client.hub import PREFIX, read_source
from modelyard.client.runs import Run
from modelyard.client.upload import IN_PARTS, Progress, upload
from modelyard.errors import InvalidInput

if TYPE_CHECKING:
    from modelyard.client.client import Client

Source = str | PathLike[str]
BUNDLE_SUFFIX: Final = ".yard.zip"
_FEW: Final = 100  # files of a folder
_BUNDLE_NAME: Final = "yard-bundle.json"


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """What you say of a model that you bring; what is None is inferred from its files.

    task       what it is for, as "image-classification"
    labels     its classes, in the order of its answers
    scale      images: pixels 0..255 are divided by it before the model sees them
    mean, std  images: subtracted from pixels 0..255 and divided by
    layout     images: NHWC, NCHW, NHW or flat
    columns    tables: what a matrix's columns are called, in order
    answers    what its output is: probabilities, logits, probability, logit, label or value
    engine     language models: llama_cpp, openvino, transformers or vllm; measured on the platform's machine
               otherwise
    launch     of vllm: how it is started, as {"tensor_parallel": 8}
    licence    as "apache-2.0"
    """

    task: str | None = None
    labels: tuple[str, ...] | None = None
    scale: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    layout: str | None = None
    columns: tuple[str, ...] | None = None
    answers: str | None = None
    engine: str | None = None
    launch: dict[str, Any] | None = None
    licence: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Without what is None."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in self.__dict__.items() if v is not None}


def start_import(client: "Client", source: Source, name: str | None, format: str | None, options: ImportOptions,
                 progress: Progress) -> Run:  # fmt: skip
    """Upload what lies here, or name what lies on the hub, and queue the import."""
    body: dict[str, Any] = {"name": name or name_of(source), "format": format, "options": options.to_dict()}
    if isinstance(source, str) and source.startswith(PREFIX):
        body["hub"], body["revision"] = read_source(source)
    else:
        body |= _sent(client, Path(source), progress)
    return Run(client.transport.post("/api/v1/models/imports", body), client)


def _sent(client: "Client", source: Path, progress: Progress) -> dict[str, list[str]]:
    """A folder of a few large files goes file by file: the platform need not unpack it then. Empty files are left
    out there."""
    files = [p for p in files_of(source) if p.stat().st_size] if source.is_dir() else []
    if not 0 < len(files) <= _FEW or sum(p.stat().st_size for p in files) < IN_PARTS:
        return {"uploads": [upload(client.transport, source, progress)]}
    return {
        "uploads": [upload(client.transport, path, progress) for path in files],
        "paths": [path.relative_to(source).as_posix() for path in files],
    }


def name_of(source: Source) -> str:
    """A model's name from where it comes from: "hf:org/Name" and "path/Name.onnx" are "name"; a bundle's is
    its own."""
    if isinstance(source, str) and source.startswith(PREFIX):
        hub, _ = read_source(source)
        return _plain(hub.split("/")[1])
    path = Path(source)
    if path.name.lower().endswith(BUNDLE_SUFFIX) and path.is_file():
        return _bundled_name(path)
    stem = path.resolve().name
    for suffix in (".tar.gz", ".tgz", *([path.suffix] if path.suffix and path.is_file() else [])):
        stem = stem.removesuffix(suffix)
    return _plain(stem)


def _bundled_name(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive, archive.open(_BUNDLE_NAME) as file:
            return str(json.loads(file.read(32 << 20))["model"])
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, TypeError):
        raise InvalidInput("this is no bundle that yard models export wrote", came=str(path)) from None


def _plain(text: str) -> str:
    name = re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-._")[:63]
    if not name:
        raise InvalidInput("say what the model is called", came=text, allowed="--name NAME")
    return name
