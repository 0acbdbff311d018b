"""Keys of attempts that call the gateway: made of the home's secret, so that none is kept, and good only while
the attempt is the run's."""

import hmac

from sqlalchemy import select
from sqlalchemy.orm import Session

from modelyard.control.platform import Platform
from modelyard.control.services.keys import hash_of
from modelyard.store.work import Run
from modelyard.types.route import KeyGrant
from modelyard.types.run import BATCH


def attempt_key(platform: Platform, run_id: str, attempt: int) -> str:
    """The same at each call; nobody without the secret can make it up."""
    told = f"attempt:{run_id}:{attempt}".encode()
    return f"yard_{hmac.digest(platform.secret, told, 'sha256').hex()}"


def grants(platform: Platform, session: Session) -> dict[str, KeyGrant]:
    """Hash -> grant of the batches that are working now: they predict, after everyone who waits."""
    working = session.scalars(select(Run).where(Run.state == "running", Run.kind == BATCH).order_by(Run.id))
    return {
        hash_of(platform, attempt_key(platform, run.id, run.attempt)): KeyGrant(
            id=run.id, tenant=run.tenant, scopes=("predict",), priority="batch"
        )
        for run in working
    }
