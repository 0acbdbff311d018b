import pytest

pytestmark = pytest.mark.filterwarnings("ignore")  # of the stock client's own


@pytest.fixture(scope="module")
def stocked_experiment(server):
    """Five runs, of which two are deleted."""
    experiment = server.experiment()
    for number in range(5):
        run = server.client.create_run(experiment, run_name=f"run {number}", start_time=number + 1)
        server.client.log_metric(run.info.run_id, "acc", number / 10)
        server.client.log_param(run.info.run_id, "p", number % 2)
        if number >= 3:
            server.client.delete_run(run.info.run_id)
    return experiment


def names(found):
    return [run.info.run_name for run in found]


def test_filters_orders_and_views(server, stocked_experiment):
    def search(text="", **options):
        return names(server.client.search_runs([stocked_experiment], text, **options))

    assert search() == ["run 2", "run 1", "run 0"]
    assert search("metrics.acc > 0.05", order_by=["metrics.acc ASC"]) == ["run 1", "run 2"]
    assert search("params.p = '0' AND run_name LIKE 'run %'") == ["run 2", "run 0"]
    assert search("artifact_uri LIKE 'mlflow-artifacts:/%/artifacts'", max_results=1) == ["run 2"]
    assert search(run_view_type=2) == ["run 4", "run 3"]
    assert len(search(run_view_type=3)) == 5
    assert names(server.client.search_runs([], "")) == []


def test_pages(server, stocked_experiment):
    found, token = [], None
    while True:
        page = server.client.search_runs(
            [stocked_experiment], max_results=2, page_token=token, run_view_type=3
        )
        found += names(page)
        token = page.token
        if not token:
            break
    assert found == [f"run {n}" for n in (4, 3, 2, 1, 0)]


@pytest.mark.parametrize(
    "body",
    [
        {"max_results": 10**9},
        {"max_results": 0},
        {"max_results": -1},
        {"max_results": "many"},
        {"page_token": "forged"},
        {"page_token": "é"},
        {"page_token": "A" * 400},
        {"filter": "nonsense"},
        {"filter": 5},
        {"filter": "metrics.a > 1 " * 1000},
        {"order_by": ["bogus"]},
        {"order_by": "metrics.a"},
        {"order_by": [{"a": 1}]},
        {"experiment_ids": "1"},
        {"experiment_ids": ["1"] * 1001},
    ],
)
def test_what_is_no_search(server, stocked_experiment, body):
    server.refused(
        "POST", "runs/search", 400, "INVALID_PARAMETER_VALUE", json={"experiment_ids": ["0"]} | body
    )


def test_numbers_of_experiments_that_are_none_find_nothing(server):
    body = {"experiment_ids": ["x", "9" * 40, "-1", "' OR 1=1"]}
    assert server.ask("POST", "runs/search", json=body).json() == {}
