"""Deployments, against a real platform."""

import pytest

from modelyard.errors import Conflict, NotFound
from stocked import Stocked
from waiting import wait_until

pytestmark = pytest.mark.slow  # real processes


def _shares(deployment: object) -> dict[int, float]:
    return {v["version"]: v["weight"] for v in deployment["versions"]}  # type: ignore[index]


def test_put_creates_and_then_redeploys(stocked: Stocked) -> None:
    client = stocked.client
    assert _shares(client.deployments.put("cellar-door", "wine:1").wait()) == {1: 1.0}
    client.models.alias("wine", "newest-one", 2)
    client.deployments.put("cellar-door", "wine@newest-one", replicas=2).wait()
    # The old version goes a moment after the new one is ready.
    shown = client.deployments.show
    again = wait_until(lambda: _shares(d := shown("cellar-door")) == {2: 1.0} and d, 10, "the old one's end")
    assert (again.state, again.ready) == ("ready", 2)
    with pytest.raises(Conflict, match="serves another model; came: beer; allowed: wine"):
        client.deployments.put("cellar-door", "beer")
    with pytest.raises(NotFound, match="allowed: latest, 2, 1"):
        client.deployments.put("cellar-door", "wine:7")
    client.deployments.delete("cellar-door")
    with pytest.raises(NotFound):
        client.deployments.show("cellar-door")


def test_a_whole_row_of_the_data_is_answered(stocked: Stocked) -> None:
    """The target and the free text of the data set may come along; a column that it has not may not."""
    client = stocked.client
    stocked.train("cellar", "cellar", "logistic_regression", target="grower")
    deployment = client.deploy("cellar", "cellar")
    row = client.data.sample("cellar").features
    assert {"bottle", "note", "grower"} < row.keys()
    features = {k: v for k, v in row.items() if k not in ("bottle", "note", "grower")}
    assert deployment.predict(row) == deployment.predict(features)
    with pytest.raises(Exception, match=r"unknown columns: \['vintage'\]"):
        deployment.predict(row | {"vintage": 1998})
    answer = stocked.yard("predict", "cellar", "cellar.csv", "-p", "top_k=1")
    assert answer.count("class_") == 178
    client.deployments.delete("cellar")
