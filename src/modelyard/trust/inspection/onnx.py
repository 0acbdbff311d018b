"""ONNX (onnx/onnx, onnx.proto3): what the graph takes, gives and is made of, without reading its tensors'
values."""

import stat
from pathlib import Path
from typing import Any, Final

from modelyard.errors import Corrupt, NotAllowedFormat
from modelyard.trust.inspection.archives import check_name
from modelyard.trust.inspection.bounded import mapped
from modelyard.trust.inspection.contract import Inspection
from modelyard.trust.inspection.wire import Reader, Value

DOMAINS: Final = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft", "ai.onnx.preview.training")
_FOREIGN: Final = ("PyOp", "PythonOp", "PyCustomOp", "ExternalGraph")
_KINDS: Final = {
    1: "FP32",
    2: "UINT8",
    3: "INT8",
    4: "UINT16",
    5: "INT16",
    6: "INT32",
    7: "INT64",
    8: "BYTES",
    9: "BOOL",
    10: "FP16",
    11: "FP64",
    12: "UINT32",
    13: "UINT64",
}


def inspect(path: Path, name: str) -> Inspection:
    """Raises Corrupt for no ONNX model, NotAllowedFormat for tensors that lie outside the file's own folder and for
    operators of another library."""
    with mapped(path, name) as data:
        found = _Model(Reader(name), path, name)
        found.read(data)
        return found.inspection()


def is_onnx(path: Path, name: str) -> bool:
    """Whether a file's outermost fields are a model's: an IR version and a graph."""
    try:
        with mapped(path, name) as data:
            reader, seen = Reader(name), set()
            for number, value in reader.fields(data):
                seen.add(number)
                if (
                    number > 25
                    or (number == 7 and isinstance(value, int))
                    or (number == 1 and not isinstance(value, int))
                ):
                    return False
                if {1, 7} <= seen:
                    return True
    except (Corrupt, NotAllowedFormat):
        pass
    return False


class _Model:
    """Field numbers are those of onnx.proto3."""

    def __init__(self, reader: Reader, path: Path, name: str) -> None:
        self._r, self._folder, self._name = reader, path.parent, name
        self._own = path.name
        self.external: dict[str, int] = {}
        self._domains: set[str] = set()
        self._defined: set[str] = set()
        self._nodes = self._tensors = 0
        self._facts: dict[str, Any] = {}
        self._has_graph = False

    def read(self, data: memoryview) -> None:
        opsets: dict[str, int] = {}
        for number, value in self._r.fields(data):
            if number == 1:
                self._facts["ir_version"] = self._r.number(value)
            elif number == 2:
                self._facts["producer"] = self._r.text(value)[:100]
            elif number == 7:
                self._has_graph = True
                self._graph(self._r.message(value), 0)
            elif number == 8:
                opsets.update([self._opset(self._r.message(value))])
            elif number == 25:
                self._function(self._r.message(value))
        if not self._has_graph or not opsets:
            raise Corrupt.because(self._name, "is no ONNX model")
        self._facts["opset"] = opsets.get("", opsets.get("ai.onnx"))

    def inspection(self) -> Inspection:
        foreign = sorted(self._domains - set(DOMAINS) - self._defined)
        if foreign:
            raise NotAllowedFormat(
                f"{self._name!r} needs operators of a library that is not part of ONNX Runtime",
                came=foreign[:10],
                allowed=[d or "ai.onnx" for d in DOMAINS],
            )
        facts = {
            **self._facts,
            "nodes": self._nodes,
            "tensors": self._tensors,
            "external_files": sorted(self.external),
        }
        return Inspection(
            format="onnx",
            keep=(self._own, *sorted(self.external)) if self.external else (),
            facts=facts,
            why=f"it is an ONNX graph of {self._nodes} nodes, by {self._facts.get('producer') or 'someone'}",
        )

    def _opset(self, data: memoryview) -> tuple[str, int]:
        domain, version = "", 0
        for number, value in self._r.fields(data):
            if number == 1:
                domain = self._r.text(value)
            elif number == 2:
                version = self._r.number(value)
        return domain, version

    def _function(self, data: memoryview) -> None:
        for number, value in self._r.fields(data):
            if number == 7:
                self._node(self._r.message(value), 0)
            elif number == 10:
                self._defined.add(self._r.text(value))

    def _graph(self, data: memoryview, depth: int) -> None:
        inside = self._r.deeper(depth)
        specs: dict[int, list[dict[str, Any]]] = {11: [], 12: []}
        constants: set[str] = set()
        for number, value in self._r.fields(data):
            if number == 1:
                self._node(self._r.message(value), inside)
            elif number == 5:
                constants.add(self._tensor(self._r.message(value)))
            elif number in specs and depth == 0:
                specs[number].append(self._spec(self._r.message(value)))
        if depth == 0:
            self._facts["inputs"] = [s for s in specs[11] if s["name"] not in constants][:50]
            self._facts["outputs"] = specs[12][:50]

    def _node(self, data: memoryview, depth: int) -> None:
        self._nodes += 1
        for number, value in self._r.fields(data):
            if number == 4 and (kind := self._r.text(value)) in _FOREIGN:
                raise NotAllowedFormat(f"{self._name!r} has an operator that runs code of its own", came=kind)
            if number == 7:
                self._domains.add(self._r.text(value))
            elif number == 5:
                self._attribute(self._r.message(value), depth)

    def _attribute(self, data: memoryview, depth: int) -> None:
        for number, value in self._r.fields(data):
            if number in (5, 10):
                self._tensor(self._r.message(value))
            elif number in (6, 11):
                self._graph(self._r.message(value), self._r.deeper(depth))

    def _tensor(self, data: memoryview) -> str:
        """Its name. Tensors outside the file are checked where they say they lie."""
        self._tensors += 1
        name = ""
        external: dict[str, str] = {}
        for number, value in self._r.fields(data):
            if number == 8:
                name = self._r.text(value)
            elif number == 13:
                external.update([self._entry(self._r.message(value))])
        if external:
            self._check_external(external)
        return name

    def _entry(self, data: memoryview) -> tuple[str, str]:
        pair = {1: "", 2: ""}
        for number, value in self._r.fields(data):
            if number in pair:
                pair[number] = self._r.text(value)
        return pair[1], pair[2]

    def _check_external(self, said: dict[str, str]) -> None:
        location = said.get("location", "")
        try:
            check_name(location, self._name)
            status = (self._folder / location).lstat()
            inside = all(not (self._folder / part).is_symlink() for part in _parents(location))
        except (NotAllowedFormat, OSError, ValueError):
            status, inside = None, False
        if status is None or not inside or not stat.S_ISREG(status.st_mode):
            raise NotAllowedFormat(
                f"{self._name!r} has tensors in a file that is not beside it",
                came=location,
                allowed="files beside the model",
            )
        numbers = [said.get("offset", "0"), said.get("length", "0")]
        if (
            not all(n.isascii() and n.isdigit() and len(n) < 19 for n in numbers)
            or sum(map(int, numbers)) > status.st_size
        ):
            raise Corrupt.because(self._name, "has tensors past the end of the file beside it", came=location)
        self.external[location] = status.st_size

    def _spec(self, data: memoryview) -> dict[str, Any]:
        spec: dict[str, Any] = {"name": "", "datatype": None, "shape": None}
        for number, value in self._r.fields(data):
            if number == 1:
                spec["name"] = self._r.text(value)[:200]
            elif number == 2:
                for inner, kind in self._r.fields(self._r.message(value)):
                    if inner == 1:
                        self._tensor_type(kind, spec)
        return spec

    def _tensor_type(self, value: Value, spec: dict[str, Any]) -> None:
        for number, inner in self._r.fields(self._r.message(value)):
            if number == 1:
                spec["datatype"] = _KINDS.get(self._r.number(inner))
            elif number == 2:
                spec["shape"] = [self._axis(d) for n, d in self._r.fields(self._r.message(inner)) if n == 1][
                    :32
                ]

    def _axis(self, value: Value) -> int:
        for number, inner in self._r.fields(self._r.message(value)):
            if number == 1:
                return self._r.number(inner)
        return -1


def _parents(location: str) -> list[str]:
    parts = location.split("/")
    return ["/".join(parts[:n]) for n in range(1, len(parts))]
