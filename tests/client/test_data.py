"""Data sets, against a real platform."""

import pytest

from modelyard.errors import Conflict, InvalidInput, NotFound
from stocked import Stocked

pytestmark = pytest.mark.slow  # real processes


def test_a_sample_is_a_row_with_its_label(stocked: Stocked) -> None:
    data = stocked.client.data
    sample = data.sample("wine:1", row=3, split="train")
    assert (sample.dataset, sample.split, sample.row) == ("wine:1", "train", 3)
    assert sample.label == sample[sample.raw["label"]]
    assert len(sample.features) == 13
    with pytest.raises(InvalidInput, match="no such row; came: 9999; allowed: 0 to 17"):
        data.sample("wine", row=9999)
    with pytest.raises(InvalidInput, match="test, train, validation"):
        data.sample("wine", split="tset")


def test_a_profile_is_figures_text_and_a_page(stocked: Stocked) -> None:
    data = stocked.client.data
    assert data.profile("wine")["rows"] == 178
    assert data.profile_file("wine:1").startswith(b"178 rows, 14 columns")
    assert b"<html" in data.profile_file("wine", "profile.html")[:200]
    with pytest.raises(NotFound, match=r"nothing\.txt"):
        data.profile_file("wine", "nothing.txt")


def test_a_version_is_deleted_and_said_to_be_gone(stocked: Stocked) -> None:
    data = stocked.client.data
    assert data.add("iris-gone", builtin="iris").label is not None
    with pytest.raises(InvalidInput, match="which version"):
        data.delete("iris-gone")
    with pytest.raises(NotFound, match="no such version; came: 2; allowed: latest, 1"):
        data.delete("iris-gone:2")
    data.delete("iris-gone:1")
    with pytest.raises(NotFound, match="'iris-gone' has no version"):
        data.sample("iris-gone")


def test_a_version_that_a_run_works_on_is_kept(stocked: Stocked) -> None:
    client = stocked.client
    client.data.add("iris-busy", builtin="iris")
    keys = {
        "task": "tabular-classification",
        "name": "iris-busy",
        "data": "iris-busy",
        "net": "random_forest",
    }
    run = client.train(wait=False, **keys)
    with pytest.raises(Conflict, match=run.id):
        client.data.delete("iris-busy:1")
    run.cancel()
