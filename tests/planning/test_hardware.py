"""Hardware by its name."""

import pytest

from modelyard.errors import InvalidInput, UnknownName
from modelyard.planning.hardware import HARDWARE, Hardware, parse_hardware, with_changes
from modelyard.planning.measuring import measure


def never() -> Hardware:
    raise AssertionError("nothing is to be measured")


@pytest.mark.parametrize(
    ("text", "name", "count"),
    [("h100", "h100", 1), ("H100x8", "h100", 8), ("rtx4090", "rtx4090", 1), (" rtx4090x2 ", "rtx4090", 2)],
)
def test_a_name_and_a_number(text: str, name: str, count: int) -> None:
    assert parse_hardware(text, never) == (HARDWARE[name], count)


@pytest.mark.parametrize("text", ["", "x8", "h100x", "tpu", "h100x-1", "h100 x 8 y", "h101"])
def test_an_unknown_name(text: str) -> None:
    with pytest.raises(UnknownName, match="h200"):
        parse_hardware(text, never)


@pytest.mark.parametrize("text", ["h100x0", "h100x4097", "h100x999999999", "cpux2"])
def test_a_number_that_cannot_be(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_hardware(text, never)


def test_this_machine_is_measured() -> None:
    hardware, count = parse_hardware("cpu", measure)
    assert count == 1
    assert 1e8 < hardware.bandwidth < 1e13
    assert 1e8 < hardware.flops["fp32"] < 1e14
    assert hardware.memory > 1e8
    assert "measured now" in hardware.source


def test_price_and_host_can_be_said() -> None:
    changed = with_changes(HARDWARE["h100"], 0.0, 4)
    assert (changed.price, changed.per_host) == (0.0, 4)
    for price, host in ((-1.0, None), (float("nan"), None), (None, 0)):
        with pytest.raises(InvalidInput):
            with_changes(HARDWARE["h100"], price, host)


def test_dense_figures_have_the_ratios_of_tensor_cores() -> None:
    """FP8 is twice bf16, TF32 half of it: a figure with sparsity among them would show."""
    for hardware in HARDWARE.values():
        bf16 = hardware.flops["bf16"]
        assert hardware.flops["fp32"] == pytest.approx(bf16 / 2, rel=0.02)
        assert hardware.flops.get("fp8", 2 * bf16) == pytest.approx(2 * bf16, rel=0.02)
