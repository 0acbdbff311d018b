"""Models that come from elsewhere: what a request for an import is held against before it is queued."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from sqlalchemy.orm import Session

from modelyard.control.platform import Platform
from modelyard.control.services import runs
from modelyard.control.services.idempotency import Once
from modelyard.control.services.names import check_name
from modelyard.control.services.plans import Plan, plan_import, upload_input
from modelyard.control.services.runs import RunView
from modelyard.control.services.uploads import entry_of, get_upload
from modelyard.errors import InvalidInput, UnknownName
from modelyard.trust.inspection.apart import inspect_sandboxed
from modelyard.trust.inspection.archives import Names
from modelyard.trust.inspection.source import FORMATS

_AT_ONE_TIME: Final = 2  # inspections; what waits is the caller's request
_LARGE_TAR: Final = 256 << 20  # it would take long to read twice: the run inspects it
_MOST: Final = 1000
_inspecting = threading.BoundedSemaphore(_AT_ONE_TIME)


@dataclass(frozen=True, kw_only=True)
class NewImport:
    """Of `uploads`, or of `hub` ("ORG/NAME" at `revision`). `options` are `conversion.Options`; `paths` says where
    in a folder each of the uploads lies."""

    name: str
    uploads: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    hub: str | None = None
    revision: str | None = None
    format: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


def submit(platform: Platform, tenant: str, asked: NewImport, once: Once | None = None) -> RunView:
    """Queue the run that makes the version.

    A single file is inspected now, so that what no run could use is refused at once. Raises what the inspection
    does, NotFound, InvalidInput and Conflict.
    """
    check_name("model", asked.name)
    if asked.format is not None and asked.format not in FORMATS:
        raise UnknownName("format", asked.format, FORMATS)
    if len(asked.uploads) > _MOST:
        raise InvalidInput(
            "too many uploads", came=len(asked.uploads), allowed=f"{_MOST}; pack them in a zip"
        )
    _check_paths(asked)
    if asked.hub is not None:
        from modelyard.runs.hub import split

        split(asked.hub)
    if len(asked.uploads) == 1 and not asked.paths:
        _inspect(platform, tenant, asked.uploads[0])
    return runs.submit_planned(
        platform, tenant, "import", lambda session: _plan(session, tenant, asked), once
    )


def _check_paths(asked: NewImport) -> None:
    """Raises InvalidInput for another number of paths than uploads, NotAllowedFormat for those that lead elsewhere
    or collide."""
    if asked.paths and len(asked.paths) != len(asked.uploads):
        raise InvalidInput(
            "paths", came=len(asked.paths), allowed=f"none, or one for each of {len(asked.uploads)} uploads"
        )
    names = Names("the folder")
    for path in asked.paths:
        names.add(path)


def _plan(session: Session, tenant: str, asked: NewImport) -> Plan:
    inputs = [upload_input(session, tenant, upload) for upload in asked.uploads]
    if asked.paths:
        inputs = [replace(i, name=path) for i, path in zip(inputs, asked.paths, strict=True)]
    options = {**asked.options, "hub": asked.hub, "revision": asked.revision, "format": asked.format}
    return plan_import(session, tenant, asked.name, inputs, options)


def _inspect(platform: Platform, tenant: str, upload_id: str) -> None:
    with platform.database.read() as session:
        upload = get_upload(session, tenant, upload_id)
    entry = entry_of(upload)
    if upload.filename.lower().endswith((".gz", ".tgz", ".tar")) and entry.size > _LARGE_TAR:
        return
    with _inspecting:
        inspect_sandboxed(platform.blobs.path(entry.sha256), upload.filename)
