"""skops files (skops-dev/skops, io): schema.json names every class that would be built; only types of scikit-learn,
NumPy and SciPy that hold no code are let through. skops itself holds them against its own list again when it
opens one.
"""

import re
from pathlib import Path
from typing import Any, Final

from modelyard.errors import Corrupt, NotAllowedFormat
from modelyard.trust.inspection.bounded import read_object, walk
from modelyard.trust.inspection.contract import JSON_BYTES, Inspection
from modelyard.trust.inspection.pickles import holds_objects, pickled
from modelyard.trust.inspection.zips import open_zip, read_head, read_member, zip_members

_BUILTINS: Final = frozenset(
    {
        "int",
        "float",
        "str",
        "bool",
        "list",
        "dict",
        "tuple",
        "set",
        "slice",
        "bytes",
        "bytearray",
        "complex",
        "NoneType",
        "type",
        "object",
    }
)
_LOADERS: Final = frozenset(
    {
        "DictNode",
        "DefaultDictNode",
        "ListNode",
        "SetNode",
        "TupleNode",
        "FunctionNode",
        "TypeNode",
        "SliceNode",
        "ObjectNode",
        "JsonNode",
        "BytesNode",
        "BytearrayNode",
        "NdArrayNode",
        "MaskedArrayNode",
        "RandomStateNode",
        "RandomGeneratorNode",
        "DTypeNode",
        "SparseMatrixNode",
        "TreeNode",
        "LossNode",
        "CachedNode",
        "_DictWithDeprecatedKeysNode",
        "SGDNode",
        "ConstructorFromReduceNode",
        "ReduceNode",
    }
)
"""PartialNode, MethodNode and OperatorFuncNode call what they name, and are not among them."""
_FUNCTIONS: Final = """
    abs absolute add arccos arccosh arcsin arcsinh arctan arctan2 arctanh cbrt ceil conj cos cosh deg2rad degrees
    divide equal exp exp2 expm1 fabs float_power floor floor_divide fmax fmin fmod greater greater_equal heaviside
    hypot invert isfinite isinf isnan less less_equal log log10 log1p log2 logaddexp logical_and logical_not
    logical_or logical_xor max maximum mean median min minimum mod multiply negative not_equal positive power
    rad2deg radians reciprocal remainder rint round sign signbit sin sinh sqrt square std subtract sum tan tanh
    true_divide trunc var
"""
"""NumPy's functions of numbers alone."""
_SKLEARN: Final = re.compile(
    r"sklearn\.(?!externals|datasets|tests|utils\._test|utils\.estimator_checks)[\w.]+"
)
_NUMERIC: Final = re.compile(r"(numpy|scipy)(\.(random|dtypes|sparse|special|core|_core|ma|stats))?(\.\w+)*")
_WAY: Final = "estimators, pipelines and transformers of scikit-learn; other libraries' through ONNX"
_TASKS: Final = (
    ("Classifier", "tabular-classification"),
    ("Regress", "tabular-regression"),
    ("SVC", "tabular-classification"),
    ("SVR", "tabular-regression"),
    ("Ridge", "tabular-regression"),
    ("Lasso", "tabular-regression"),
    ("NB", "tabular-classification"),
    ("KMeans", None),
)


def inspect(path: Path, name: str) -> Inspection:
    """Raises NotAllowedFormat for types that are not trusted, Corrupt."""
    with open_zip(path, name) as archive:
        members = {i.filename: i for i in zip_members(archive)}
        schema = read_object(read_member(archive, "schema.json", name, JSON_BYTES), name)
        for member, info in members.items():
            if member != "schema.json" and not member.endswith((".npy", ".npz", ".bin")):
                raise NotAllowedFormat(f"{name!r} holds a file that no skops model has", came=member)
            if member.endswith(".npy") and holds_objects(read_head(archive, info, name)):
                raise pickled(f"{name}: {member}")
    types = _types(schema, name)
    estimator = str(schema.get("__class__"))[:100]
    final = _final(schema)
    task = next(
        (task for part, task in _TASKS if part in final),
        "tabular-classification" if "Logistic" in final else None,
    )
    facts = {
        "class": f"{schema.get('__module__')}.{estimator}"[:200],
        "estimator": final,
        "types": len(types),
        "skops_version": str(schema.get("_skops_version", ""))[:40],
        "tensors": sum(1 for m in members if m.endswith(".npy")),
    }
    return Inspection(format="skops", facts=facts, task=task, why=f"a skops file whose last step is {final}")


def is_skops(names: set[str]) -> bool:
    return "schema.json" in names


def _types(schema: dict[str, Any], name: str) -> set[str]:
    found: set[str] = set()
    for value in walk(schema):
        if isinstance(value, dict) and "__loader__" in value:
            found.add(_check(value, name))
    if not found:
        raise Corrupt.because(name, "has a schema that names no object")
    return found


def _check(value: dict[str, Any], name: str) -> str:
    module, cls, loader = (value.get(key) for key in ("__module__", "__class__", "__loader__"))
    if not all(isinstance(part, str) for part in (module, cls, loader)):
        raise Corrupt.because(name, "has a schema that cannot be read")
    kind = f"{module}.{cls}"
    if loader not in _LOADERS:
        raise NotAllowedFormat(
            f"{name!r} holds something that runs code: {kind[:100]!r}", came=loader, allowed=_WAY
        )
    if not _trusted(str(module), str(cls), str(loader)):
        raise NotAllowedFormat(f"{name!r} holds a type that is not trusted", came=kind, allowed=_WAY)
    return kind


def _trusted(module: str, cls: str, loader: str) -> bool:
    if loader == "FunctionNode":  # any other function would be called with data of the file's choosing
        if re.fullmatch(r"scipy\.special(\.\w+)*", module) is not None:
            return cls.isidentifier()
        return re.fullmatch(r"numpy(\._?core\.\w+)?", module) is not None and cls in _FUNCTIONS.split()
    if not all(part.isidentifier() for part in cls.split(".")):
        return False
    if module == "builtins":
        return cls in _BUILTINS
    if module == "collections":
        return cls in ("OrderedDict", "defaultdict")
    return _SKLEARN.fullmatch(module) is not None or _NUMERIC.fullmatch(module) is not None


def _final(schema: dict[str, Any]) -> str:
    """The class of the last step of a pipeline, or of the object itself."""
    last = str(schema.get("__class__"))[:100]
    if last != "Pipeline":
        return last
    steps = schema
    for key in ("content", "content", "steps", "content"):
        inside = steps.get(key) if isinstance(steps, dict) else None
        if isinstance(inside, list):
            break
        steps = inside if isinstance(inside, dict) else {}
    listed = steps.get("content") if isinstance(steps, dict) else None
    step = listed[-1] if isinstance(listed, list) and listed else None
    pair = step.get("content") if isinstance(step, dict) else None
    part = pair[-1] if isinstance(pair, list) and pair else None
    return str(part.get("__class__"))[:100] if isinstance(part, dict) else last
