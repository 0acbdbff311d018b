"""Copying an MLflow server: from a control of ours into another one, and from MLflow's own where there is one."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml

from control_seed import LiveControl, write_config
from live_serving import free_port
from mlflow_client import ENVIRONMENT, stock_client
from modelyard.home import Home
from waiting import wait_until

pytestmark = pytest.mark.filterwarnings("ignore")  # of the stock client's own
MLMODEL = {"flavors": {"sklearn": {"pickled_model": "model.pkl", "serialization_format": "cloudpickle"}}}


def live(folder: Path) -> LiveControl:
    home = Home(folder)
    write_config(home)
    return LiveControl(home).__enter__()


def key_of(control: LiveControl) -> str:
    return str(control.http.headers["authorization"]).removeprefix("Bearer ")


@pytest.fixture
def target(tmp_path):
    control = live(tmp_path / "target")
    yield control
    control.__exit__()


@pytest.fixture
def source(tmp_path):
    control = live(tmp_path / "source")
    yield control
    control.__exit__()


def copy(target: LiveControl, url: str, *options: str, status: int = 0) -> dict[str, object]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("YARD_", "MLFLOW_"))}
    environment |= {"YARD_URL": target.config.control_url, "YARD_API_KEY": key_of(target)}
    argv = [sys.executable, "-m", "modelyard.cli", "import-mlflow", url, "--json", *options]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == status, done.stdout + done.stderr
    said: dict[str, object] = json.loads(done.stdout)
    return said


def fill(client, folder: Path) -> str:
    """What people have on such a server; the id of its first run."""
    experiment = client.create_experiment("Ünser Versuch", tags={"team": "a"})
    run = client.create_run(experiment, run_name="first", start_time=1_700_000_000_000, tags={"k": "v"})
    run_id = run.info.run_id
    client.log_param(run_id, "lr", "0.1")
    for step in range(3):
        client.log_metric(run_id, "loss", 1.0 / (step + 1), step=step, timestamp=1_700_000_000_000 + step)
    client.log_metric(run_id, "nan", float("nan"))
    (folder / "sub").mkdir(parents=True)
    (folder / "a b.txt").write_text("hello")
    (folder / "sub" / "ü.bin").write_bytes(os.urandom(3 << 20))
    client.log_artifacts(run_id, str(folder), "dir")
    (folder / "model").mkdir()
    (folder / "model" / "MLmodel").write_text(yaml.safe_dump(MLMODEL))
    (folder / "model" / "model.pkl").write_bytes(b"nobody opens this")
    client.log_artifacts(run_id, str(folder / "model"), "model")
    logged = client.create_logged_model(experiment, name="logged", source_run_id=run_id, params={"p": "1"})
    client.log_model_artifacts(logged.model_id, str(folder / "model"))
    client.finalize_logged_model(logged.model_id, "READY")
    client.log_metric(run_id, "acc", 0.5, step=1, model_id=logged.model_id)
    client.set_terminated(run_id, "FINISHED", end_time=1_700_000_009_000)
    client.create_run(experiment, run_name="still running")
    client.create_registered_model("The Model", description="d", tags={"r": "1"})
    client.create_model_version("The Model", f"runs:/{run_id}/model", run_id, tags={"n": "1"})
    client.create_model_version("The Model", f"models:/{logged.model_id}", model_id=logged.model_id)
    client.transition_model_version_stage("The Model", "2", "Production")
    client.set_registered_model_alias("The Model", "Champion", "2")
    return str(run_id)


def check(client, folder: Path) -> None:
    """That all of it is here."""
    experiment = client.get_experiment_by_name("Ünser Versuch")
    assert experiment.tags["team"] == "a"
    runs = {r.info.run_name: r for r in client.search_runs([experiment.experiment_id])}
    assert set(runs) == {"first", "still running"}
    run = runs["first"]
    assert (run.info.status, run.info.start_time, run.info.end_time) == (
        "FINISHED",
        1_700_000_000_000,
        1_700_000_009_000,
    )
    assert run.data.params == {"lr": "0.1"}
    assert run.data.tags["k"] == "v"
    history = client.get_metric_history(run.info.run_id, "loss")
    assert [(m.step, m.timestamp, m.value) for m in history] == [
        (step, 1_700_000_000_000 + step, 1.0 / (step + 1)) for step in range(3)
    ]
    assert run.data.metrics["nan"] != run.data.metrics["nan"]
    down = Path(client.download_artifacts(run.info.run_id, "dir", str(folder)))
    assert (down / "a b.txt").read_text() == "hello"
    assert len((down / "sub" / "ü.bin").read_bytes()) == 3 << 20
    (logged,) = client.search_logged_models([experiment.experiment_id])
    assert (logged.name, logged.source_run_id, logged.params) == ("logged", run.info.run_id, {"p": "1"})
    assert {m.key: m.value for m in logged.metrics} == {"acc": 0.5}
    model = client.get_registered_model("The Model")
    assert (model.description, model.tags["r"]) == ("d", "1")
    champion = client.get_model_version_by_alias("The Model", "Champion")
    assert (champion.version, champion.current_stage, champion.run_id) == ("2", "Production", run.info.run_id)
    assert client.get_model_version("The Model", "1").tags["n"] == "1"


@pytest.mark.slow
def test_a_server_is_copied_once(source, target, tmp_path):
    url = source.config.control_url
    with stock_client(url, key_of(source)) as client:
        fill(client, tmp_path / "files")
    token = ("--token", key_of(source))
    said = copy(target, url, *token)
    assert said["problems"] == []
    assert (said["experiments"], said["runs"], said["logged_models"], said["versions"]) == (1, 2, 1, 2)
    again = copy(target, url, *token)
    assert {k: v for k, v in again.items() if v} == {"runs_there": 2}
    with stock_client(target.config.control_url, key_of(target)) as client:
        check(client, tmp_path)


@pytest.mark.slow
def test_a_copy_that_broke_off_goes_on(source, target, tmp_path):
    from modelyard.client.mlflow_copy import Copy
    from modelyard.client.mlflow_wire import Wire
    from modelyard.errors import Unavailable

    url = source.config.control_url
    with stock_client(url, key_of(source)) as client:
        fill(client, tmp_path / "files")

    class Breaking(Wire):
        """Gone at the second file."""

        sent = 0

        def upload(self, *arguments):
            Breaking.sent += 1
            if Breaking.sent == 2:
                raise Unavailable("gone")
            return super().upload(*arguments)

    here = Breaking(target.config.control_url, key_of(target))
    there = Wire(url, key_of(source))
    with pytest.raises(Unavailable):
        Copy(there, here, lambda text: None).experiments(None)
    here.close()
    there.close()
    said = copy(target, url, "--token", key_of(source))
    assert (said["experiments"], said["runs"]) == (0, 2)  # begun before, and made whole now
    with stock_client(target.config.control_url, key_of(target)) as client:
        check(client, tmp_path)


def test_what_cannot_be_copied_from(target, tmp_path):
    environment = {**os.environ, "YARD_URL": target.config.control_url, "YARD_API_KEY": key_of(target)}
    for url, words in (("ftp://x", "address"), (f"http://127.0.0.1:{free_port()}", "does not answer"),
                       (f"{target.config.control_url}/nothing", "")):  # fmt: skip
        argv = [sys.executable, "-m", "modelyard.cli", "import-mlflow", url]
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 1
        assert words in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.mlflow_server
@pytest.mark.skipif(shutil.which("mlflow") is None, reason="MLflow's own server is not installed")
def test_mlflows_own_server(target, tmp_path):
    port = free_port()
    argv = [
        "mlflow",
        "server",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
        "--serve-artifacts",
    ]
    argv += [
        "--backend-store-uri",
        f"sqlite:///{tmp_path}/m.db",
        "--artifacts-destination",
        str(tmp_path / "art"),
    ]
    url = f"http://127.0.0.1:{port}"
    with (tmp_path / "server.log").open("wb") as log:
        child = subprocess.Popen(
            argv, stdout=log, stderr=log, env={**os.environ, **ENVIRONMENT}, start_new_session=True
        )
    try:
        wait_until(lambda: child.poll() is not None or _answers(url), 90, "MLflow's server")
        with stock_client(url, "no key") as client:
            fill(client, tmp_path / "files")
        assert copy(target, url)["problems"] == []
        again = copy(target, url)
        assert {k: v for k, v in again.items() if v} == {"runs_there": 2}
    finally:
        os.killpg(child.pid, 9)
        child.wait()
    with stock_client(target.config.control_url, key_of(target)) as client:
        check(client, tmp_path)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False
