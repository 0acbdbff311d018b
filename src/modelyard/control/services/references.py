"""From what a user wrote ("digits:3", "reader@champion") to the version that it means now."""

from typing import TypeVar

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.orm import Session

from modelyard.control.services.names import Selector, known_name
from modelyard.errors import Conflict, InvalidInput, NotFound
from modelyard.store.registry import Alias, Model, ModelVersion
from modelyard.store.work import Dataset, DatasetVersion, Run, RunInput
from modelyard.types.run import END_STATES

_SHOWN = 10  # versions that an error names

V = TypeVar("V", DatasetVersion, ModelVersion)


def get_dataset(session: Session, tenant: str, name: str) -> Dataset:
    """Raises NotFound."""
    query = select(Dataset).where(Dataset.tenant == tenant, Dataset.name == known_name("data set", name))
    row = session.scalar(query)
    if row is None:
        raise NotFound(f"there is no data set {name!r}")
    return row


def get_model(session: Session, tenant: str, name: str) -> Model:
    """Raises NotFound."""
    row = find_model(session, tenant, known_name("model", name))
    if row is None:
        raise NotFound(f"there is no model {name!r}")
    return row


def find_model(session: Session, tenant: str, name: str) -> Model | None:
    return session.scalar(select(Model).where(Model.tenant == tenant, Model.name == name))


def get_dataset_version(session: Session, dataset: Dataset, selector: Selector) -> DatasetVersion:
    """Raises NotFound, and InvalidInput for a digest that begins more than one version."""
    if selector.alias is not None:
        raise InvalidInput(
            "data sets have no aliases", came=f"@{selector.alias}", allowed="name:3, name:latest"
        )
    query = select(DatasetVersion).where(DatasetVersion.dataset_id == dataset.id)
    found = _select(session, query, selector, DatasetVersion)
    if found is None:
        raise _no_version(session, f"the data set {dataset.name!r}", selector, query, DatasetVersion)
    return found


def get_model_version(session: Session, model: Model, selector: Selector) -> ModelVersion:
    """Raises NotFound, and InvalidInput for a digest that begins more than one version."""
    query = select(ModelVersion).where(ModelVersion.model_id == model.id)
    if selector.alias is not None:
        found = session.scalar(query.join(Alias, Alias.version_id == ModelVersion.id)
                               .where(Alias.model_id == model.id, Alias.name == selector.alias))  # fmt: skip
    else:
        found = _select(session, query, selector, ModelVersion)
    if found is None:
        if selector.alias is not None:
            there = session.scalars(select(Alias.name).where(Alias.model_id == model.id).order_by(Alias.name))
            known = [f"@{name}" for name in there] or "none yet"
            raise NotFound(f"the model {model.name!r} has no such alias", came=_said(selector), allowed=known)
        raise _no_version(session, f"the model {model.name!r}", selector, query, ModelVersion)
    return found


def check_no_run(session: Session, version: DatasetVersion | ModelVersion) -> None:
    """Raises Conflict where a run that has not ended works on the version."""
    waiting = select(Run.id).join(RunInput, RunInput.run_id == Run.id)
    in_use = waiting.where(RunInput.version_id == version.id, Run.state.not_in(END_STATES)).limit(1)
    if (run := session.scalar(in_use)) is not None:
        raise Conflict(f"the version is in use by a run that has not ended ({run}); cancel the run first")


def _select(session: Session, query: Select[V], selector: Selector, table: type[V]) -> V | None:
    if selector.digest is None:
        matches: list[ColumnElement[bool]] = (
            [] if selector.number is None else [table.number == selector.number]
        )
        return session.scalar(query.where(*matches).order_by(table.number.desc()).limit(1))
    found = session.scalars(query.where(table.digest.startswith(selector.digest)).limit(2)).all()
    if len(found) > 1:
        raise InvalidInput("this digest begins more than one version", came=selector.digest)
    return found[0] if found else None


def _no_version(
    session: Session, owner: str, selector: Selector, query: Select[V], table: type[V]
) -> NotFound:
    newest = query.with_only_columns(table.number).order_by(table.number.desc()).limit(_SHOWN)
    there: list[int] = list(session.scalars(newest))
    if not there:
        return NotFound(f"{owner} has no version")
    return NotFound(
        f"{owner} has no such version", came=_said(selector), allowed=["latest", *map(str, there)]
    )


def _said(selector: Selector) -> str:
    if selector.alias is not None:
        return f"@{selector.alias}"
    return selector.digest or ("latest" if selector.number is None else str(selector.number))
