"""The language of MLflow's searches: `metrics.acc > 0.9 AND tags.team LIKE 'a%'`, and what lists are ordered by.

filter  = clause (AND clause)*
clause  = name comparator value | name [NOT] IN (text, ...) | name IS [NOT] NULL
name    = [entity .] key          entity: metrics, params, tags, attributes, datasets; without one, an attribute
key     = letters, digits, _ . - / :, or anything in `...` or "..."
value   = a number, or text in '...' or "..."
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from modelyard.errors import InvalidInput

Entity = Literal["attribute", "metric", "param", "tag", "dataset"]
Value = float | str | tuple[str, ...] | None
_ENTITIES: Final[dict[str, Entity]] = {
    "attribute": "attribute", "attributes": "attribute", "attr": "attribute", "run": "attribute",
    "metric": "metric", "metrics": "metric",
    "param": "param", "params": "param", "parameter": "param", "parameters": "param",
    "tag": "tag", "tags": "tag",
    "dataset": "dataset", "datasets": "dataset",
}  # fmt: skip
ORDERINGS: Final = ("=", "!=", "<", "<=", ">", ">=")
_LONGEST: Final = 10_000
_MOST_CLAUSES: Final = 100
_TOKEN: Final = re.compile(
    r"""\s*(?:
      (?P<quoted>'(?:[^']|'')*'|"[^"]*")
    | (?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
    | (?P<name>(?:`[^`]*`|[A-Za-z_][\w/:-]*)(?:\.(?:`[^`]*`|"[^"]*"|[\w./:-]+))?)
    | (?P<sign><=|>=|!=|<>|=|<|>|\(|\)|,)
    )""",
    re.VERBOSE | re.ASCII,
)


@dataclass(frozen=True, kw_only=True)
class Name:
    entity: Entity
    key: str


@dataclass(frozen=True, kw_only=True)
class Clause:
    """`comparator`: one of ORDERINGS, LIKE, ILIKE, IN, NOT IN, IS NULL, IS NOT NULL."""

    name: Name
    comparator: str
    value: Value = None


@dataclass(frozen=True, kw_only=True)
class Order:
    name: Name
    ascending: bool


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str

    @property
    def word(self) -> str:
        return self.text.upper() if self.kind in ("name", "sign") else ""


def parse(text: str | None) -> list[Clause]:
    """Raises InvalidInput that names the place."""
    tokens = _tokens(text or "")
    clauses: list[Clause] = []
    while tokens:
        if clauses:
            _expect(tokens, "AND")
        clauses.append(_clause(tokens))
        if len(clauses) > _MOST_CLAUSES:
            raise InvalidInput("the filter has too many clauses", allowed=_MOST_CLAUSES)
    return clauses


def parse_orders(texts: Sequence[str]) -> list[Order]:
    """As `metrics.acc DESC`. Raises InvalidInput."""
    return [_order(text) for text in texts if text.strip()]


def _order(text: str) -> Order:
    tokens = _tokens(text)
    name = _name(_take(tokens, "name", text))
    direction = tokens.pop(0).word if tokens else "ASC"
    if tokens or direction not in ("ASC", "DESC"):
        raise InvalidInput(f"Invalid order_by clause {text[:200]!r}", allowed="a name, then ASC or DESC")
    return Order(name=name, ascending=direction == "ASC")


def _tokens(text: str) -> list[_Token]:
    if len(text) > _LONGEST:
        raise InvalidInput("the filter is too long", came=f"{len(text)} characters", allowed=_LONGEST)
    found: list[_Token] = []
    place, end = 0, len(text.rstrip())
    while place < end:
        match = _TOKEN.match(text, place)
        if match is None or match.lastgroup is None:
            raise InvalidInput(f"Invalid clause(s) in filter string: {text[place : place + 80].strip()!r}")
        found.append(_Token(match.lastgroup, match[match.lastgroup]))
        place = match.end()
    return found


def _clause(tokens: list[_Token]) -> Clause:
    name = _name(_take(tokens, "name", "a name"))
    if not tokens:
        raise InvalidInput(f"Invalid clause(s) in filter string: {name.key!r} is compared with nothing")
    comparator = tokens.pop(0).word
    if comparator == "IS":
        negated = _skip(tokens, "NOT")
        _expect(tokens, "NULL")
        return Clause(name=name, comparator="IS NOT NULL" if negated else "IS NULL")
    if comparator == "NOT":
        _expect(tokens, "IN")
        return Clause(name=name, comparator="NOT IN", value=_texts(tokens))
    if comparator == "IN":
        return Clause(name=name, comparator="IN", value=_texts(tokens))
    comparator = "!=" if comparator == "<>" else comparator
    if comparator not in (*ORDERINGS, "LIKE", "ILIKE"):
        raise InvalidInput(f"Invalid comparator {comparator[:40]!r} in the filter",
                           allowed=(*ORDERINGS, "LIKE", "ILIKE", "IN", "NOT IN", "IS NULL"))  # fmt: skip
    return Clause(name=name, comparator=comparator, value=_value(tokens))


def _value(tokens: list[_Token]) -> float | str:
    token = tokens.pop(0) if tokens else _Token("end", "")
    if token.kind == "quoted":
        return _unquoted(token.text)
    if token.kind == "number":
        value = float(token.text)
        if math.isfinite(value):
            return value
    raise InvalidInput(f"Expected a number or a quoted string value, got {token.text[:80]!r}")


def _texts(tokens: list[_Token]) -> tuple[str, ...]:
    _expect(tokens, "(")
    values = [_unquoted(_take(tokens, "quoted", "a quoted string").text)]
    while _skip(tokens, ","):
        values.append(_unquoted(_take(tokens, "quoted", "a quoted string").text))
    _expect(tokens, ")")
    return tuple(values)


def _name(token: _Token) -> Name:
    match = re.fullmatch(r"(?P<one>`[^`]*`|[^.`]+)(?:\.(?P<two>.+))?", token.text, re.DOTALL)
    assert match is not None  # the token's own pattern says so
    one, two = match["one"].strip("`"), match["two"]
    if two is None:
        return Name(entity="attribute", key=one)
    if one not in _ENTITIES:
        raise InvalidInput(f"Invalid entity type {one[:80]!r}", allowed=("attribute", "metric", "parameter", "tag",
                                                                          "dataset"))  # fmt: skip
    quoted = two[0] in '`"' and len(two) > 1
    return Name(entity=_ENTITIES[one], key=two[1:-1] if quoted else two)


def _unquoted(text: str) -> str:
    return text[1:-1].replace("''", "'") if text[0] == "'" else text[1:-1]


def _take(tokens: list[_Token], kind: str, wanted: str) -> _Token:
    if not tokens or tokens[0].kind != kind:
        came = tokens[0].text[:80] if tokens else "the end"
        raise InvalidInput(f"Invalid clause(s) in filter string: {came!r}; expected {wanted}")
    return tokens.pop(0)


def _expect(tokens: list[_Token], word: str) -> None:
    if not _skip(tokens, word):
        came = tokens[0].text[:80] if tokens else "the end"
        raise InvalidInput(f"Invalid clause(s) in filter string: {came!r}; expected {word}")


def _skip(tokens: list[_Token], word: str) -> bool:
    if tokens and tokens[0].word == word:
        tokens.pop(0)
        return True
    return False
