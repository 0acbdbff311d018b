"""The models that a script left: checked, inspected, and given the lineage that is true."""

from pathlib import Path
from typing import Final

import msgspec

from modelyard import environments, packages
from modelyard.errors import InvalidInput
from modelyard.files import write_atomic
from modelyard.runs.bundles import inspect_package
from modelyard.runs.context import RunContext
from modelyard.types.package import MANIFEST_NAME, Lineage, Manifest, encode_manifest
from modelyard.types.script import MODELS

REQUIREMENTS: Final = "requirements.txt"
"""Of a package whose engine needs an environment of its own."""
_MOST: Final = 100


def take_models(context: RunContext, requirements: str | None) -> dict[str, str]:
    """Name -> folder below outputs/, of every package that stands whole. `requirements` is the text that the script
    ran with, or None.

    Raises Corrupt, InvalidInput, NotAllowedFormat: a script may have written anything there. That there is no link
    was checked before.
    """
    folder = context.outputs / MODELS
    found = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    if len(found) > _MOST:
        raise InvalidInput("a run may log so many models", came=len(found), allowed=_MOST)
    for path in found:
        context.reporter.progress(0, 1, f"inspecting {path.name}")
        _take(context, path, requirements)
    return {path.name: f"{MODELS}/{path.name}" for path in found}


def _take(context: RunContext, folder: Path, requirements: str | None) -> None:
    manifest = packages.read(folder)
    inspect_package(folder, manifest)
    needed = requirements if "onnx" not in manifest.formats else None
    true = _true(context, manifest, needed)
    if needed is not None:  # with the text, it can be served by another platform too
        (folder / REQUIREMENTS).write_text(needed)
        packages.write(folder, true, known=manifest.files)
    elif true != manifest:
        write_atomic(folder / MANIFEST_NAME, encode_manifest(true))


def _true(context: RunContext, manifest: Manifest, needed: str | None) -> Manifest:
    """The manifest as this run can vouch for it: a script cannot claim another run, other data or environment."""
    data = {digest: name for name, digest in context.spec.inputs.items()}
    known = manifest.lineage.dataset_digest in data
    lineage = Lineage(
        run=context.spec.id,
        dataset=manifest.lineage.dataset if known else None,
        dataset_digest=manifest.lineage.dataset_digest if known else None,
    )
    wanted = environments.digest(needed) if needed is not None else msgspec.UNSET
    return msgspec.structs.replace(manifest, lineage=lineage, requirements=wanted)
