"""`yard runs`, against a real platform."""

import pytest

from modelyard.errors import InvalidInput
from stocked import Stocked

pytestmark = pytest.mark.slow  # real processes


def test_a_list_keeps_ids_whole_and_says_why_a_run_failed(stocked: Stocked) -> None:
    with pytest.raises(InvalidInput, match="loss"):
        stocked.train(
            "too-fast", "wine", "mlp", training={"optimizer": "sgd", "learning_rate": 100.0, "epochs": 9}
        )
    run = stocked.client.runs.list(1)[0]
    said = stocked.yard("runs", "list", "--limit", "5")
    assert run.id in said
    assert "loss" in said
    assert "rows, " in stocked.yard("runs", "list", "--limit", "200")
    assert "attempt 1" in stocked.yard("runs", "logs", run.id)
