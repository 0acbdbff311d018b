"""What a recommender is asked: a caller's JSON into queries, each of which travels as one JSON text.

{"user": 196, "k": 10}                     the best items that the user has not seen
{"user": 196, "item": 242}                 the score of one item
{"liked": ["50", "181"], "exclude": [1]}   for somebody whom the model does not know
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec
import numpy as np

from modelyard.errors import InvalidInput, UnknownName
from modelyard.tasks.contract import Array, Columns

Name = Annotated[str, msgspec.Meta(max_length=1000)] | int
"""Of a user or an item. Numbers are names too: 196 is "196"."""

QUERY: Final = "query"
_LISTS: Final = ("liked", "exclude")
_ALLOWED: Final = '{"user": ..., "k": 10}, {"user": ..., "item": ...}, {"liked": [...]}, or a list of such'


class Query(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One row.

    user          who is asked for; absent: somebody new
    item          whose score is wanted; absent: the best items are
    liked         items that the user likes besides those of the training data
    exclude       items that are not to be answered
    k             how many items; absent: the model's own number
    include_seen  answer items too that the user has seen (of the training data, and those of `liked`)
    """

    user: Name | None = None
    item: Name | None = None
    liked: Annotated[tuple[Name, ...], msgspec.Meta(max_length=10_000)] = ()
    exclude: Annotated[tuple[Name, ...], msgspec.Meta(max_length=100_000)] = ()
    k: Annotated[int, msgspec.Meta(ge=1, le=1000)] | None = None
    include_seen: bool = False


KEYS: Final = Query.__struct_fields__
_DECODER: Final = msgspec.json.Decoder(Query)


def sample(inputs: Any) -> dict[str, Any]:
    """A query, a list of them, or {"user": [...], ...} with a value a row, each also below "data", into columns."""
    if isinstance(inputs, Mapping) and inputs.keys() == {"data"}:
        inputs = inputs["data"]
    if isinstance(inputs, list) and inputs and all(isinstance(row, Mapping) for row in inputs):
        names = list(dict.fromkeys(name for row in inputs for name in row))
        _check_keys(names)
        return {name: [row.get(name) for row in inputs] for name in names}
    if not isinstance(inputs, Mapping) or not inputs:
        raise InvalidInput("inputs are no queries", came=type(inputs).__name__, allowed=_ALLOWED)
    _check_keys(inputs)
    columns = {str(name): _column(str(name), value) for name, value in inputs.items()}
    rows = max(len(values) for values in columns.values())
    return {name: values * rows if len(values) == 1 else values for name, values in columns.items()}


def encode(columns: Columns) -> Array:
    """Columns by the names of `KEYS` as JSON texts, objects [rows]. Raises InvalidInput naming the row."""
    _check_keys(columns)
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) != 1 or 0 in lengths.values():
        raise InvalidInput("columns need the same number of rows, 1 or more", came=lengths)
    listed = {n: v.tolist() if isinstance(v, np.ndarray) else list(v) for n, v in columns.items()}
    texts = np.empty(next(iter(lengths.values())), object)
    for row, values in enumerate(zip(*listed.values(), strict=True)):
        plain = ((name, _plain(value)) for name, value in zip(listed, values, strict=True))
        try:
            query = msgspec.convert({name: value for name, value in plain if value is not None}, Query)
        except msgspec.ValidationError as error:
            raise _invalid(row, error) from None
        texts[row] = msgspec.json.encode(query)
    return texts


def decode(texts: Array) -> list[Query]:
    """JSON texts, objects [rows]. Checked anew: the Open Inference Protocol's do not come from `encode`."""
    if texts.dtype != object or texts.ndim != 1 or not len(texts):
        raise InvalidInput("queries need the shape [rows], 1 or more", came=f"{texts.dtype} {texts.shape}")
    return [_decoded(row, text) for row, text in enumerate(texts.tolist())]


def changed(texts: Array, parameters: Mapping[str, Any]) -> Array:
    """The queries with what a request's parameters say of all of them."""
    _check_keys(parameters)
    asked = [msgspec.structs.asdict(query) | dict(parameters) for query in decode(texts)]
    return encode({name: [query[name] for query in asked] for name in KEYS})


def _decoded(row: int, text: Any) -> Query:
    try:
        return _DECODER.decode(text)
    except msgspec.ValidationError as error:
        raise _invalid(row, error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError, RecursionError):
        raise InvalidInput(f"query {row} is not JSON", came=repr(text)[:100], allowed=_ALLOWED) from None


def _invalid(row: int, error: msgspec.ValidationError) -> InvalidInput:
    what, _, path = str(error).partition(" - at `$")
    return InvalidInput(f"query {row}{path.rstrip('`')}: {what}", allowed=_ALLOWED)


def _column(name: str, value: Any) -> list[Any]:
    """A value a row. Of keys that are lists themselves, a list of anything but lists is one row's."""
    if name not in _LISTS:
        return value if isinstance(value, list) and value else [value]
    several = isinstance(value, list) and bool(value) and all(isinstance(v, list | None) for v in value)
    return value if several else [value]


def _plain(value: Any) -> Any:
    """Whole numbers that a column holds as floats, because something in it is missing, are whole again."""
    if isinstance(value, float):
        return None if value != value else int(value) if value.is_integer() else value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _check_keys(names: Sequence[str] | Mapping[str, Any]) -> None:
    for name in names:
        if name not in KEYS:
            raise UnknownName("key", str(name), KEYS, where="the query")
