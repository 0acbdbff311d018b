"""Models, against a real platform."""

import pytest

from modelyard.errors import Conflict, InvalidInput, NotFound
from stocked import Stocked

pytestmark = pytest.mark.slow  # real processes


def test_a_report_is_figures_and_a_page(stocked: Stocked) -> None:
    models = stocked.client.models
    newest, first = models.report("wine"), models.report("wine:1")
    assert newest["split"] == first["split"] == "test"
    assert newest["model_digest"] == models.version("wine:2")["digest"] != first["model_digest"]
    assert first["metrics"]["values"]["accuracy"] > 0.8
    page = models.report_page("wine:1")
    assert b"<html" in page[:200]
    assert first["model_digest"].encode() in page


def test_what_is_not_there_is_named_with_what_is(stocked: Stocked) -> None:
    models = stocked.client.models
    with pytest.raises(NotFound, match="no such version; came: 9; allowed: latest, 2, 1"):
        models.report("wine:9")
    models.alias("wine", "steady", 1)
    with pytest.raises(NotFound, match=r"no such alias; came: @steddy; allowed: .*@steady"):
        models.version("wine@steddy")


def test_a_version_is_deleted_unless_it_serves(stocked: Stocked) -> None:
    client = stocked.client
    stocked.train("wine-short", "wine", "decision_tree")
    client.deploy("wine-short", "wine-short")
    with pytest.raises(InvalidInput, match="which version"):
        client.models.delete("wine-short")
    with pytest.raises(Conflict, match="wine-short"):
        client.models.delete("wine-short:1")
    client.deployments.delete("wine-short")
    client.models.delete("wine-short:1")
    assert client.models.show("wine-short").versions == []
