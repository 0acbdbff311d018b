"""A model that answers step by step, as the decoding engine opens it: `decoder.json` beside its ONNX graphs.

encode.onnx   `source` INT64 [rows, n], `source_lengths` INT64 [rows] -> states. Only of models that read a
              source before they answer.
step.onnx     `tokens` INT64 [rows, n], `lengths` INT64 [rows] (tokens that each row's state holds), states ->
              `logits` FP32 [rows, n, vocabulary], and `new.NAME` of each state that a step changes

Rows do not know of each other. Padding of `tokens` is at their right, so that nothing before it sees it.
"""

from typing import Literal

from msgspec import Struct


class State(Struct, frozen=True, kw_only=True):
    """What a row keeps between two steps, one of the graphs' tensors.

    kind      "appended": a step gives what it adds along the free axis, as keys and values of attention; the row's
              first `lengths` places of that are its own, and the graph looks at no others. "replaced": a step gives
              all of it anew, as a recurrent layer's. "constant": as `encode` made it
    shape     of one row; -1 is the free axis, of the context (appended) or of the source (constant)
    datatype  of the tensor
    """

    name: str
    kind: Literal["appended", "replaced", "constant"]
    shape: tuple[int, ...]
    datatype: Literal["FP32", "INT64"] = "FP32"


class DecoderFile(Struct, frozen=True, kw_only=True):
    """Files are named as they lie in the folder of decoder.json.

    tokenizer   in the form of Hugging Face's tokenizers, relative to the folder
    context     most tokens of a row: prompt and answer
    source      most tokens that `encode` takes
    start       the token that an answer begins with after a source; of models without one, a text
    ends        tokens at which an answer ends
    chunk       most tokens of a step
    """

    step: str = "step.onnx"
    encode: str | None = None
    tokenizer: str = "../tokenizer.json"
    context: int
    source: int = 0
    vocabulary: int
    start: int
    ends: tuple[int, ...]
    chunk: int = 64
    state: tuple[State, ...]
