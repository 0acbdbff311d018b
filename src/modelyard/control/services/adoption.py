"""From what a run left in its folder to versions and reports: first every byte, then one transaction."""

import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from sqlalchemy.orm import Session

from modelyard import packages
from modelyard.control.platform import Platform
from modelyard.control.services import artifacts, datasets, documents, models, reports
from modelyard.control.services.datasets import FoundDataset
from modelyard.control.services.documents import FoundDocuments
from modelyard.control.services.names import check_name
from modelyard.control.services.reports import FoundReport
from modelyard.errors import Corrupt, InvalidInput, NotFound
from modelyard.store.registry import ModelVersion
from modelyard.store.work import Run
from modelyard.types.dataset import DATASET_MANIFEST_NAME, DatasetManifest
from modelyard.types.package import MANIFEST_NAME, FileEntry, Manifest
from modelyard.types.report import Report
from modelyard.types.run import RunOutcome

REPORT_NAME: Final = "report.json"
_KINDS: Final = frozenset({"dataset", "package", "report", "artifacts", "reports", "documents"})
_MOST_FILES: Final = 10_000
T = TypeVar("T", bound=msgspec.Struct)


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a run made, verified; all files of it are blobs already."""

    dataset: FoundDataset | None = None
    package: Manifest | None = None
    report: FoundReport | None = None
    reports: tuple[FoundReport, ...] = ()
    documents: FoundDocuments | None = None
    models: Mapping[str, Manifest] = field(default_factory=dict)
    artifacts: Mapping[str, FileEntry] = field(default_factory=dict)


def gather(platform: Platform, outputs: Path, outcome: RunOutcome) -> Found:
    """Bring a run's outputs into the blobs. Doing it again after a crash does no harm.

    Raises Corrupt for a file that does not match its manifest, InvalidInput and NotFound for what is no
    output.
    """
    unknown = outcome.outputs.keys() - _KINDS
    if unknown:
        raise InvalidInput("outputs of a run", came=sorted(unknown), allowed=sorted(_KINDS))
    folders = {kind: _inside(outputs, name) for kind, name in outcome.outputs.items()}
    models = {check_name("model", name): _below(outputs, path) for name, path in outcome.models.items()}
    return Found(
        dataset=_gather_dataset(platform, folders["dataset"]) if "dataset" in folders else None,
        package=_gather_package(platform, folders["package"]) if "package" in folders else None,
        report=_gather_report(platform, folders["report"]) if "report" in folders else None,
        reports=_gather_reports(platform, folders["reports"]) if "reports" in folders else (),
        documents=documents.read(folders["documents"]) if "documents" in folders else None,
        models={name: _gather_package(platform, folder) for name, folder in models.items()},
        artifacts=_gather_artifacts(platform, folders["artifacts"]) if "artifacts" in folders else {},
    )


def publish(session: Session, run: Run, found: Found, now: float) -> dict[str, Any]:
    """Make versions and reports of what was gathered, in the caller's transaction; what a run's view shows
    of it."""
    made: dict[str, Any] = {}
    if found.dataset is not None:
        name = run.publish["dataset"]
        row = datasets.publish(session, run, name, found.dataset, now)
        made["dataset"] = {
            "name": name,
            "version": row.number,
            "digest": row.digest,
            "new": row.run_id == run.id,
        }
    version = session.get(ModelVersion, run.publish["version"]) if "version" in run.publish else None
    if found.package is not None:
        name = run.publish["model"]
        version = models.publish(session, run, name, found.package, now)
        version.summary = run.summary
        made["model"] = {"name": name, "version": version.number, "digest": version.digest}
    if found.report is not None:
        if version is None:
            raise NotFound("the version that was evaluated is gone")
        made["report"] = {"id": reports.publish(session, run, version, found.report, now).id}
    if version is not None and (found.reports or found.documents is not None):
        _publish_beside(session, run, version, found, now)
    if found.models:
        made["models"] = [_publish_model(session, run, *item, now) for item in found.models.items()]
    if found.artifacts:
        artifacts.publish(session, run, found.artifacts, now)
        made["artifacts"] = len(found.artifacts)
    return made


def _publish_beside(session: Session, run: Run, version: ModelVersion, found: Found, now: float) -> None:
    """What a bundle holds besides the package; a version that was there already keeps its own."""
    if found.reports and not reports.reports_of(session, version.id):
        for report in found.reports:
            reports.publish(session, run, version, report, now)
    if found.documents is not None:
        documents.publish(session, version, found.documents, now)


def _publish_model(session: Session, run: Run, name: str, manifest: Manifest, now: float) -> dict[str, Any]:
    version = models.publish(session, run, name, manifest, now)
    version.summary = run.summary
    return {"name": name, "version": version.number, "digest": version.digest}


def _gather_artifacts(platform: Platform, folder: Path) -> dict[str, FileEntry]:
    return {name: platform.blobs.put_file(path) for name, path in _plain_files(folder)}


def _gather_dataset(platform: Platform, folder: Path) -> FoundDataset:
    present = dict(_plain_files(folder))
    manifest = _read(present, DATASET_MANIFEST_NAME, DatasetManifest)
    for name, entry in manifest.files.items():
        _put(platform, present, name, entry)
    beside = sorted(present.keys() - manifest.files.keys())
    return FoundDataset(manifest=manifest, beside={n: platform.blobs.put_file(present[n]) for n in beside})


def _gather_package(platform: Platform, folder: Path) -> Manifest:
    manifest = packages.read(folder, verify=False)  # digests are checked while the files are brought in
    present = dict(_plain_files(folder))
    for name, entry in manifest.files.items():
        _put(platform, present, name, entry)
    platform.blobs.put_file(present[MANIFEST_NAME])
    return manifest


def _gather_report(platform: Platform, folder: Path) -> FoundReport:
    present = dict(_plain_files(folder))
    report = _read(present, REPORT_NAME, Report)
    return FoundReport(
        report=report, files={n: platform.blobs.put_file(p) for n, p in sorted(present.items())}
    )


def _gather_reports(platform: Platform, folder: Path) -> tuple[FoundReport, ...]:
    """A folder each, in the order of their names, which are numbers."""
    folders = sorted(
        (p for p in folder.iterdir() if p.is_dir() and not p.is_symlink()), key=lambda p: p.name.zfill(8)
    )
    return tuple(_gather_report(platform, path) for path in folders)


def _put(platform: Platform, present: dict[str, Path], name: str, entry: FileEntry) -> None:
    if name not in present:
        raise Corrupt(name, expected=entry.sha256, found="of no file")
    platform.blobs.put_file(present[name], name=name, expected=entry)


def _read(present: dict[str, Path], name: str, kind: type[T]) -> T:
    if name not in present:
        raise NotFound(f"the output has no {name}")
    try:
        return msgspec.json.decode(present[name].read_bytes(), type=kind)
    except msgspec.MsgspecError as error:
        raise InvalidInput(f"{name} is not what it should be: {error}") from None


def _inside(outputs: Path, name: str) -> Path:
    """A folder below outputs/ that is neither a link nor elsewhere."""
    folder = outputs / name
    if "/" in name or name in ("", ".", "..") or folder.is_symlink() or not folder.is_dir():
        raise InvalidInput("the outcome names no folder of the outputs", came=name)
    return folder


def _below(outputs: Path, path: str) -> Path:
    """The same two levels down, as models/NAME."""
    first, _, second = path.partition("/")
    return _inside(_inside(outputs, first), second)


def _plain_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Every file below `folder` by its name there. Raises InvalidInput for links and devices."""
    for count, path in enumerate(sorted(folder.rglob("*"))):
        mode = path.lstat().st_mode
        name = path.relative_to(folder).as_posix()
        if count >= _MOST_FILES:
            raise InvalidInput("an output has too many files", allowed=_MOST_FILES)
        if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
            raise InvalidInput("an output is no plain file", came=name)
        if stat.S_ISREG(mode):
            yield name, path
