"""What clients track, on each database: the statements are the same ones, and so must be what they find."""

import math

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from modelyard.control.mlflow import logged_models, run_search, search
from modelyard.control.services import artifacts, experiments, external_runs, metric_points, notes
from modelyard.control.services.external_runs import NewExternal
from modelyard.control.services.metric_points import Point
from modelyard.errors import InvalidInput
from modelyard.store.database import Database
from modelyard.store.tracking import LoggedModel, TrackedRun
from modelyard.types.package import FileEntry


def begin(session: Session, name: str, start_ms: int) -> str:
    run, _ = external_runs.start(session, "default", NewExternal(name=name, start_ms=start_ms), 1.0)
    return run.id


def found(database: Database, text: str = "", *orders: str) -> list[str]:
    noun = run_search.searchable("default")
    query = select(TrackedRun.name).where(*search.where(noun, text)).order_by(*search.order(noun, orders))
    with database.read() as session:
        return list(session.scalars(query))


@pytest.fixture
def runs(database: Database) -> dict[str, str]:
    with database.write() as session:
        experiments.ensure_default(session, "default", 1)
        ids = {name: begin(session, name, number) for number, name in enumerate(("alpha", "Alpha", "beta_1"))}
        for number, run_id in enumerate(ids.values()):
            values = (float(number), math.nan if number == 1 else number / 2)
            points = [Point(name="m", step=s, time_ms=0, value=v) for s, v in enumerate(values)]
            metric_points.log(session, "default", run_id, points)
            metric_points.log(session, "default", run_id, points)
            notes.put(session, "default", "run.tag", run_id, {"t": f"v{number}", "/%": "100%"})
    return ids


def test_metrics_are_kept_once_with_the_newest_apart(database: Database, runs: dict[str, str]) -> None:
    with database.read() as session:
        points = metric_points.history(session, runs["beta_1"], "m", 10, 0)
        assert [(p.step, p.value) for p in points] == [(0, 2.0), (1, 1.0)]
        newest = metric_points.latest(session, list(runs.values()))
        assert [metric_points.number(rows[0]) for rows in newest.values()][::2] == [0.0, 1.0]
        assert newest[runs["Alpha"]][0].nan


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ["beta_1", "Alpha", "alpha"]),
        ("metrics.m >= 0.5", ["beta_1"]),
        ("metrics.m != 1", ["Alpha", "alpha"]),
        ("run_name LIKE 'a%'", ["alpha"]),
        ("run_name ILIKE 'A%'", ["Alpha", "alpha"]),
        ("run_name LIKE 'beta\\_%'", []),
        ("run_name LIKE '%a_1'", ["beta_1"]),
        ("tags.`/%` = '100%' AND tags.t IN ('v0', 'v2')", ["beta_1", "alpha"]),
        ("tags.t NOT IN ('v0')", ["beta_1", "Alpha"]),
        ("tags.nothing IS NULL AND start_time > 0", ["beta_1", "Alpha"]),
        ("end_time > 0", []),
        ("artifact_uri LIKE 'mlflow-artifacts:/0/run_%/artifacts'", ["beta_1", "Alpha", "alpha"]),
    ],
)
def test_filters(database: Database, runs: dict[str, str], text: str, names: list[str]) -> None:
    assert found(database, text) == names


def test_orders(database: Database, runs: dict[str, str]) -> None:
    assert found(database, "", "metrics.m DESC") == ["beta_1", "alpha", "Alpha"]
    assert found(database, "", "tags.t") == ["alpha", "Alpha", "beta_1"]
    assert found(database, "", "params.x", "start_time") == ["alpha", "Alpha", "beta_1"]


def test_no_text_can_be_stored_that_one_database_refuses(database: Database, runs: dict[str, str]) -> None:
    for text in ("a\0", "\ud800"):
        with pytest.raises(InvalidInput):
            notes.check("tag", {"k": text}, 100)
        with pytest.raises(InvalidInput):
            found(database, f"run_name = '{text}'")


def test_metrics_of_logged_models(database: Database, runs: dict[str, str]) -> None:
    with database.write() as session:
        for number in (1, 2):
            session.add(
                LoggedModel(
                    tenant="default", id=f"m-{number}", experiment=0, name=f"n{number}", run_id=runs["alpha"],
                    model_type="", status="LOGGED_MODEL_READY", status_message="", state="active",
                    created_ms=number, updated_ms=number,
                )
            )  # fmt: skip
            steps = [
                Point(name="acc", step=s, time_ms=0, value=number * s, model_id=f"m-{number}") for s in (1, 2)
            ]
            metric_points.log(session, "default", runs["alpha"], steps)
    noun = logged_models.searchable("default")
    with database.read() as session:
        query = select(LoggedModel.id).where(*search.where(noun, "metrics.acc > 2"))
        assert list(session.scalars(query.order_by(*search.order(noun, ["metrics.acc DESC"])))) == ["m-2"]


def test_files(database: Database, runs: dict[str, str]) -> None:
    with database.write() as session:
        shelf = artifacts.Shelf(tenant="default", owner_id=runs["alpha"], table=artifacts.RunArtifact)
        for path in ("d/a", "D/b", "d%/c", "d_x"):
            artifacts.put(session, shelf, path, FileEntry(sha256="0" * 64, size=2**40), 1.0)
        assert set(artifacts.tree(session, shelf, "d")) == {"a"}
        assert artifacts.remove(session, shelf, "d%")
        assert [a.path for a in artifacts.listing(session, shelf, "")] == ["D", "d", "d_x"]
