"""A small real package that needs a sandbox: the linear classifier of small_package as a program of PyTorch."""

import warnings
from pathlib import Path
from typing import Any

import msgspec

import small_package
from modelyard import packages
from modelyard.types.package import Manifest


def write_program_package(
    folder: Path, requirements: str | None = None, text: str = "", **fields: Any
) -> Manifest:
    """`requirements`: the digest of the environment that it asks for; `text`: its own file of them."""
    small_package.write_files(folder)
    (folder / "model.onnx").unlink()
    _write_program(folder / "model.pt2")
    if text:
        (folder / "requirements.txt").write_text(text)
    manifest = msgspec.structs.replace(small_package.manifest(), formats={"pt2": "model.pt2"}, **fields)
    if requirements is not None:
        manifest = msgspec.structs.replace(manifest, requirements=requirements)
    return packages.write(folder, manifest)


def _write_program(path: Path) -> None:
    import torch

    class Linear(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights = torch.nn.Parameter(torch.from_numpy(small_package.WEIGHTS.copy()))
            self.bias = torch.nn.Parameter(torch.from_numpy(small_package.BIAS.copy()))

        def forward(self, features: Any) -> Any:
            return torch.softmax(features @ self.weights + self.bias, 1)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        example = (torch.zeros(3, 2),)
        program = torch.export.export(Linear(), example, dynamic_shapes=({0: torch.export.Dim("rows")},))
        torch.export.save(program, path)
