"""An ONNX model and the files beside it that hold its tensors (IR specification, "External Tensor Data")."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from modelyard.errors import InvalidInput, MissingExtra, NotAllowedFormat
from modelyard.files import link_or_copy

LARGEST: Final = 1_900_000_000
"""Bytes of tensors that are taken into the model itself; protobuf's limit is 2 GiB."""
ENTRY: Final = "model.onnx"


@dataclass(frozen=True, kw_only=True)
class OnnxFiles:
    """`model` is an onnx.ModelProto. `beside` are the files in `folder` that its tensors lie in, where they are too
    large to be taken in."""

    model: Any
    folder: Path | None = None
    beside: tuple[str, ...] = field(default=())

    def write(self, folder: Path, model: Any = None) -> Path:
        """The model (or another one with the same tensors) as a file, with links of those beside it."""
        path = folder / ENTRY
        path.write_bytes((model or self.model).SerializeToString())
        for name in self.beside:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(self._source() / name, target)
        return path

    def _source(self) -> Path:
        assert self.folder is not None
        return self.folder


def read(path: Path) -> OnnxFiles:
    """Raises InvalidInput for what is no ONNX model, NotAllowedFormat for tensors outside of its folder,
    MissingExtra."""
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise MissingExtra("onnx", "onnx") from error
    try:
        model = onnx.load(path, load_external_data=False)
    except (DecodeError, OSError, ValueError) as error:
        raise InvalidInput("this is no ONNX model", came=type(error).__name__) from error
    outside = [tensor for tensor in _tensors(model) if tensor.data_location == tensor.EXTERNAL]
    beside = tuple(sorted({_location(tensor) for tensor in outside}))
    if sum(_size(path.parent, name) for name in beside) > LARGEST:
        return OnnxFiles(model=model, folder=path.parent, beside=beside)
    for tensor in outside:
        _take_in(tensor, path.parent)
    return OnnxFiles(model=model)


def _take_in(tensor: Any, folder: Path) -> None:
    """By hand: onnx's own reader refuses hard links, which what is imported here may be."""
    said = {entry.key: entry.value for entry in tensor.external_data}
    try:
        offset, length = int(said.get("offset", 0)), int(said.get("length", -1))
        with (folder / _location(tensor)).open("rb") as file:
            file.seek(offset)
            data = file.read(length)
    except (OSError, ValueError) as error:
        raise InvalidInput("a tensor beside the model cannot be read", came=type(error).__name__) from error
    if length >= 0 and len(data) != length:
        raise InvalidInput("a tensor beside the model is cut off", came=f"{len(data)} bytes", allowed=length)
    tensor.raw_data = data
    tensor.data_location = tensor.DEFAULT
    del tensor.external_data[:]


def _tensors(model: Any) -> Iterator[Any]:
    """Every tensor of the graph, its subgraphs and its functions."""
    yield from _of_graph(model.graph)
    for function in model.functions:
        yield from _of_nodes(function.node)


def _of_graph(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _of_nodes(graph.node)


def _of_nodes(nodes: Any) -> Iterator[Any]:
    for attribute in (a for node in nodes for a in node.attribute):
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        if attribute.HasField("g"):
            yield from _of_graph(attribute.g)
        for graph in attribute.graphs:
            yield from _of_graph(graph)


def _location(tensor: Any) -> str:
    """A path below the model's folder."""
    said = str({entry.key: entry.value for entry in tensor.external_data}.get("location", ""))
    parts = said.split("/")
    if not said or said.startswith("/") or "\\" in said or any(p in ("", ".", "..") for p in parts):
        raise NotAllowedFormat(
            "the model's tensors lie outside of its folder", came=said[:100], allowed="files beside the model"
        )
    return said


def _size(folder: Path, name: str) -> int:
    path = folder / name
    if path.is_symlink() or not path.is_file() or not path.resolve().is_relative_to(folder.resolve()):
        raise InvalidInput("a file of the model's tensors is not beside it", came=name[:100])
    return path.stat().st_size
