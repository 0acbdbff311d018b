import pytest
import torch

from modelyard.errors import InvalidInput
from modelyard.training import devices


def test_what_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert devices.chosen("auto").type == devices.chosen("cpu").type == "cpu"
    with pytest.raises(InvalidInput, match="no CUDA device"):
        devices.chosen("cuda")


def test_cuda_is_chosen_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    assert devices.chosen("auto").type == devices.chosen("cuda").type == "cuda"
    assert devices.chosen("cpu").type == "cpu"


@pytest.mark.parametrize(
    ("precision", "kind", "expected"),
    [("auto", "cpu", torch.float32), ("float32", "cpu", torch.float32), ("bfloat16", "cpu", torch.bfloat16)],
)
def test_products_are_of_the_precision(
    precision: devices.Precision, kind: str, expected: torch.dtype
) -> None:
    with devices.mixed(precision, torch.device(kind)):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == expected


@pytest.mark.skipif(torch.cuda.is_available(), reason="the warning is of machines without CUDA")
def test_auto_is_bfloat16_on_cuda() -> None:
    with pytest.warns(UserWarning, match="CUDA is not available"):  # here; where it is, there is no warning
        found = devices.mixed("auto", torch.device("cuda"))
    assert isinstance(found, torch.autocast)
    assert found.fast_dtype == torch.bfloat16
