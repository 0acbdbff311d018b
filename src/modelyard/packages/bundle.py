"""A bundle: one zip with all that another platform needs of a version, and the digest of everything in it.

    yard-bundle.json    BundleManifest
    package/            model.json and its files, as the version has them
    reports/N/          the folders of its reports, the oldest first
    card.md             the model card
    history.json        History: where the version comes from
    passport.json       what its reports found, in short

Members are stored, not deflated, in the order of their names and without dates: the same version gives the same
bytes.
"""

from typing import Any, Final

import msgspec
from msgspec import Struct

from modelyard.errors import Corrupt, InvalidInput
from modelyard.types.package import FileEntry

BUNDLE_NAME: Final = "yard-bundle.json"
SUFFIX: Final = ".yard.zip"
PACKAGE: Final = "package"
REPORTS: Final = "reports"
CARD: Final = "card.md"
HISTORY: Final = "history.json"
PASSPORT: Final = "passport.json"
FORMAT_VERSIONS: Final = (1,)


class BundleManifest(Struct, frozen=True, kw_only=True):
    """`digest` is the version's; `files` every member but this one."""

    format_version: int = 1
    model: str
    task: str
    digest: str
    version: int
    summary: dict[str, Any] = {}
    files: dict[str, FileEntry] = {}
    made_by: str = ""


class History(Struct, frozen=True, kw_only=True):
    """Where a version comes from, as the platform that exported it knew.

    run      its id, kind, parameters (a recipe) and figures
    dataset  its name, digest and manifest: the data itself is not in a bundle
    parents  manifests of the versions that it was made from, the nearest first
    before   the history that came with it, where it was imported itself
    """

    run: dict[str, Any] | None = None
    dataset: dict[str, Any] | None = None
    parents: tuple[dict[str, Any], ...] = ()
    before: dict[str, Any] | None = None


def encode(value: Struct) -> bytes:
    return msgspec.json.encode(value, order="sorted")


def decode(data: bytes) -> BundleManifest:
    """Raises InvalidInput for another format, Corrupt for what is no manifest."""
    try:
        found = msgspec.json.decode(data, type=BundleManifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Corrupt.because(BUNDLE_NAME, f"is not a bundle's ({type(error).__name__})") from None
    if found.format_version not in FORMAT_VERSIONS:
        raise InvalidInput(
            "unknown bundle format version", came=found.format_version, allowed=FORMAT_VERSIONS
        )
    return found
