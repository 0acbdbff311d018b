"""From filters to SQL that SQLite and PostgreSQL share, and lists in pages.

A clause on a metric, a parameter, a tag or a data set that is not there holds for nothing, `!=` among them, as in
MLflow. The one exception is MLflow's own: `tags.mlflow.prompt.is_prompt != 'true'`, which clients add.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, Select, and_, exists, or_, select
from sqlalchemy.orm import Session

from modelyard.control.mlflow.filters import ORDERINGS, Clause, Name, Order, parse, parse_orders
from modelyard.control.services.notes import check_text
from modelyard.control.services.pages import read_place, write_place
from modelyard.errors import InvalidInput
from modelyard.store.tracking import Note

_PROMPT: Final = "mlflow.prompt.is_prompt"
_ESCAPE: Final = "/"
_LARGEST: Final = 2**63 - 1
Kind = Literal["text", "number"]


@dataclass(frozen=True, kw_only=True)
class Attribute:
    """What a filter says without an entity, or with `attributes.`"""

    column: ColumnElement[Any]
    kind: Kind = "text"


@dataclass(frozen=True, kw_only=True)
class Searchable:
    """What one noun's filters and orders may name.

    owner     the notes' owner, as a text column
    notes     entity ("tag", "param") -> kind of note
    metric    a metric's name -> where its values are
    last      what decides where the asked order does not: unique in the end
    """

    tenant: str
    attributes: Mapping[str, Attribute]
    owner: ColumnElement[str]
    notes: Mapping[str, str]
    metric: "Callable[[str], MetricSource] | None" = None
    dataset: "DatasetSource | None" = None
    last: Sequence[Any] = field(default_factory=tuple)


@dataclass(frozen=True, kw_only=True)
class MetricSource:
    """Where one metric's values are: they are `mine`, and numbers where not `nan`."""

    value: ColumnElement[float]
    nan: ColumnElement[bool]
    mine: ColumnElement[bool]


@dataclass(frozen=True, kw_only=True)
class DatasetSource:
    columns: Mapping[str, ColumnElement[Any]]
    mine: ColumnElement[bool]


@dataclass(frozen=True, kw_only=True)
class PageAsked:
    """`token` is where the last page ended; `secret` signs tokens."""

    limit: int
    token: str | None
    secret: bytes


def where(noun: Searchable, text: str | None) -> list[ColumnElement[bool]]:
    """Raises InvalidInput for what is no filter, or names what the noun does not have."""
    return [_condition(noun, clause) for clause in parse(text)]


def order(noun: Searchable, texts: Sequence[str]) -> list[ColumnElement[Any]]:
    """What is missing comes last. Raises InvalidInput."""
    found: list[ColumnElement[Any]] = []
    for asked in parse_orders(texts):
        found += _ordering(noun, asked)
    return [*found, *noun.last]


def fetch(session: Session, query: Select[Any], page: PageAsked) -> tuple[Sequence[Any], str | None]:
    """One page of rows, and the token of the next. Raises InvalidInput for a token that is not ours."""
    place = read_place(page.token, page.secret) if page.token else "0"
    offset = int(place) if place.isdigit() else 0
    rows = session.execute(query.limit(page.limit + 1).offset(offset)).all()
    more = len(rows) > page.limit
    return rows[: page.limit], write_place(str(offset + page.limit), page.secret) if more else None


def _condition(noun: Searchable, clause: Clause) -> ColumnElement[bool]:
    check_text("the filter", clause.name.key)
    entity = clause.name.entity
    if entity == "attribute":
        return _of_attribute(noun, clause)
    if entity == "metric":
        return _of_metric(noun, clause)
    if entity == "dataset":
        return _of_dataset(noun, clause)
    return _of_note(noun, clause)


def _of_attribute(noun: Searchable, clause: Clause) -> ColumnElement[bool]:
    attribute = _attribute(noun, clause.name)
    if attribute.kind == "number":
        return _compare_number(attribute.column, clause)
    return _compare_text(attribute.column, clause)


def _of_note(noun: Searchable, clause: Clause) -> ColumnElement[bool]:
    mine = _note(noun, clause.name)
    if clause.comparator in ("IS NULL", "IS NOT NULL"):
        there = exists().where(*mine)
        return ~there if clause.comparator == "IS NULL" else there
    if clause.name.key == _PROMPT and clause.comparator == "!=":
        return ~exists().where(*mine, Note.value == str(clause.value))
    return exists().where(*mine, _compare_text(Note.value.expression, clause))


def _of_metric(noun: Searchable, clause: Clause) -> ColumnElement[bool]:
    if noun.metric is None:
        raise InvalidInput("there are no metrics to search by here", came=clause.name.key)
    source = noun.metric(clause.name.key)
    number = _compare_number(source.value, clause)
    if clause.comparator == "!=":
        return exists().where(source.mine, or_(source.nan, number))
    return exists().where(source.mine, ~source.nan, number)


def _of_dataset(noun: Searchable, clause: Clause) -> ColumnElement[bool]:
    if noun.dataset is None or clause.name.key not in noun.dataset.columns:
        allowed = noun.dataset.columns if noun.dataset else "nothing here"
        raise InvalidInput(f"Invalid dataset key {clause.name.key[:80]!r}", allowed=allowed)
    return exists().where(noun.dataset.mine, _compare_text(noun.dataset.columns[clause.name.key], clause))


def _compare_number(column: ColumnElement[Any], clause: Clause) -> ColumnElement[bool]:
    value = clause.value
    if not isinstance(value, float):
        raise InvalidInput(f"Expected numeric value type for {clause.name.key[:80]!r}", came=value)
    if clause.comparator not in ORDERINGS:
        raise InvalidInput(f"Invalid comparator {clause.comparator!r} for a number", allowed=ORDERINGS)
    return _ordered(column, clause.comparator, value)


def _compare_text(column: ColumnElement[Any], clause: Clause) -> ColumnElement[bool]:
    value, comparator = clause.value, clause.comparator
    if comparator in ("IN", "NOT IN") and isinstance(value, tuple):
        for text in value:
            check_text("the filter", text)
        return column.in_(value) if comparator == "IN" else and_(column.is_not(None), column.not_in(value))
    if not isinstance(value, str) or comparator not in ("=", "!=", "LIKE", "ILIKE"):
        raise InvalidInput(f"Expected a quoted string value for {clause.name.key[:80]!r}, compared by =, !=, LIKE, "
                           "ILIKE, IN or NOT IN", came=f"{comparator} {value}")  # fmt: skip
    check_text("the filter", value)
    if comparator == "LIKE":
        return column.like(_pattern(value), escape=_ESCAPE)
    if comparator == "ILIKE":
        return column.ilike(_pattern(value), escape=_ESCAPE)
    return _ordered(column, comparator, value)


def _pattern(value: str) -> str:
    """MLflow's patterns have no escape; what would be one stands for itself."""
    return value.replace(_ESCAPE, _ESCAPE * 2)


def _ordered(column: ColumnElement[Any], comparator: str, value: float | str) -> ColumnElement[bool]:
    if comparator == "=":
        return column == value
    if comparator == "!=":
        return column != value
    if comparator == "<":
        return column < value
    if comparator == "<=":
        return column <= value
    return column > value if comparator == ">" else column >= value


def _ordering(noun: Searchable, asked: Order) -> list[ColumnElement[Any]]:
    check_text("order_by", asked.name.key)
    column, nan = _order_column(noun, asked.name)
    directed = column.asc() if asked.ascending else column.desc()
    return [column.is_(None).asc(), *([] if nan is None else [nan.asc()]), directed]


def _order_column(noun: Searchable, name: Name) -> tuple[ColumnElement[Any], ColumnElement[Any] | None]:
    if name.entity == "attribute":
        return _attribute(noun, name).column, None
    if name.entity == "metric" and noun.metric is not None:
        source = noun.metric(name.key)
        value = select(source.value).where(source.mine).limit(1).scalar_subquery()
        return value, select(source.nan).where(source.mine).limit(1).scalar_subquery()
    if name.entity in noun.notes:
        return select(Note.value).where(*_note(noun, name)).scalar_subquery(), None
    raise InvalidInput(f"Invalid order_by entity {name.entity!r}")


def _note(noun: Searchable, name: Name) -> list[ColumnElement[bool]]:
    if name.entity not in noun.notes:
        raise InvalidInput(f"there is no {name.entity} to search by here", came=name.key, allowed=noun.notes)
    kind = noun.notes[name.entity]
    return [Note.tenant == noun.tenant, Note.kind == kind, Note.owner == noun.owner, Note.key == name.key]


def _attribute(noun: Searchable, name: Name) -> Attribute:
    found = noun.attributes.get(name.key)
    if found is None:
        raise InvalidInput(f"Invalid attribute key {name.key[:80]!r}", allowed=noun.attributes)
    return found
