"""Recognising pickles without opening them: their opcodes are walked (pickletools.genops), never executed.

Sources: PEP 307, PEP 3154 (protocols 2 to 5) and CPython's Lib/pickletools.py; NumPy's NEP 1 for .npy headers.
"""

import ast
import io
import pickletools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from modelyard.errors import NotAllowedFormat
from modelyard.trust.inspection.bounded import head_of

HEAD_BYTES: Final = 256 << 10
_MOST_OPCODES: Final = 20_000
_SUFFIXES: Final = (".pkl", ".pickle", ".joblib", ".pt", ".pth", ".ckpt", ".dill", ".p", ".cloudpickle")
_OTHERS: Final = (
    b"PK\x03\x04",
    b"GGUF",
    b"PAR1",
    b"\x89PNG",
    b"\x89HDF",
    b"\xff\xd8",
    b"\x1f\x8b",
    b"RIFF",
    b"OggS",
    b"ARROW1",
    b"\x93NUMPY",
    b"BZh",
    b"\xfd7zXZ",
    b"%PDF",
    b"{",
    b"<",
)
"""What files of other kinds begin with: chance would make opcodes of some of them."""
_CALLS: Final = frozenset(
    {
        "GLOBAL",
        "STACK_GLOBAL",
        "REDUCE",
        "BUILD",
        "INST",
        "OBJ",
        "NEWOBJ",
        "NEWOBJ_EX",
        "EXT1",
        "EXT2",
        "EXT4",
    }
)
_NAMED: Final = re.compile(r"[A-Za-z_][\w.]* [A-Za-z_][\w.]*")
_WAY: Final = {
    "torch": "for PyTorch, modelyard.log_model(model, ...), torch.export.save (.pt2) or safetensors",
    "": "for scikit-learn, skops; for PyTorch, .pt2 or safetensors; for Keras, .keras; or ONNX for any of them",
}


def refuse_name(name: str) -> None:
    """Raises NotAllowedFormat for the name of a pickle."""
    if name.lower().endswith(_SUFFIXES):
        raise pickled(name)


def refuse_pickle(path: Path, name: str) -> None:
    """Raises NotAllowedFormat for a pickle, whatever it is called: a stream of opcodes of any protocol, a zip that
    torch.save wrote, an .npy of Python objects."""
    refuse_head(head_of(path, HEAD_BYTES), path.stat().st_size, name)


def refuse_head(head: bytes, size: int, name: str) -> None:
    """The same by a file's first bytes and its size."""
    if is_pickle(head, size) or _torch_zip(head) or holds_objects(head):
        raise pickled(name)


def pickled(name: str) -> NotAllowedFormat:
    """The refusal, with the way to a safe format."""
    torch = name.lower().endswith((".pt", ".pth", ".bin", ".ckpt"))
    return NotAllowedFormat(
        "pickles can run code and are never opened", came=name, allowed=_WAY["torch" if torch else ""]
    )


def is_pickle(head: bytes, size: int) -> bool:
    """Whether bytes that begin with `head`, `size` in all, are a pickle of any protocol."""
    if head[:1] == b"\x80" and head[1:2] <= b"\x05" and len(head) > 2:
        return _binary(head, size)
    if head.startswith(_OTHERS) or not head:
        return False
    return _text(head, size)


def holds_objects(head: bytes) -> bool:
    """Whether an .npy file's elements are Python objects, which NumPy keeps as a pickle."""
    if not head.startswith(b"\x93NUMPY") or len(head) < 12:
        return False
    start, length = (10, int.from_bytes(head[8:10], "little"))
    if head[6] >= 2:
        start, length = (12, int.from_bytes(head[8:12], "little"))
    try:
        described = ast.literal_eval(head[start : start + min(length, 1 << 16)].decode("latin-1").strip())
        return any("O" in part for part in _strings(described["descr"]))
    except (ValueError, SyntaxError, KeyError, TypeError, MemoryError, RecursionError):
        return True  # a header that cannot be read is no array of numbers


def globals_of(data: bytes, name: str) -> set[str]:
    """The names ("module name") that a small protocol-2 pickle would import. Raises NotAllowedFormat for opcodes
    whose import cannot be told from reading, and for bytes that are no pickle."""
    found: set[str] = set()
    last = None
    for opcode, argument, _ in _opcodes(data):
        last = opcode.name
        if last == "GLOBAL":
            found.add(str(argument))
        elif last in _CALLS - {"REDUCE", "BUILD"}:
            raise pickled(name)
    if last != "STOP":
        raise pickled(name)
    return found


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value.lstrip("<>|=")
    elif isinstance(value, list | tuple):
        for one in value[1:2] if isinstance(value, tuple) else value:
            yield from _strings(one)


def _torch_zip(head: bytes) -> bool:
    """A zip whose first member is NAME/data.pkl, or data.pkl."""
    if not head.startswith(b"PK\x03\x04") or len(head) < 30:
        return False
    length = int.from_bytes(head[26:28], "little")
    return head[30 : 30 + length].rpartition(b"/")[2] == b"data.pkl"


def _opcodes(data: bytes) -> Iterator[tuple[Any, Any, int]]:
    """Up to the first byte that is no opcode, or the end."""
    stream = pickletools.genops(io.BytesIO(data))
    for _ in range(_MOST_OPCODES):
        try:
            opcode, argument, place = next(stream)
        except StopIteration:
            return
        except Exception:  # genops raises whatever a decoder does
            return
        yield opcode, argument, place or 0


def _binary(head: bytes, size: int) -> bool:
    """A protocol was named. Data that begins so by chance comes to a byte that is no opcode, and has called
    nothing."""
    count, called, last = 0, False, ""
    for opcode, _, _ in _opcodes(head):
        count, last = count + 1, opcode.name
        called = called or last in _CALLS
        if last == "STOP":
            return True
    return called or (size > len(head) and count > 4) or count >= _MOST_OPCODES


def _text(head: bytes, size: int) -> bool:
    """Protocols 0 and 1 name none, and their opcodes are letters that tables of text begin with too: one is
    believed when it comes to its end with a single object."""
    stack: list[bool] = []  # whether each entry is a mark
    called = False
    for opcode, argument, place in _opcodes(head):
        if opcode.name in ("GLOBAL", "INST") and not _NAMED.fullmatch(str(argument)):
            return False
        if not _step(stack, opcode):
            return False
        called = called or opcode.name in _CALLS - {"GLOBAL"}
        if opcode.name == "STOP":
            return not stack and (called or place + 1 >= size - 1)
    return False


def _step(stack: list[bool], opcode: Any) -> bool:
    """What an opcode does to the depth of the stack; whether it could."""
    taken = list(opcode.stack_before)
    if pickletools.markobject in taken:
        if True not in stack:
            return False
        while not stack.pop():
            pass
        taken = taken[: taken.index(pickletools.markobject)]
    if len(taken) > len(stack) or any(stack[len(stack) - len(taken) :]):
        return False
    del stack[len(stack) - len(taken) :]
    stack += [one is pickletools.markobject for one in opcode.stack_after]
    return True
