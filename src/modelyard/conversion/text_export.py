"""A module of token tensors into ONNX with a free batch and a free length, else into `.pt2`.

The exporter that traces takes a second where Dynamo's takes six, and ONNX Runtime is as fast on the graph of either
(BERT of 6 layers), so it comes first; what it bakes in is found by asking at other lengths, the longest among them.
Outputs get their names after the export: those of the nodes inside, as "embedding", may be the same.
"""

import importlib
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from modelyard.conversion import onnx_graph
from modelyard.conversion.contract import Form, Save, Subject
from modelyard.conversion.reasons import reason
from modelyard.conversion.tokens import SENTENCES, Brought
from modelyard.conversion.torch import QUIET
from modelyard.engines import ENGINES, EngineOptions
from modelyard.errors import InvalidInput, MissingExtra, ParityMismatch
from modelyard.packages.golden import Array, GoldenSet, Tensors
from modelyard.types.package import NetRef
from modelyard.types.tensor import Signature, TensorSpec

LARGEST: Final = 1_900_000_000
"""Bytes of weights that stand in the ONNX file itself; protobuf's limit is 2 GiB."""
_GOLDEN_TOKENS: Final = 128


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
    longest = _longest(ask, brought)
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
        forms=_Export(module, brought, tensors, golden[0][0], longest).forms(),
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


def _longest(ask: Ask, brought: Brought) -> GoldenSet:
    """The longest text that the tokenizer makes, twice, with the network's answers."""
    text = " ".join(SENTENCES) * brought.preprocessing["max_length"]
    tensors = brought.tensors([text, text[::-1]])
    try:
        return tensors, ask(tensors)
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


class _Export:
    """The ways of one module into a file, each checked at its longest text."""

    def __init__(
        self, module: Any, brought: Brought, tensors: Signature, example: Tensors, longest: GoldenSet
    ) -> None:
        import torch

        self._module, self._brought, self._tensors, self._longest = module, brought, tensors, longest
        self._args = tuple(torch.from_numpy(np.ascontiguousarray(a)) for a in example.values())
        free = {0: torch.export.Dim("rows"), 1: torch.export.Dim.AUTO}
        self._shapes = (tuple(free for _ in self._args),)
        self._beside = sum(p.numel() * p.element_size() for p in module.parameters()) > LARGEST

    def forms(self) -> tuple[Form, ...]:
        """The exporter that traces has no one file for weights that are too large for the graph's."""
        exporters = (self._dynamo,) if self._beside else (self._traced, self._dynamo)
        named = [("onnx", export) for export in exporters] + [("pt2", self._program)]
        return tuple(Form(format=name, save=self._checked(name, save)) for name, save in named)

    def _checked(self, format: str, save: Save) -> Save:
        def checked(folder: Path) -> str:
            entry = save(folder)
            self._brought.write(folder)
            create = importlib.import_module(ENGINES[format]).create
            inputs, expected = self._longest
            found = create(folder / entry, self._tensors, EngineOptions()).run(inputs)
            for name, array in expected.items():
                if not np.allclose(
                    found[name], array, rtol=1e-4, atol=1e-5 * max(1.0, float(np.abs(array).max()))
                ):
                    raise ParityMismatch(f"{name} of the longest text is not what it was")
            return entry

        return checked

    def _traced(self, folder: Path) -> str:
        axes = {t.name: {0: "rows", 1: "tokens"} for t in self._tensors.inputs}
        axes |= {name: {0: "rows"} for name in self._nameless}
        return self._onnx(folder, dynamo=False, dynamic_axes=axes)

    def _dynamo(self, folder: Path) -> str:
        how = {"verbose": False, "external_data": self._beside}
        return self._onnx(folder, dynamo=True, dynamic_shapes=self._shapes, **how)

    def _program(self, folder: Path) -> str:
        import torch

        program = torch.export.export(self._module, self._args, dynamic_shapes=self._shapes)
        torch.export.save(program, folder / "model.pt2")
        return "model.pt2"

    @property
    def _nameless(self) -> list[str]:
        return [f"modelyard_output_{k}" for k in range(len(self._tensors.outputs))]

    def _onnx(self, folder: Path, **how: Any) -> str:
        import torch

        try:
            import onnxscript  # noqa: F401  what the exporter needs and does not name
        except ImportError as error:
            raise MissingExtra("onnxscript", "torch") from error
        path = folder / "model.onnx"
        names: dict[str, Any] = {
            "input_names": [t.name for t in self._tensors.inputs],
            "output_names": self._nameless,
        }
        for name in QUIET:
            logging.getLogger(name).setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter's own calls; parity finds what they are about
            torch.onnx.export(self._module, self._args, path, **names, **how)
        self._name_outputs(path)
        return path.name

    def _name_outputs(self, path: Path) -> None:
        import onnx

        model = onnx.load(path, load_external_data=False)
        outputs = [t.name for t in self._tensors.outputs]
        onnx_graph.rename(model, dict(zip(self._nameless, outputs, strict=True)))
        path.write_bytes(model.SerializeToString())
