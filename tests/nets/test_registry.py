import pytest

from modelyard import nets, tasks
from modelyard.errors import InvalidInput, UnknownName


def test_an_unknown_net_is_named_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'random_forest'"):
        nets.load("random_forrest")


def test_a_net_that_does_not_take_the_task_is_refused_with_those_that_do() -> None:
    with pytest.raises(InvalidInput) as caught:
        nets.load_for("linear_regression", "image-classification")
    assert "does not take the task; came: image-classification; allowed: mlp, cnn" in caught.value.message
    assert "linear_regression," not in caught.value.message.partition("allowed")[2]


@pytest.mark.parametrize("name", nets.NETS)
def test_every_net_says_its_name_source_tasks_and_defaults(name: str) -> None:
    net = nets.load(name)
    assert net.name == name
    assert net.source
    assert net.tasks
    assert set(net.tasks) <= set(tasks.TASKS)
    net.config()
