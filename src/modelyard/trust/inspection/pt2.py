"""`.pt2` archives (torch.export.save, PyTorch 2.13: torch/export/pt2_archive): a graph of PyTorch's own operators.

Loading one is not safe by itself: torch unpickles weights that say so, evaluates symbolic expressions with
sympy and looks operators up by their dotted names. So names and expressions are held against lists here. The
example inputs that every archive carries are a small pickle of tensors, and torch.export.load asks for them: its
opcodes are walked, and it may only name the functions that rebuild tensors.
"""

import ast
import io
import re
import zipfile
from pathlib import Path
from typing import Any, Final
from zipfile import ZipFile

from modelyard.errors import Corrupt, NotAllowedFormat
from modelyard.trust.inspection.bounded import read_object, walk
from modelyard.trust.inspection.contract import JSON_BYTES, Inspection
from modelyard.trust.inspection.pickles import globals_of, pickled
from modelyard.trust.inspection.zips import DAMAGED, open_zip, read_member, zip_members

_PICKLE_BYTES: Final = 1 << 20
_SAMPLE_BYTES: Final = 256 << 20
_TARGET: Final = re.compile(
    r"torch\.ops\.(aten|prims|quantized_decomposed|quantized|higher_order|symint|_c10d_functional)\.\w+(\.\w+)?"
    r"|_operator\.(add|sub|mul|floordiv|truediv|mod|pow|neg|pos|abs|eq|ne|lt|le|gt|ge|and_|or_|xor|not_|getitem|lshift|rshift)"
    r"|math\.\w+|torch\.(_)?sym_\w+|torch\._C\._(set_grad_enabled|enter_autocast|exit_autocast)|"
)
_REBUILT: Final = frozenset(
    {
        "collections OrderedDict",
        "torch._utils _rebuild_tensor_v2",
        "torch._utils _rebuild_tensor_v3",
        "torch._utils _rebuild_parameter",
        "torch._utils _rebuild_sparse_tensor",
        "torch Size",
        "torch device",
        "torch.serialization _get_layout",
        "torch.storage UntypedStorage",
        "torch nn.parameter.Parameter",
        *(
            f"torch {kind}Storage"
            for kind in (
                "Float",
                "Double",
                "Half",
                "BFloat16",
                "Long",
                "Int",
                "Short",
                "Char",
                "Byte",
                "Bool",
                "ComplexFloat",
                "ComplexDouble",
                "Untyped",
            )
        ),
        *(
            f"torch {kind}"
            for kind in (
                "float32",
                "float64",
                "float16",
                "bfloat16",
                "int64",
                "int32",
                "int16",
                "int8",
                "uint8",
                "bool",
                "complex64",
                "complex128",
                "strided",
            )
        ),
    }
)
_EXPRESSION: Final = (
    ast.Expression,
    ast.Call,
    ast.Name,
    ast.Load,
    ast.Constant,
    ast.keyword,
    ast.BinOp,
    ast.UnaryOp,
    ast.Compare,
    ast.BoolOp,
    ast.Add,
    ast.Sub,
    ast.Mult,
    ast.Div,
    ast.FloorDiv,
    ast.Mod,
    ast.Pow,
    ast.USub,
    ast.UAdd,
    ast.And,
    ast.Or,
    ast.Not,
    ast.Eq,
    ast.NotEq,
    ast.Lt,
    ast.LtE,
    ast.Gt,
    ast.GtE,
    ast.Tuple,
)
_GUARD: Final = (*_EXPRESSION, ast.Subscript, ast.Attribute, ast.In, ast.NotIn, ast.Is, ast.IsNot)
_CALLED: Final = re.compile(
    r"Symbol|Integer|Float|Rational|Add|Mul|Pow|Max|Min|Mod|PythonMod|FloorDiv|CleanDiv|CeilDiv|ModularIndexing|TruncToInt|"
    r"FloorToInt|CeilToInt|ToFloat|IntTrueDiv|FloatTrueDiv|Where|Eq|Ne|Lt|Le|Gt|Ge|And|Or|Not|RoundToInt|Identity|Abs|"
    r"Equality|Unequality|StrictLessThan|LessThan|StrictGreaterThan|GreaterThan|Pow_by_natural|PowByNatural|Piecewise"
)
_LONGEST: Final = 5_000


def inspect(path: Path, name: str) -> Inspection:
    """Raises NotAllowedFormat for pickled weights, compiled code and names that are not PyTorch's operators,
    Corrupt."""
    with open_zip(path, name) as archive:
        members = {i.filename: i for i in zip_members(archive)}
        root = next((m.rpartition("archive_format")[0] for m in members if m.endswith("archive_format")), "")
        _check_members(archive, root, [m.removeprefix(root) for m in members], name)
        models = [m for m in members if re.fullmatch(r"models/[\w.-]+\.json", m.removeprefix(root))]
        if len(models) != 1:
            raise NotAllowedFormat(f"{name!r} holds another number of programs than one", came=len(models))
        program = read_object(read_member(archive, models[0], name, JSON_BYTES), name)
    nodes = _check_program(program, name)
    facts = {
        "torch_version": str(program.get("torch_version", ""))[:40],
        "nodes": nodes,
        "tensors": sum(1 for m in members if "/weights/weight_" in m),
        "parameters_bytes": sum(i.file_size for m, i in members.items() if "/weights/weight_" in m),
        "inputs": _inputs(program)[:50],
    }
    return Inspection(format="pt2", facts=facts, why=f"a torch.export archive of {nodes} operators")


def is_pt2(names: set[str]) -> bool:
    return any(n == "archive_format" or n.endswith("/archive_format") for n in names)


def _check_members(archive: ZipFile, root: str, members: list[str], name: str) -> None:
    for member in members:
        if re.fullmatch(r"data/sample_inputs/[\w.-]+\.pt", member):
            _check_sample(read_member(archive, root + member, name, _SAMPLE_BYTES), f"{name}: {member}")
        elif re.fullmatch(r"data/(weights|constants)/[\w.-]+_config\.json", member):
            _check_payloads(
                read_object(read_member(archive, root + member, name, JSON_BYTES), name), f"{name}: {member}"
            )
        elif not re.fullmatch(
            r"archive_format|archive_version|version|byteorder|\.data/[\w.-]+|\.format_version|\.storage_alignment"
            r"|models/[\w.-]+\.json|data/weights/weight_\d+|data/constants/tensor_\d+|extra/[\w.-]+",
            member,
        ):
            raise NotAllowedFormat(f"{name!r} holds something that is no graph and no tensor", came=member)


def _check_sample(data: bytes, name: str) -> None:
    """torch.save's zip of the example inputs: data.pkl may only rebuild tensors."""
    if not data:
        return
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            pickles = [m for m in archive.namelist() if m.endswith("data.pkl")]
            if len(pickles) != 1 or len(set(archive.namelist())) != len(archive.namelist()):
                raise pickled(name)
            program = read_member(archive, pickles[0], name, _PICKLE_BYTES)
    except DAMAGED as error:
        raise Corrupt.because(name, f"cannot be read ({type(error).__name__})") from None
    foreign = globals_of(program, name) - _REBUILT
    if foreign:
        raise NotAllowedFormat(f"{name!r} has example inputs that are no tensors", came=sorted(foreign)[:5])


def _check_payloads(config: dict[str, Any], name: str) -> None:
    payloads = config.get("config")
    for key, payload in payloads.items() if isinstance(payloads, dict) else ():
        if not isinstance(payload, dict) or payload.get("use_pickle") is not False:
            raise pickled(f"{name} ({str(key)[:60]})")


def _check_program(program: dict[str, Any], name: str) -> int:
    """How many nodes it has, in all graphs."""
    nodes = 0
    for value in walk(program):
        if not isinstance(value, dict):
            continue
        if "target" in value and "inputs" in value and "outputs" in value:
            nodes += 1
            if not isinstance(value["target"], str) or not _TARGET.fullmatch(value["target"]):
                raise NotAllowedFormat(
                    f"{name!r} calls what is none of PyTorch's operators", came=value["target"]
                )
        if "expr_str" in value:
            _check_expression(value["expr_str"], _EXPRESSION, name)
        if any(key in value for key in ("as_custom_obj", "custom_obj")):
            raise NotAllowedFormat(f"{name!r} holds an object of a class of its own")
    for guard in program.get("guards_code") or ():
        _check_expression(guard, _GUARD, name)
    if not nodes:
        raise Corrupt.because(name, "has no graph")
    return nodes


def _check_expression(text: Any, allowed: tuple[type[ast.AST], ...], name: str) -> None:
    """A sum, product or comparison of sizes; sympy evaluates it as Python."""
    bad = NotAllowedFormat(f"{name!r} has an expression that is more than arithmetic", came=text)
    if not isinstance(text, str) or len(text) > _LONGEST:
        raise bad
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise bad from None
    for node in ast.walk(tree):
        if not isinstance(node, allowed):
            raise bad
        if isinstance(node, ast.Call) and not _may_call(node.func):
            raise bad
        if isinstance(node, ast.Attribute) and node.attr not in (
            "size",
            "shape",
            "stride",
            "storage_offset",
            "dtype",
        ):
            raise bad
        if isinstance(node, ast.Name) and node.id.startswith("__"):
            raise bad


def _may_call(function: ast.AST) -> bool:
    if isinstance(function, ast.Name):
        return _CALLED.fullmatch(function.id) is not None
    return isinstance(function, ast.Attribute) and function.attr in ("size", "stride", "storage_offset")


def _inputs(program: dict[str, Any]) -> list[str]:
    module = program.get("graph_module")
    signature = module.get("signature") if isinstance(module, dict) else None
    specs = signature.get("input_specs") if isinstance(signature, dict) else None
    found = []
    for spec in specs if isinstance(specs, list) else ():
        argument = (spec.get("user_input") or {}).get("arg") if isinstance(spec, dict) else None
        tensor = argument.get("as_tensor") if isinstance(argument, dict) else None
        if isinstance(tensor, dict):
            found.append(str(tensor.get("name"))[:100])
    return found
