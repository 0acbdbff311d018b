"""Keys of attempts that call the gateway: made of the home's secret, so that none is kept, and good only while
the attempt is the run's."""

import hmac

from sqlalchemy import select
from sqlalchemy.orm import Session

from modelyard.control.platform import Platform
from modelyard.control.services.keys import hash_of
from modelyard.store.openai import Batch
from modelyard.store.tables import Key
from modelyard.store.usage import used_on
from modelyard.store.work import Run
from modelyard.types.route import KeyGrant
from modelyard.types.run import BATCH
from modelyard.types.usage import day_of


def attempt_key(platform: Platform, run_id: str, attempt: int) -> str:
    """The same at each call; nobody without the secret can make it up."""
    told = f"attempt:{run_id}:{attempt}".encode()
    return f"yard_{hmac.digest(platform.secret, told, 'sha256').hex()}"


def grants(platform: Platform, session: Session) -> dict[str, KeyGrant]:
    """Hash -> grant of the batches that are working now. They predict, after everyone who waits, and as the key
    that each was made with: its budget is used, though it may be revoked by now."""
    day = day_of(platform.now())
    working = Run.state == "running", Run.kind == BATCH
    query = select(Run, Key).join(Batch, Batch.run_id == Run.id).join(Key, Key.id == Batch.key_id)
    found = session.execute(query.where(*working).order_by(Run.id)).all()
    used = used_on(session, day, {key.id for _, key in found})
    return {
        hash_of(platform, attempt_key(platform, run.id, run.attempt)): KeyGrant(
            id=key.id,
            tenant=run.tenant,
            scopes=("predict",),
            priority="batch",
            budget=key.budget,
            used=used.get(key.id, 0),
            day=day,
        )
        for run, key in found
    }
