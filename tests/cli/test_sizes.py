import pytest

from modelyard.cli.sizes import size
from modelyard.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "count"),
    [("8G", 8 << 30), ("512MiB", 512 << 20), (" 1.5 t", 3 << 39), ("100", 100), ("2kb", 2048), ("0", 0)],
)
def test_amounts(text: str, count: int) -> None:
    assert size(text, "--model-memory") == count


@pytest.mark.parametrize("text", ["", "G", "-1G", "8X", "1e9", "8 G B", "nan", "8,5G"])
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"--model-memory.*an amount of memory, as 512M or 8G"):
        size(text, "--model-memory")
