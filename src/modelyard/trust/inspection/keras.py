"""`.keras` archives (Keras 3, saving/saving_lib.py): a configuration that names Keras's own classes alone.

`keras.saving` builds whatever object the configuration names, by module and class; safe mode refuses only
lambdas. So every name is held against a list here, and the layers that reach for files or code of their own are
not on it.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from zipfile import ZipFile

from modelyard.errors import Corrupt, NotAllowedFormat
from modelyard.trust.inspection.bounded import read_object, walk
from modelyard.trust.inspection.contract import JSON_BYTES, Inspection
from modelyard.trust.inspection.zips import DAMAGED, open_zip, read_member, zip_members

_MODULE: Final = re.compile(
    r"keras(\.src)?(\.(layers|models|engine|initializers|regularizers|constraints|activations|optimizers|losses|metrics"
    r"|dtype_policies|quantizers|ops|random|legacy|backend\.(common|(torch|tensorflow|jax)\.optimizers))(\.\w+)*)?"
)
_BARRED: Final = {
    "Lambda": "a Lambda layer holds Python code",
    "TorchModuleWrapper": "it holds a pickled PyTorch module",
    "TFSMLayer": "it loads another SavedModel from a path",
    "JaxLayer": "it holds Python code",
    "FlaxLayer": "it holds Python code",
}
_FUNCTIONS: Final = re.compile(
    r"keras(\.src)?\.(activations|losses|metrics|initializers|ops)(\.\w+)*|builtins"
)
_PLAIN: Final = ("slice", "complex", "ellipsis")
_MARKED: Final = frozenset(
    {"__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__complex__", "__keras_tensor__"}
)
_LOOKUPS: Final = ("IntegerLookup", "StringLookup", "IndexLookup", "TextVectorization")
_WAY: Final = (
    "layers of keras.layers without code of their own; or export to ONNX: model.export(path, format='onnx')"
)
_LAYERS: Final = (("Embedding", "text-classification"), ("Conv2D", "image-classification"))


def inspect(path: Path, name: str) -> Inspection:
    """Raises NotAllowedFormat for a class, function or module that is not Keras's own, and Corrupt."""
    with open_zip(path, name) as archive:
        members = {i.filename: i.file_size for i in zip_members(archive)}
        _check_members(archive, members, name)
        config = read_object(read_member(archive, "config.json", name, JSON_BYTES), name)
        metadata = read_object(read_member(archive, "metadata.json", name, 1 << 20), name)
    _check_config(config, name)
    layers = [str(layer.get("class_name")) for layer in _layers(config)]
    task, why = _task(config, layers)
    facts = {
        "keras_version": str(metadata.get("keras_version", ""))[:40],
        "class": str(config.get("class_name"))[:100],
        "layers": len(layers),
        "layer_classes": sorted(set(layers))[:50],
        "input": _input_shape(config),
        "weights_bytes": members["model.weights.h5"],
    }
    return Inspection(
        format="keras", facts=facts, task=task, why=f"a Keras archive of {len(layers)} layers{why}"
    )


def is_keras(names: set[str]) -> bool:
    return {"config.json", "metadata.json"} <= names


def _check_members(archive: ZipFile, members: dict[str, int], name: str) -> None:
    if "model.weights.h5" not in members:
        raise NotAllowedFormat(
            f"{name!r} has no model.weights.h5", allowed="what model.save('model.keras') writes"
        )
    try:
        with archive.open("model.weights.h5") as weights:
            magic = weights.read(8)
    except DAMAGED as error:
        raise Corrupt.because(name, f"has weights that cannot be read ({type(error).__name__})") from None
    if magic != b"\x89HDF\r\n\x1a\n":
        raise Corrupt.because(name, "has weights that are no HDF5")
    known = ("config.json", "metadata.json", "model.weights.h5")
    odd = [m for m in members if m not in known and not m.startswith("assets/")]
    if odd:
        raise NotAllowedFormat(f"{name!r} holds files that no Keras model has", came=odd[:5])


def _check_config(config: dict[str, Any], name: str) -> None:
    for value in walk(config):
        if isinstance(value, dict) and "class_name" in value:
            _check_class(value, name)


def _check_class(value: dict[str, Any], name: str) -> None:
    said, module = str(value["class_name"]), value.get("module")
    registered = value.get("registered_name")
    if said in _BARRED or said.startswith("__lambda"):
        raise _refused(name, said, _BARRED.get(said, "it holds Python code"))
    if said in _MARKED:
        return
    if isinstance(registered, str) and ">" in registered and not registered.startswith("keras"):
        raise _refused(name, registered, "it is a class of one's own")
    if said == "function" or (module == "builtins" and said not in _PLAIN):
        if not _is_own_function(value):
            raise _refused(name, f"{module}.{value.get('config')}", "it is a function of one's own")
        return
    if module is None and said.isidentifier():
        return  # an optimizer's or a policy's short form: found among Keras's own by its name
    if module == "builtins" and said in _PLAIN:
        return
    if not isinstance(module, str) or not _MODULE.fullmatch(module):
        raise _refused(name, f"{module}.{said}", "it is not one of Keras's own")
    if said in _LOOKUPS and isinstance((value.get("config") or {}).get("vocabulary"), str):
        raise _refused(name, said, "its vocabulary is a path")


def _is_own_function(value: dict[str, Any]) -> bool:
    """Keras writes its own functions with their module, or as builtins with their bare name ("relu")."""
    module, config = value.get("module"), value.get("config")
    if not isinstance(module, str) or not _FUNCTIONS.fullmatch(module):
        return False
    if module != "builtins":
        return True
    bare = isinstance(config, str) and re.fullmatch(r"[a-z_0-9]+", config) is not None
    return bare and value.get("registered_name") == "function" and value.get("class_name") == "function"


def _refused(name: str, what: str, why: str) -> NotAllowedFormat:
    return NotAllowedFormat(f"{name!r} holds {what[:100]!r}: {why}", allowed=_WAY)


def _layers(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    inside = config.get("config")
    listed = inside.get("layers") if isinstance(inside, dict) else None
    for layer in listed if isinstance(listed, list) else ():
        if isinstance(layer, dict):
            yield layer


def _input_shape(config: dict[str, Any]) -> Any:
    for layer in _layers(config):
        inside = layer.get("config")
        if layer.get("class_name") == "InputLayer" and isinstance(inside, dict):
            shape = inside.get("batch_shape", inside.get("batch_input_shape"))
            return [s if type(s) is int else -1 for s in shape] if isinstance(shape, list) else None
    return None


def _task(config: dict[str, Any], layers: list[str]) -> tuple[str | None, str]:
    shape = _input_shape(config)
    image = isinstance(shape, list) and _is_image(shape)
    if image:
        return "image-classification", f"; its input has an image's shape {shape}"
    for layer, task in _LAYERS:
        if layer in layers:
            return task, f"; it has {layer} layers"
    return None, ""


def _is_image(shape: list[int]) -> bool:
    """[rows, height, width, channels], or a square without channels."""
    return (len(shape) == 4 and shape[-1] in (1, 3, 4)) or (len(shape) == 3 and shape[1] == shape[2] > 1)
