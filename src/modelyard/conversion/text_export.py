"""A module of token tensors into ONNX with a free batch and a free length, else into `.pt2`.

Outputs get their names after the export: those of the nodes inside, as "embedding", may be the same.
"""

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from modelyard.conversion import onnx_graph
from modelyard.conversion.contract import Form, Subject
from modelyard.conversion.reasons import reason
from modelyard.conversion.tokens import SENTENCES, Brought
from modelyard.conversion.torch import QUIET
from modelyard.errors import InvalidInput, MissingExtra
from modelyard.packages.golden import Array, GoldenSet
from modelyard.types.package import NetRef
from modelyard.types.tensor import Signature, TensorSpec

LARGEST: Final = 1_900_000_000
"""Bytes of weights that stand in the ONNX file itself; protobuf's limit is 2 GiB."""
_GOLDEN_TOKENS: Final = 128
_NAMELESS: Final = "modelyard_output_"


def subject(
    module: Any,
    brought: Brought,
    outputs: Sequence[str],
    *,
    task: str,
    classes: tuple[str, ...],
    net: NetRef,
    notes: tuple[str, ...],
) -> Subject:
    """`module` takes tensors in the order of the preprocessing's inputs. Raises InvalidInput for a network that
    does not take the longest text that the tokenizer makes."""
    inputs = brought.preprocessing["inputs"]
    ask = _asker(module, inputs, outputs)
    _check_longest(ask, brought)
    golden = golden_sets(ask, brought)
    width = golden[0][1][outputs[0]].shape[1]
    preprocessing = brought.preprocessing | ({"width": width} if task == "feature-extraction" else {})
    tensors = Signature(
        inputs=tuple(TensorSpec(name=n, datatype="INT64", shape=(-1, -1)) for n in inputs),
        outputs=tuple(TensorSpec(name=n, datatype="FP32", shape=(-1, width)) for n in outputs),
    )
    return Subject(
        tensors=tensors,
        golden=golden,
        forms=_forms(module, brought, golden[0][0], list(outputs)),
        net=net,
        classes=classes,
        task=task,
        preprocessing=preprocessing,
        libraries=("torch", "transformers", "tokenizers", "onnxscript"),
        notes=notes,
    )


Ask = Callable[[Mapping[str, Array]], dict[str, Array]]


def _asker(module: Any, inputs: Sequence[str], outputs: Sequence[str]) -> Ask:
    import torch

    def ask(tensors: Mapping[str, Array]) -> dict[str, Array]:
        with torch.no_grad():
            answers = module(*(torch.from_numpy(tensors[name]) for name in inputs))
        listed = answers if isinstance(answers, tuple) else (answers,)
        return {name: a.numpy() for name, a in zip(outputs, listed, strict=True)}

    return ask


def _check_longest(ask: Ask, brought: Brought) -> None:
    tensors = brought.tensors([" ".join(SENTENCES) * brought.preprocessing["max_length"]])
    try:
        ask(tensors)
    except Exception as error:  # of whatever architecture
        raise InvalidInput(
            f"the network does not take the longest text of its tokenizer: {reason(error)}",
            came=f"{brought.preprocessing['max_length']} tokens",
            allowed="tokenizer.model_max_length as the network takes it",
        ) from error


def golden_sets(ask: Ask, brought: Brought) -> list[GoldenSet]:
    """Sentences of different lengths together, one word alone, and long texts: four rows each."""
    longest = min(_GOLDEN_TOKENS, brought.preprocessing["max_length"])
    long = [" ".join(SENTENCES[k:] + SENTENCES[:k]) * 8 for k in range(len(SENTENCES))]
    cut = {name: a[:, :longest].copy() for name, a in brought.tensors(long).items()}
    sets = [brought.tensors(list(SENTENCES)), brought.tensors(["rain"] * len(SENTENCES)), cut]
    return [(tensors, ask(tensors)) for tensors in sets]


def _forms(
    module: Any, brought: Brought, example: Mapping[str, Array], outputs: list[str]
) -> tuple[Form, ...]:
    import torch

    names = list(example)
    args = tuple(torch.from_numpy(np.ascontiguousarray(a)) for a in example.values())
    shapes = tuple({0: torch.export.Dim("rows"), 1: torch.export.Dim.AUTO} for _ in names)

    def dynamo(folder: Path) -> str:
        return _onnx(module, args, folder, (names, outputs), brought, dynamo=True, dynamic_shapes=(shapes,))

    def traced(folder: Path) -> str:
        axes = {n: {0: "rows", 1: "tokens"} for n in names} | {
            _nameless(k): {0: "rows"} for k in range(len(outputs))
        }
        return _onnx(module, args, folder, (names, outputs), brought, dynamo=False, dynamic_axes=axes)

    def program(folder: Path) -> str:
        brought.write(folder)
        torch.export.save(torch.export.export(module, args, dynamic_shapes=(shapes,)), folder / "model.pt2")
        return "model.pt2"

    return (
        Form(format="onnx", save=dynamo),
        Form(format="onnx", save=traced),
        Form(format="pt2", save=program),
    )


def _nameless(number: int) -> str:
    return f"{_NAMELESS}{number}"


def _onnx(module: Any, args: Any, folder: Path, names: tuple[list[str], list[str]], brought: Brought,
          **how: Any) -> str:  # fmt: skip
    import torch

    try:
        import onnxscript  # noqa: F401  what the exporter needs and does not name
    except ImportError as error:
        raise MissingExtra("onnxscript", "torch") from error
    inputs, outputs = names
    path = folder / "model.onnx"
    beside = sum(p.numel() * p.element_size() for p in module.parameters()) > LARGEST
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)
    if how["dynamo"]:
        how |= {"verbose": False, "external_data": beside}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own calls; parity finds what they are about
        torch.onnx.export(
            module,
            args,
            path,
            input_names=inputs,
            output_names=[_nameless(k) for k in range(len(outputs))],
            **how,
        )
    _name_outputs(path, outputs)
    brought.write(folder)
    return path.name


def _name_outputs(path: Path, outputs: list[str]) -> None:
    import onnx

    model = onnx.load(path, load_external_data=False)
    onnx_graph.rename(model, {_nameless(k): name for k, name in enumerate(outputs)})
    path.write_bytes(model.SerializeToString())
