"""Files on OpenAI's wire."""

from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from modelyard.control.openai import FILES
from modelyard.control.openai.errors import BadParameter, NoSuch
from modelyard.control.openai.form import Form
from modelyard.control.openai.pages import OrderedPage, fetch, place_of, size_of
from modelyard.control.openai.wire import Asked, Caller, Operation, is_id, listed, seconds
from modelyard.control.platform import Platform
from modelyard.control.services import api_files
from modelyard.control.services.api_files import PURPOSES, NewFile
from modelyard.control.services.files import StoredFile
from modelyard.runs.json_lines import BadLine
from modelyard.store.openai import ApiFile
from modelyard.types.package import FileEntry

ID: Final = "file-"
FIELD: Final = "file"
_MOST_LISTED: Final = 10_000
_ANCHOR, _SECONDS = "expires_after[anchor]", "expires_after[seconds]"
_FIELDS: Final = ("purpose", _ANCHOR, _SECONDS)
SHORTEST, LONGEST = 3600, 2_592_000
"""Seconds that a file may be kept, where it is to go."""


class One(Asked, frozen=True, kw_only=True):
    file: str


class List(OrderedPage, frozen=True, kw_only=True):
    purpose: str | None = None


def form(platform: Platform, tenant: str, boundary: bytes, size: int | None) -> Form:
    """Where a new file's form goes. `size` is what the client says of the whole body."""

    def begin(filename: str, fields: dict[str, str]) -> Any:
        if "purpose" in fields:
            _purpose(fields)  # said before the file: refused before it
        return api_files.begin(platform, tenant, filename, size)

    return Form(boundary, FIELD, begin)


def create(platform: Platform, tenant: str, form: Form) -> dict[str, Any]:
    """Keep what came. Raises BadParameter, and what `api_files.finish` does."""
    form.finish()
    for name in form.fields:
        if name not in _FIELDS:
            raise BadParameter(name, "unknown parameter", came=name, allowed=(FIELD, *_FIELDS))
    if form.file is None or form.filename is None:
        raise BadParameter(FIELD, "the form holds no file", reason="missing_required_parameter")
    purpose, expires_in = _purpose(form.fields), _expires_in(form.fields)
    new = NewFile(filename=form.filename, purpose=purpose, expires_in=expires_in)
    try:
        return view(api_files.finish(platform, tenant, new, form.file))
    except BadLine as error:
        raise BadParameter(FIELD, f"the file cannot be used: {error.message}", reason=error.reason) from None


def get(session: Session, tenant: str, file_id: str, now: float, param: str = "file_id") -> ApiFile:
    """Raises NoSuch."""
    row = api_files.find(session, tenant, file_id, now) if is_id(ID, file_id) else None
    if row is None:
        raise NoSuch("File", file_id, param)
    return row


def open_file(platform: Platform, tenant: str, file_id: str) -> StoredFile:
    """Raises NoSuch."""
    with platform.database.read() as session:
        row = get(session, tenant, file_id, platform.now())
    if not platform.blobs.has(row.sha256):
        raise NoSuch("File", file_id, "file_id")
    entry = FileEntry(sha256=row.sha256, size=row.size)
    return StoredFile(name=row.filename, path=platform.blobs.path(row.sha256), entry=entry)


def view(row: ApiFile) -> dict[str, Any]:
    said = {
        "id": row.id,
        "object": "file",
        "bytes": row.size,
        "created_at": int(row.created_at),
        "filename": row.filename,
        "purpose": row.purpose,
        "status": "processed",
        "status_details": None,
    }
    return said if row.expires_at is None else {**said, "expires_at": seconds(row.expires_at)}


def _purpose(fields: dict[str, str]) -> str:
    purpose = fields.get("purpose")
    if purpose is None:
        raise BadParameter(
            "purpose", "purpose is missing", allowed=PURPOSES, reason="missing_required_parameter"
        )
    if purpose not in PURPOSES:
        raise BadParameter("purpose", "purpose", came=purpose, allowed=PURPOSES)
    return purpose


def _expires_in(fields: dict[str, str]) -> float | None:
    if _ANCHOR not in fields and _SECONDS not in fields:
        return None
    if fields.get(_ANCHOR) != "created_at":
        raise BadParameter("expires_after.anchor", "expires_after.anchor", came=fields.get(_ANCHOR),
                           allowed="created_at")  # fmt: skip
    text = fields.get(_SECONDS, "")
    if not (text.isascii() and text.isdigit() and len(text) < 10 and SHORTEST <= int(text) <= LONGEST):
        raise BadParameter("expires_after.seconds", "expires_after.seconds", came=text,
                           allowed=f"{SHORTEST} to {LONGEST}")  # fmt: skip
    return float(text)


def _list(platform: Platform, caller: Caller, asked: List) -> dict[str, Any]:
    limit, after = size_of(asked, _MOST_LISTED, _MOST_LISTED), place_of(asked, ID)
    query = select(ApiFile).where(ApiFile.tenant == caller.tenant)
    if asked.purpose is not None:
        query = query.where(ApiFile.purpose == asked.purpose.replace("\0", ""))
    query = query.where(ApiFile.expires_at.is_(None) | (ApiFile.expires_at > platform.now()))
    with platform.database.read() as session:
        rows, more = fetch(session, query, ApiFile.id, limit, after, ascending=asked.order == "asc")
    return listed([view(row) for row in rows], more)


def _show(platform: Platform, caller: Caller, asked: One) -> dict[str, Any]:
    with platform.database.read() as session:
        return view(get(session, caller.tenant, asked.file, platform.now()))


def _delete(platform: Platform, caller: Caller, asked: One) -> dict[str, Any]:
    with platform.database.write() as session:
        api_files.delete(session, get(session, caller.tenant, asked.file, platform.now()))
    return {"id": asked.file, "object": "file", "deleted": True}


OPERATIONS: Final = (
    Operation(method="GET", path=FILES, asked=List, answer=_list),
    Operation(method="GET", path=FILES + "/{file}", asked=One, answer=_show),
    Operation(method="DELETE", path=FILES + "/{file}", asked=One, answer=_delete),
)
