"""Taking over a bundle that another platform exported: every file against its digest, then as it was."""

import logging
from pathlib import Path
from typing import Any

from modelyard import packages
from modelyard.errors import Corrupt
from modelyard.files import sha256_file
from modelyard.packages import bundle
from modelyard.runs.context import RunContext
from modelyard.trust.inspection.apart import inspect_sandboxed
from modelyard.types.package import Manifest
from modelyard.types.run import RunOutcome

_log = logging.getLogger(__name__)
_WHOLE = ("saved_model.pb", "config.json", "model.bin")
"""Entries that stand for the folder that they lie in."""
_SETTINGS = ("vllm",)
"""Formats whose entry says how to start an engine: there is no model in it, and the engine checks its values."""
_GRAPHS = ("onnx-decoder",)
"""Formats whose entry names ONNX graphs beside it, and no files of other names."""
_MANIFEST_BYTES = 32 << 20


def take(context: RunContext, folder: Path) -> RunOutcome:
    """Outputs "package", "reports" and "documents" of an unpacked bundle; the version keeps its digest.

    Raises Corrupt for a file that is not what the bundle says, is missing or is one too many.
    """
    manifest = bundle.decode(_bytes(folder / bundle.BUNDLE_NAME))
    _check_files(context, folder, manifest)
    package = packages.read(folder / bundle.PACKAGE, verify=False, expected_digest=manifest.digest)
    _check_package(package, manifest)
    inspect_package(folder / bundle.PACKAGE, package)
    outputs = {"package": bundle.PACKAGE}
    (folder / bundle.PACKAGE).rename(context.outputs / bundle.PACKAGE)
    if (folder / bundle.REPORTS).is_dir():
        (folder / bundle.REPORTS).rename(context.outputs / bundle.REPORTS)
        outputs["reports"] = bundle.REPORTS
    documents = context.outputs / "documents"
    documents.mkdir()
    for name in (bundle.CARD, bundle.HISTORY):
        if (folder / name).is_file():
            (folder / name).rename(documents / name)
            outputs["documents"] = "documents"
    _log.info("bundle of %s:%d, version %s", manifest.model, manifest.version, manifest.digest)
    return RunOutcome(state="succeeded", outputs=outputs, summary=_summary(manifest, package))


def inspect_package(folder: Path, manifest: Manifest) -> None:
    """Inspect what an engine would open, and weights. Raises what the inspection does."""
    for format, entry in manifest.formats.items():
        path = folder / entry
        if format in _GRAPHS:
            for graph in sorted(path.parent.glob("*.onnx")):
                inspect_sandboxed(graph, graph.relative_to(folder).as_posix())
        elif format not in _SETTINGS:
            inspect_sandboxed(path.parent if path.name in _WHOLE else path, entry)
    for name in manifest.files:
        if name.endswith(".safetensors") and name not in manifest.formats.values():
            inspect_sandboxed(folder / name, name)


def _bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_MANIFEST_BYTES)


def _check_files(context: RunContext, folder: Path, manifest: bundle.BundleManifest) -> None:
    present = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    present.pop(bundle.BUNDLE_NAME)
    for name in sorted(present.keys() ^ manifest.files.keys()):
        raise Corrupt.because(
            name, "is missing in the bundle" if name not in present else "is not listed in the bundle"
        )
    total = sum(e.size for e in manifest.files.values()) or 1
    done = 0
    for name, entry in sorted(manifest.files.items()):
        found = sha256_file(present[name])
        if found != entry.sha256 or present[name].stat().st_size != entry.size:
            raise Corrupt(name, expected=entry.sha256, found=found)
        done += entry.size
        context.reporter.progress(1 + done / total, 3, "checking the bundle")
        context.reporter.check()


def _check_package(package: Manifest, manifest: bundle.BundleManifest) -> None:
    """The package's own list against the bundle's, whose digests were just checked."""
    for name, entry in package.files.items():
        listed = manifest.files.get(f"{bundle.PACKAGE}/{name}")
        if listed != entry:
            raise Corrupt(name, expected=entry.sha256, found=listed.sha256 if listed else "of no file")


def _summary(manifest: bundle.BundleManifest, package: Manifest) -> dict[str, Any]:
    return {
        **manifest.summary,
        "format": "bundle",
        "served_as": sorted(package.formats),
        "task": package.task,
        "why": [
            f"a bundle of {manifest.model}:{manifest.version}, by {manifest.made_by or 'an unknown platform'}"
        ],
        "bundle": {"model": manifest.model, "version": manifest.version, "digest": manifest.digest},
    }
