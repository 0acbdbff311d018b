import pytest

from control_seed import add_tenant, admin_key
from modelyard.control.bootstrap import open_platform
from modelyard.control.mlflow.experiments import states_of

pytestmark = pytest.mark.filterwarnings("ignore")  # of the stock client's own


def test_an_experiment_from_beginning_to_end(server):
    client = server.client
    number = client.create_experiment("Überschrift 1", tags={"team": "a"})
    found = client.get_experiment_by_name("Überschrift 1")
    assert (found.experiment_id, found.tags, found.lifecycle_stage) == (number, {"team": "a"}, "active")
    assert found.artifact_location == f"mlflow-artifacts:/{number}"
    client.rename_experiment(number, "Other name")
    client.set_experiment_tag(number, "stage", "x")
    client.delete_experiment_tag(number, "team")
    found = client.get_experiment(number)
    assert (found.name, found.tags) == ("Other name", {"stage": "x"})
    client.delete_experiment(number)
    assert client.get_experiment(number).lifecycle_stage == "deleted"
    client.restore_experiment(number)
    assert client.get_experiment(number).lifecycle_stage == "active"


def test_the_default_one_is_always_there(server):
    assert server.client.get_experiment("0").name == "Default"
    assert server.client.get_experiment_by_name("nothing") is None
    server.refused("POST", "experiments/delete", 400, "INVALID_PARAMETER_VALUE", json={"experiment_id": "0"})


def test_a_name_is_taken_once(server):
    server.client.create_experiment("twice")
    message = server.refused(
        "POST", "experiments/create", 400, "RESOURCE_ALREADY_EXISTS", json={"name": "twice"}
    )
    assert "'twice'" in message


@pytest.mark.parametrize("name", ["", " ", "x" * 501, "a\0b", None])
def test_names_that_are_none(server, name):
    server.refused("POST", "experiments/create", 400, "INVALID_PARAMETER_VALUE", json={"name": name})


@pytest.mark.parametrize("number", ["999999999", "9" * 50, "x", "-1", "../0", "٣"])
def test_experiments_that_are_not_there(server, number):
    server.refused("GET", "experiments/get", 404, "RESOURCE_DOES_NOT_EXIST", params={"experiment_id": number})


def test_searching_in_an_order_and_in_pages(server):
    client = server.client
    for name in ("find a", "find b", "find C"):
        client.create_experiment(name, tags={"kind": name[-1]})
    names = [
        e.name for e in client.search_experiments(filter_string="name LIKE 'find%'", order_by=["name DESC"])
    ]
    assert names == ["find b", "find a", "find C"]
    assert [
        e.name for e in client.search_experiments(filter_string="name ILIKE 'FIND %' AND tags.kind = 'b'")
    ] == ["find b"]
    first = client.search_experiments(filter_string="name LIKE 'find%'", order_by=["name"], max_results=2)
    second = client.search_experiments(filter_string="name LIKE 'find%'", order_by=["name"], max_results=2,
                                       page_token=first.token)  # fmt: skip
    assert [e.name for e in (*first, *second)] == ["find C", "find a", "find b"]
    assert not second.token


def test_another_tenants_is_not_there(home):
    platform = open_platform(home)
    add_tenant(platform, "other")
    from modelyard.control.services import experiments

    with platform.database.write() as session:
        mine = experiments.create(session, "default", "mine", 1)
        assert experiments.find(session, "other", "mine") is None
        others = experiments.create(session, "other", "mine", 1)
        assert (mine.number, others.number) == (1, 1)
    assert admin_key(platform, "other")
    platform.database.close()


def test_views():
    assert states_of("ALL") == ("active", "deleted")
    assert states_of("nonsense") == ("active",)
