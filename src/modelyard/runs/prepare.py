"""prepare: files, or a built-in name, into a data set version."""

from pathlib import Path
from typing import Any

from msgspec import Struct

from modelyard.datasets import IngestOptions, ingest
from modelyard.errors import InvalidInput
from modelyard.files import sha256_file
from modelyard.runs.context import RunContext
from modelyard.types.dataset import DATASET_MANIFEST_NAME, DatasetManifest
from modelyard.types.run import RunOutcome


class Params(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    name      of the data set that the version is for
    sources   names of files below inputs/sources/; none for a built-in name
    options   how they become a version
    """

    name: str
    sources: tuple[str, ...] = ()
    options: IngestOptions = IngestOptions()


def run(context: RunContext) -> RunOutcome:
    """Write outputs/dataset/. Raises what `datasets.ingest` does."""
    params = context.params(Params)
    folder = context.outputs / "dataset"
    manifest = ingest(_sources(context, params), params.options, folder, context.reporter)
    return RunOutcome(state="succeeded", outputs={"dataset": "dataset"}, summary=_summary(manifest, folder))


def _sources(context: RunContext, params: Params) -> list[Path]:
    if not params.sources:
        return []
    folder = context.input("sources")
    for name in params.sources:
        if name in ("", ".", "..") or "/" in name or not (folder / name).exists():
            raise InvalidInput(
                "there is no such source", came=name, allowed=sorted(p.name for p in folder.iterdir())
            )
    return [folder / name for name in params.sources]


def _summary(manifest: DatasetManifest, folder: Path) -> dict[str, Any]:
    return {
        "rows": manifest.rows,
        "columns": len(manifest.schema.columns),
        "split_rows": manifest.split_rows,
        "digest": sha256_file(folder / DATASET_MANIFEST_NAME),
    }
