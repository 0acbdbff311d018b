"""Where a net is trained, and in which numbers. Tried on CPUs: CUDA's part, PyTorch's usual calls, was not."""

import os
from contextlib import AbstractContextManager, nullcontext

import torch

from modelyard.errors import InvalidInput
from modelyard.training.recipe import Device, Precision


def chosen(given: Device) -> torch.device:
    """CUDA where there is one, unless the recipe says otherwise. Raises InvalidInput where it asks in vain."""
    there = torch.cuda.is_available()
    if given == "cuda" and not there:
        raise InvalidInput("there is no CUDA device", came="recipe.training.device cuda", allowed="auto, cpu")
    if given == "cpu" or not there:
        return torch.device("cpu")
    # What cuBLAS needs to give the same sums each time; read when its first handle is made.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    return torch.device("cuda")


def mixed(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Products in bfloat16; sums, norms and weights in float32 (Micikevicius et al. 2018, Mixed Precision Training;
    bfloat16 has float32's range, so losses need no scaling). "auto": on CUDA alone."""
    if precision == "float32" or (precision == "auto" and device.type != "cuda"):
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)
