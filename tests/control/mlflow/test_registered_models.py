import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.control.mlflow.names import check_alias, check_registered, platform_name
from modelyard.control.services.names import is_name
from modelyard.errors import InvalidInput

pytestmark = pytest.mark.filterwarnings("ignore")  # of the stock client's own


def test_a_registered_model_from_beginning_to_end(server):
    client = server.client
    client.create_registered_model("House Prices", tags={"a": "1"}, description="first")
    client.set_registered_model_tag("House Prices", "k", "v")
    client.delete_registered_model_tag("House Prices", "a")
    client.update_registered_model("House Prices", description="second")
    client.rename_registered_model("House Prices", "House Prices 2")
    found = client.get_registered_model("House Prices 2")
    assert (found.description, found.tags, found.latest_versions) == ("second", {"k": "v"}, [])
    client.create_registered_model("House Prices")  # the name is free again
    client.delete_registered_model("House Prices")
    client.delete_registered_model("House Prices 2")
    server.refused(
        "GET", "registered-models/get", 404, "RESOURCE_DOES_NOT_EXIST", params={"name": "House Prices 2"}
    )


def test_a_name_is_taken_once(server):
    server.client.create_registered_model("taken")
    server.refused("POST", "registered-models/create", 400, "RESOURCE_ALREADY_EXISTS", json={"name": "taken"})


@pytest.mark.parametrize("name", ["", " ", "a/b", "a:b", "a\0b", "a\nb", "x" * 251, "../.."])
def test_names_that_are_none(server, name):
    server.refused("POST", "registered-models/create", 400, "INVALID_PARAMETER_VALUE", json={"name": name})


def test_searching(server):
    for name in ("Find one", "Find two", "find three"):
        server.client.create_registered_model(name, tags={"n": name[-1]})
    found = server.client.search_registered_models("name LIKE 'Find %'", order_by=["name DESC"])
    assert [m.name for m in found] == ["Find two", "Find one"]
    assert [m.name for m in server.client.search_registered_models("name ILIKE 'FIND%' AND tags.n = 'e'")] == [
        "Find one", "find three",
    ]  # fmt: skip
    page = server.client.search_registered_models("name ILIKE 'find%'", max_results=2)
    rest = server.client.search_registered_models("name ILIKE 'find%'", max_results=2, page_token=page.token)
    assert len({m.name for m in (*page, *rest)}) == 3
    for bad in ({"max_results": 10**9}, {"filter": "x"}, {"page_token": "x"}, {"order_by": "bogus"}):
        server.refused("GET", "registered-models/search", 400, "INVALID_PARAMETER_VALUE", params=bad)


@given(st.text(min_size=1, max_size=100), st.text(min_size=1, max_size=100))
def test_no_two_names_become_one(one, two):
    assert is_name(platform_name(one))
    assert (platform_name(one) == platform_name(two)) == (one == two)
    assert platform_name(platform_name(one)) == platform_name(one) or platform_name(one) != one
    assert one == two or platform_name(one) != platform_name(platform_name(two)) or is_name(two)


def test_names_here():
    assert platform_name("iris-2.net") == "iris-2.net"
    mapped = platform_name("My Model")
    assert mapped.startswith("my-model-x")
    assert platform_name(mapped) != mapped  # or it would be what "My Model" is
    assert platform_name("Ü").startswith("model-x")


def test_what_names_and_aliases_may_be():
    assert check_registered("Ä ö") == "Ä ö"
    assert check_alias("Champion_2-a") == "Champion_2-a"
    for alias in ("latest", "Latest", "v12", "V1", "a b", "", "x" * 256, "é"):
        with pytest.raises(InvalidInput):
            check_alias(alias)
