"""What stands beside a version and is no part of its digest: its edited card, and the history that a bundle
brought."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy.orm import Session

from modelyard.errors import InvalidInput, TooLarge
from modelyard.packages import bundle
from modelyard.packages.card import CARD_BYTES, check_card
from modelyard.store.imports import VersionDocument
from modelyard.store.registry import ModelVersion

_HISTORY_BYTES = 8 << 20


@dataclass(frozen=True, kw_only=True)
class FoundDocuments:
    """What a run left in outputs/documents/."""

    card: str | None
    history: dict[str, Any] | None


def read(folder: Path) -> FoundDocuments:
    """Raises InvalidInput, TooLarge: the files are a stranger's."""
    card, history = _bytes(folder / bundle.CARD, CARD_BYTES), _bytes(folder / bundle.HISTORY, _HISTORY_BYTES)
    text = None if card is None else card.decode("utf-8", "replace")
    if text is not None:
        check_card(text)
    try:
        found = None if history is None else msgspec.json.decode(history, type=bundle.History)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"{bundle.HISTORY} is not what it should be", came=type(error).__name__) from None
    return FoundDocuments(card=text, history=None if found is None else msgspec.to_builtins(found))


def publish(session: Session, version: ModelVersion, found: FoundDocuments, now: float) -> None:
    """Keep what a bundle brought, where nothing is kept yet."""
    row = session.get(VersionDocument, version.id)
    if row is None:
        session.add(
            VersionDocument(
                tenant=version.tenant,
                version_id=version.id,
                card=found.card,
                history=found.history,
                updated_at=now,
            )
        )


def put_card(session: Session, version: ModelVersion, text: str | None, now: float) -> None:
    """Keep a card, or (None) go back to the one that the platform writes."""
    row = session.get(VersionDocument, version.id)
    if row is None:
        session.add(
            VersionDocument(
                tenant=version.tenant, version_id=version.id, card=text, history=None, updated_at=now
            )
        )
    else:
        row.card, row.updated_at = text, now


def of(session: Session, version: ModelVersion) -> FoundDocuments:
    row = session.get(VersionDocument, version.id)
    return FoundDocuments(card=row.card if row else None, history=row.history if row else None)


def _bytes(path: Path, limit: int) -> bytes | None:
    if path.is_symlink() or not path.is_file():
        return None
    if path.stat().st_size > limit:
        raise TooLarge(f"{path.name} of the bundle", allowed=f"{limit} bytes")
    return path.read_bytes()
