"""TensorFlow's SavedModel (tensorflow/core/protobuf/saved_model.proto): which operators its graphs have.

A graph is a program. What it runs in is the sandbox; here those operators are refused that read or write files, run
Python or machine code, or speak to the network, wherever they stand in it. Saving and restoring its own variables
(SaveV2, RestoreV2, MergeV2Checkpoints) every SavedModel has.
"""

import re
from collections import Counter
from pathlib import Path
from typing import Any, Final

from modelyard.errors import Corrupt, NotAllowedFormat
from modelyard.trust.inspection.bounded import mapped
from modelyard.trust.inspection.contract import Inspection
from modelyard.trust.inspection.wire import Reader

_BARRED: Final = re.compile(
    r"PyFunc.*|EagerPyFunc|ReadFile|WriteFile|MatchingFiles|ImmutableConst|.*Reader(V2)?|.*RecordDataset.*|TextLineDataset.*"
    r"|.*SqlDataset|.*CSVDataset.*|SaveDataset.*|LoadDataset.*|.*SnapshotDataset.*|SnapshotChunk.*|CacheDataset.*"
    r"|DataServiceDataset.*|RegisterDataset.*|.*Summary.*Writer.*|Write.*Summary|.*SummaryWriter|DebugIdentity.*"
    r"|DebugNanCount.*|DebugNumericSummary.*|TRTEngineOp|CreateTRTResourceHandle|XlaLaunch.*|MlirPassthroughOp|FileSystem.*"
    r"|RemoteCall|DistributedSave|_?Send|_?Recv|_Host(Send|Recv)|Rpc.*|TryRpc|TPU.*|.*BigQuery.*|Decode(Video|Gcs).*|LMDB.*"
    r"|GcsConfigure.*|LoadAndRemap.*|ShellExecute.*|Save|SaveSlices|RestoreSlice"
)
_FILE_PRINT: Final = b"file://"
_SHOWN: Final = 20


def inspect(folder: Path, name: str) -> Inspection:
    """Raises NotAllowedFormat for an operator that reaches out, Corrupt for no SavedModel."""
    file = f"{name}/saved_model.pb"
    reader = Reader(file)
    with mapped(folder / "saved_model.pb", file) as data:
        found = _Graphs(reader)
        found.read(data)
    refused = sorted(op for op in found.ops if _BARRED.fullmatch(op))
    if refused:
        raise NotAllowedFormat(
            f"{name!r} has operators that reach for files, code or the network",
            came=refused[:10],
            allowed="a graph that computes; or export it to ONNX: "
            "python -m tf2onnx.convert --saved-model DIR --output model.onnx",
        )
    if found.prints_to_file:
        raise NotAllowedFormat(f"{name!r} has a PrintV2 that writes a file")
    if not found.ops:
        raise Corrupt.because(file, "has no graph")
    _check_variables(folder, name)
    return Inspection(
        format="savedmodel",
        keep=_kept(folder),
        facts={
            "operators": sum(found.ops.values()),
            "kinds": [op for op, _ in found.ops.most_common(_SHOWN)],
            "signatures": sorted(found.signatures),
            "tags": sorted(found.tags),
        },
        why=f"a SavedModel of {sum(found.ops.values())} operators",
    )


class _Graphs:
    """Field numbers are those of saved_model.proto, meta_graph.proto, graph.proto, function.proto,
    node_def.proto."""

    def __init__(self, reader: Reader) -> None:
        self._r = reader
        self.ops: Counter[str] = Counter()
        self.signatures: set[str] = set()
        self.tags: set[str] = set()
        self.prints_to_file = False

    def read(self, data: memoryview) -> None:
        for number, value in self._r.fields(data):
            if number == 2:
                self._meta_graph(self._r.message(value))

    def _meta_graph(self, data: memoryview) -> None:
        for number, value in self._r.fields(data):
            if number == 2:
                self._graph(self._r.message(value))
            elif number == 5:
                self.signatures.update(self._strings(self._r.message(value), 1))
            elif number == 1:
                self.tags.update(self._strings(self._r.message(value), 4))

    def _graph(self, data: memoryview) -> None:
        for number, value in self._r.fields(data):
            if number == 1:
                self._node(self._r.message(value))
            elif number == 2:
                self._library(self._r.message(value))

    def _library(self, data: memoryview) -> None:
        for number, value in self._r.fields(data):
            for inner, node in self._r.fields(self._r.message(value)) if number == 1 else ():
                if inner == 3:
                    self._node(self._r.message(node))

    def _node(self, data: memoryview) -> None:
        op = ""
        for number, value in self._r.fields(data):
            if number == 2:
                op = self._r.text(value)
                self.ops[op[:200]] += 1
        if op == "PrintV2" and _FILE_PRINT in bytes(data):
            self.prints_to_file = True

    def _strings(self, data: memoryview, wanted: int) -> list[str]:
        return [
            self._r.text(v)[:100] for n, v in self._r.fields(data) if n == wanted and not isinstance(v, int)
        ]


def _check_variables(folder: Path, name: str) -> None:
    variables = folder / "variables"
    if variables.exists() and not (variables / "variables.index").is_file():
        raise Corrupt.because(f"{name}/variables", "has no variables.index")


def _kept(folder: Path) -> tuple[str, ...]:
    """What TensorFlow reads; keras_metadata.pb, which Keras 2 built layers from, is left out."""
    files: list[Any] = [folder / "saved_model.pb", folder / "fingerprint.pb"]
    for inside in ("variables", "assets"):
        files += sorted((folder / inside).rglob("*"))
    return tuple(f.relative_to(folder).as_posix() for f in files if f.is_file())
