"""A stored file as an answer."""

import mimetypes

from fastapi.responses import FileResponse

from modelyard.control.services.files import StoredFile

# A report is a page that a run wrote: it may show pictures and nothing else, whoever opens it.
_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:"


def answer(file: StoredFile, *, attached: bool = False) -> FileResponse:
    """The bytes, with their digest as the entity's tag; they never change. `attached`: a file that may become
    another one, and that a browser saves."""
    kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    headers = {
        "etag": f'"{file.entry.sha256}"',
        "content-security-policy": _POLICY,
        "cache-control": "private, max-age=31536000, immutable",
    }
    if attached:
        headers["cache-control"] = "no-store"
        return FileResponse(file.path, media_type=kind, headers=headers, filename=file.name)
    return FileResponse(file.path, media_type=kind, headers=headers)
