"""Hugging Face's words for tasks whose engine generates, and whose answers are whole ones: translation."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol, runtime_checkable

import msgspec
import numpy as np

from modelyard.dialects.contract import Array, Response, Served
from modelyard.errors import InvalidInput, ModelyardError
from modelyard.types.generation import Delta, TextRequest, Usage

_MOST: Final = 64  # samples of a request


@runtime_checkable
class Asking(Protocol):
    """A `Prepared` of such a task (`engines.answering.Asking`)."""

    def decode(self, columns: Mapping[str, Any]) -> dict[str, Array]: ...

    def requests(
        self, arrays: Mapping[str, Array], parameters: Mapping[str, Any]
    ) -> Sequence[TextRequest]: ...


def converse(columns: Mapping[str, Any], parameters: Mapping[str, Any], model: Served) -> "WholeAnswers":
    """Raises InvalidInput."""
    prepared: Any = model.prepared
    arrays = prepared.decode(columns)
    requests = prepared.requests(arrays, parameters)
    if len(requests) > _MOST:
        raise InvalidInput("there are too many texts", came=len(requests), allowed=f"1 to {_MOST}")
    return WholeAnswers(requests, model)


class WholeAnswers:
    """See `dialects.contract.Conversation`. Never a stream; one answer a request, encoded by the task."""

    content_type = "application/json"
    stream = False

    def __init__(self, requests: Sequence[TextRequest], model: Served) -> None:
        self.requests = requests
        self._model = model
        self._texts = [""] * len(requests)

    def piece(self, choice: int, delta: Delta) -> bytes:
        self._texts[choice] += delta.text
        return b""

    def close(self, usage: Usage) -> bytes:
        return b""

    def whole(self, usage: Usage) -> Response:
        outputs = np.empty(len(self._texts), object)
        outputs[:] = [text.encode() for text in self._texts]
        (spec,) = self._model.signature.outputs
        answers = self._model.task.encode({spec.name: outputs}, self._model.labels, {})
        return Response(200, msgspec.json.encode(answers))

    def broken(self, error: ModelyardError) -> bytes:
        return b""
