"""Several ONNX graphs of the same inputs as one, with the outputs of all."""

from collections.abc import Mapping, Sequence
from typing import Any

from modelyard.errors import MissingExtra


def beside(graphs: Mapping[str, bytes], inputs: Sequence[str]) -> bytes:
    """`graphs` by name, each with the inputs of these names; their outputs become "output.name".

    Raises MissingExtra.
    """
    try:
        import onnx
        import onnx.compose
    except ImportError as error:
        raise MissingExtra("onnx", "sklearn") from error
    whole: Any = None
    for place, (name, data) in enumerate(graphs.items()):
        prefix = f"{place}/"
        part = onnx.compose.add_prefix(onnx.load_from_string(data), prefix)
        names = {f"{prefix}{key}": key for key in inputs}
        for output in part.graph.output:
            names[output.name] = f"{output.name.removeprefix(prefix)}.{name}"
        _rename(part.graph, names)
        if whole is None:
            whole = part
            continue
        for field in ("node", "initializer", "output"):
            getattr(whole.graph, field).extend(getattr(part.graph, field))
        whole.functions.extend(part.functions)
        _add_opsets(whole, part)
    del whole.graph.value_info[:]
    onnx.checker.check_model(whole)
    found: bytes = whole.SerializeToString()
    return found


def _rename(graph: Any, names: Mapping[str, str]) -> None:
    for node in graph.node:
        node.input[:] = [names.get(key, key) for key in node.input]
        node.output[:] = [names.get(key, key) for key in node.output]
    for value in (*graph.input, *graph.output):
        value.name = names.get(value.name, value.name)


def _add_opsets(whole: Any, part: Any) -> None:
    """All come from one exporter, so that a domain has one version; of sklearn's graphs some need one more
    domain."""
    known = {opset.domain: opset.version for opset in whole.opset_import}
    for opset in part.opset_import:
        if opset.domain not in known:
            whole.opset_import.append(opset)
