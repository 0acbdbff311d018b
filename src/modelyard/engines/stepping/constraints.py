"""Which tokens may come next in JSON, in JSON of a schema, or in a regular expression's match: llguidance (MIT).

Its automata are built lazily and have limits of their own, so that neither a regular expression nor a schema takes
long: what passes them is refused.
"""

import importlib.util
import json
import threading
from collections.abc import Collection
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from modelyard.errors import InvalidInput, Unavailable
from modelyard.types.generation import Constraint

_MOST_CHARACTERS: Final = 32 << 10
_STYLE: Final = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""One way to write JSON, as models do: with free white space some write nothing else."""


def available() -> bool:
    return importlib.util.find_spec("llguidance") is not None


class Grammars:
    """Constraints over one tokenizer, which is prepared (some seconds) when the first is asked for."""

    def __init__(self, tokenizer: Any, vocabulary: int, ends: Collection[int]) -> None:
        self._tokenizer, self._vocabulary, self._ends = tokenizer, vocabulary, ends
        self._prepared: Any = None
        self._lock = threading.Lock()

    def matcher(self, constraint: Constraint) -> "Matcher":
        """Slow: for a thread. Raises InvalidInput for what is no schema or regular expression, or too complex."""
        import llguidance

        with self._lock:
            if self._prepared is None:
                self._prepared = llguidance.LLTokenizer(
                    self._tokenizer.to_str(), n_vocab=self._vocabulary, eos_token=list(self._ends)
                )
        made = llguidance.LLMatcher(self._prepared, _grammar(llguidance.LLMatcher, constraint), log_level=0)
        if made.is_error():
            raise InvalidInput(
                f"the {constraint.kind} cannot be followed", came=made.get_error().partition("\n")[0][:200]
            )
        return Matcher(made, self._vocabulary)


class Matcher:
    """How far one answer has come."""

    def __init__(self, inner: Any, vocabulary: int) -> None:
        self._inner, self._vocabulary = inner, vocabulary

    def allowed(self) -> npt.NDArray[np.bool_]:
        """bool [vocabulary]. Raises Unavailable past the library's limits."""
        mask = self._inner.compute_bitmask()
        if self._inner.is_error():
            raise Unavailable("the constraint of this answer became too complex")
        bits = np.unpackbits(np.frombuffer(mask, np.uint8), bitorder="little")[: self._vocabulary]
        return bits.astype(bool)

    def take(self, token: int) -> bool:
        """Whether the text is whole, and nothing can follow."""
        self._inner.consume_token(token)
        if self._inner.is_error():
            raise Unavailable("the constraint of this answer became too complex")
        return bool(self._inner.is_stopped())


def _grammar(library: Any, constraint: Constraint) -> str:
    kind, value = constraint.kind, constraint.value
    try:
        if kind == "regex":
            if not isinstance(value, str):
                raise InvalidInput("a regular expression is a text", came=type(value).__name__)
            _check_size(value)
            return str(library.grammar_from_regex(value))
        text = json.dumps({"type": "object"} if kind == "json_object" else value)
        _check_size(text)
        return str(library.grammar_from_json_schema(text, _STYLE))
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidInput(f"the {kind} cannot be followed", came=str(error)[:200]) from None


def _check_size(text: str) -> None:
    if len(text) > _MOST_CHARACTERS:
        raise InvalidInput(
            "the constraint is too long", came=f"{len(text):,} characters", allowed=f"{_MOST_CHARACTERS:,}"
        )
