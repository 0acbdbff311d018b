"""Bodies of `/v2/models/{m}/infer`: requests into arrays, outputs into answers, JSON or binary.

The usual request, one tensor of numbers in JSON, is decoded by a typed decoder that checks while it reads.
Where that refuses, the general decoder reads the body again and finds the words for what is wrong.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from modelyard.dialects import tensors
from modelyard.dialects.contract import Array, Call, Request, Response, Served
from modelyard.dialects.plan import flags
from modelyard.errors import InvalidInput

LENGTH_HEADER: Final = "inference-header-content-length"
Scalar = bool | int | float | str | None
Parameters = dict[str, Scalar]


class _Output(Struct, forbid_unknown_fields=True):
    name: str
    parameters: Parameters = {}


class _Tensor(Struct, forbid_unknown_fields=True):
    name: str
    shape: list[int]
    datatype: str
    parameters: Parameters = {}
    data: Any = UNSET


class _Integers(Struct, forbid_unknown_fields=True):
    name: str
    shape: list[int]
    datatype: str
    data: list[int]
    parameters: Parameters = {}


class _Floats(Struct, forbid_unknown_fields=True):
    name: str
    shape: list[int]
    datatype: str
    data: list[float]
    parameters: Parameters = {}


class _Head(Struct, forbid_unknown_fields=True):
    id: str = ""
    parameters: Parameters = {}
    outputs: list[_Output] = []


class _General(_Head, forbid_unknown_fields=True, kw_only=True):
    inputs: list[_Tensor]


class _IntegersOnly(_Head, forbid_unknown_fields=True, kw_only=True):
    inputs: list[_Integers]


class _FloatsOnly(_Head, forbid_unknown_fields=True, kw_only=True):
    inputs: list[_Floats]


class _Answered(Struct, omit_defaults=True):
    name: str
    datatype: str
    shape: tuple[int, ...]
    parameters: dict[str, int] | UnsetType = UNSET
    data: list[Any] | UnsetType = UNSET


class _Answer(Struct, omit_defaults=True):
    model_name: str
    model_version: str
    outputs: list[_Answered]
    id: str = ""


_GENERAL: Final = msgspec.json.Decoder(_General)
_TYPED: Final[dict[str, msgspec.json.Decoder[Any]]] = {
    "int": msgspec.json.Decoder(_IntegersOnly),
    "float": msgspec.json.Decoder(_FloatsOnly),
}
_ENCODER: Final = msgspec.json.Encoder()


class _Reply:
    """What the answer needs of its request: output name -> whether it goes as binary."""

    __slots__ = ("id", "outputs")

    def __init__(self, request: _Head, model: Served) -> None:
        self.id = request.id
        self.outputs: dict[str, bool] = {}
        binary = bool(flags(request.parameters, "binary_data_output")) if request.parameters else False
        if not request.outputs:
            self.outputs = dict.fromkeys(model.plan.outputs, binary)
        for output in request.outputs:
            self._add(output, binary, model)

    def _add(self, output: _Output, binary: bool, model: Served) -> None:
        if output.name not in model.plan.outputs:
            raise InvalidInput("no such output", came=output.name, allowed=list(model.plan.outputs))
        if output.name in self.outputs:
            raise InvalidInput("an output is asked for twice", came=output.name)
        _refuse(output.parameters, output.name)
        own = flags(output.parameters, "binary_data")
        self.outputs[output.name] = binary if own is None else own


def parse(request: Request, model: Served) -> Call:
    """Raises InvalidInput saying what came and what the model takes."""
    declared = request.headers.get(LENGTH_HEADER)
    if declared is not None:
        return _parse_general(*_split(request.body, declared), model)
    kind = model.plan.flat
    typed = _decode_typed(kind, request.body) if kind is not None else None
    if typed is not None:
        return _parse_typed(typed, model)
    return _parse_general(request.body, memoryview(b""), model)


def render(call: Call, outputs: Mapping[str, Array], model: Served) -> Response:
    """The answer's JSON, and behind it the tensors that were asked for as binary."""
    reply: _Reply = call.reply
    described, blobs = [], []
    for name, binary in reply.outputs.items():
        array, datatype = outputs[name], model.plan.outputs[name].datatype
        if binary:
            blob = tensors.to_binary(datatype, array)
            blobs.append(blob)
            size = {"binary_data_size": len(blob)}
            described.append(_Answered(name, datatype, array.shape, parameters=size))
        else:
            described.append(_Answered(name, datatype, array.shape, data=tensors.to_json(datatype, array)))
    head = _ENCODER.encode(_Answer(model.name, model.version, described, reply.id))
    if not blobs:
        return Response(200, head)
    length = {LENGTH_HEADER: str(len(head))}
    return Response(200, b"".join((head, *blobs)), "application/octet-stream", length)


def _decode_typed(kind: str, body: memoryview) -> Any:
    """The request, or None: the general decoder then says what is wrong, or reads data that are nested."""
    try:
        return _TYPED[kind].decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _parse_typed(request: Any, model: Served) -> Call:
    plan = model.plan
    arrays: dict[str, Array] = {}
    for tensor in request.inputs:
        spec = plan.input(tensor.name)
        _check_tensor(tensor, spec.datatype, arrays)
        arrays[tensor.name] = tensors.from_json(spec, tensor.shape, tensor.data, checked=True)
    return _call(arrays, request, model)


def _parse_general(text: memoryview, binary: memoryview, model: Served) -> Call:
    request = _decode(text)
    arrays: dict[str, Array] = {}
    at = 0
    for tensor in request.inputs:
        spec = model.plan.input(tensor.name)
        _check_tensor(tensor, spec.datatype, arrays)
        size = _binary_size(tensor, len(binary) - at)
        if size is None:
            arrays[tensor.name] = tensors.from_json(spec, tensor.shape, _listed(tensor))
        else:
            arrays[tensor.name] = tensors.from_binary(spec, tensor.shape, binary[at : at + size])
            at += size
    if at != len(binary):
        raise InvalidInput(f"{len(binary) - at} bytes of binary data belong to no input")
    return _call(arrays, request, model)


def _decode(text: memoryview) -> _General:
    try:
        return _GENERAL.decode(text)
    except (UnicodeDecodeError, RecursionError):
        raise InvalidInput("the body is not valid JSON", allowed="UTF-8, at most 100 levels deep") from None
    except msgspec.DecodeError as error:
        raise InvalidInput("the body is not an inference request", came=str(error)) from None


def _split(body: memoryview, declared: str) -> tuple[memoryview, memoryview]:
    length = int(declared) if declared.isascii() and declared.isdigit() and len(declared) < 12 else -1
    if not 0 < length <= len(body):
        raise InvalidInput(
            f"{LENGTH_HEADER} is not the length of the JSON", came=declared, allowed=f"1 to {len(body)}"
        )
    return body[:length], body[length:]


def _check_tensor(tensor: _Tensor, datatype: str, seen: Mapping[str, Array]) -> None:
    if tensor.name in seen:
        raise InvalidInput("an input came twice", came=tensor.name)
    if tensor.datatype != datatype:
        raise InvalidInput(
            f"input {tensor.name!r} has a wrong datatype", came=tensor.datatype, allowed=datatype
        )
    if tensor.parameters:
        _refuse(tensor.parameters, tensor.name)
        if "binary_data_size" in tensor.parameters and tensor.data is not UNSET:
            raise InvalidInput(f"input {tensor.name!r} has both data and binary_data_size")


def _refuse(parameters: Parameters, name: str) -> None:
    for unsupported in ("shared_memory_region", "classification"):
        if parameters.get(unsupported):
            raise InvalidInput(f"parameter {unsupported!r} of {name!r} is not offered")


def _binary_size(tensor: _Tensor, left: int) -> int | None:
    size = tensor.parameters.get("binary_data_size")
    if size is None:
        return None
    if type(size) is not int or not 0 <= size <= left:
        raise InvalidInput(
            f"binary_data_size of input {tensor.name!r}", came=size, allowed=f"0 to {left} bytes are there"
        )
    return size


def _listed(tensor: _Tensor) -> list[Any]:
    if type(tensor.data) is not list:
        raise InvalidInput(f"input {tensor.name!r} has no data", allowed="a JSON array, or binary_data_size")
    return tensor.data


def _call(arrays: dict[str, Array], request: _Head, model: Served) -> Call:
    if len(arrays) != len(model.plan.inputs):
        missing = [name for name in model.plan.names if name not in arrays]
        raise InvalidInput("inputs are missing", came=list(arrays), allowed=f"also {', '.join(missing)}")
    rows = {len(array) for array in arrays.values()}
    if len(rows) != 1:
        raise InvalidInput("inputs have different numbers of rows", came=sorted(rows))
    return Call(arrays, rows.pop(), _Reply(request, model))
