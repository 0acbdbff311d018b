"""Homes with something in them, and a control process on one: what control's tests begin with."""

import hashlib
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec

from live_serving import free_port
from modelyard.control.platform import Platform
from modelyard.control.services import adoption, keys
from modelyard.home import Home
from modelyard.store.tables import Tenant
from modelyard.store.work import Run
from modelyard.types.dataset import Column, DatasetManifest, Schema
from modelyard.types.ids import new_id
from modelyard.types.package import FileEntry
from modelyard.types.process import PlatformConfig
from modelyard.types.report import Interval, Metrics, Report
from modelyard.types.run import RunOutcome
from small_package import write_package
from waiting import wait_until

DIGEST = "ab" * 32


def write_config(home: Home, **fields: Any) -> PlatformConfig:
    """A configuration whose ports are free."""
    home.create()
    config = PlatformConfig(port=free_port(), control_port=free_port(), **fields)
    home.config.write_bytes(msgspec.json.encode(config))
    return config


def add_tenant(platform: Platform, name: str) -> None:
    with platform.database.write() as session:
        session.add(Tenant(id=name, created_at=1.0))


def add_run(platform: Platform, tenant: str = "default", state: str = "queued", **fields: Any) -> str:
    """A run's row as control writes it; its id."""
    whole: dict[str, Any] = {
        "kind": "train", "params": {}, "publish": {}, "attempt": 0, "failures": 0, "cancel_requested": False,
        "text": "", "summary": {}, "outputs": {}, "created_at": 1.0,
    }  # fmt: skip
    run = Run(id=new_id("run"), tenant=tenant, state=state, **(whole | fields))
    with platform.database.write() as session:
        session.add(run)
    return run.id


def publish(platform: Platform, outputs: Path, outcome: RunOutcome, to: dict[str, str],
            tenant: str = "default") -> dict[str, Any]:  # fmt: skip
    """What a run that left `outputs` becomes."""
    run_id = add_run(platform, tenant, "succeeded", publish=to)
    found = adoption.gather(platform, outputs, outcome)
    with platform.database.write() as session:
        return adoption.publish(session, session.get_one(Run, run_id), found, 2.0)


def add_model(
    platform: Platform, work: Path, name: str = "colours", tenant: str = "default"
) -> dict[str, Any]:
    """A version of a small real package, with a report."""
    outputs = work / new_id("out")
    write_package(outputs / "package")
    # Another content each time: as trained packages, whose lineage names their run.
    manifest = msgspec.json.decode((outputs / "package/model.json").read_bytes())
    manifest["lineage"] |= {"run": new_id("run"), "dataset_digest": DIGEST}
    (outputs / "package/model.json").write_bytes(msgspec.json.encode(manifest, order="sorted"))
    write_report(outputs / "report")
    outcome = RunOutcome(
        state="succeeded", outputs={"package": "package", "report": "report"}, summary={"value": 0.5}
    )
    return publish(platform, outputs, outcome, {"model": name}, tenant)


def write_report(folder: Path) -> None:
    metrics = Metrics(
        main="accuracy", higher_is_better=True, values={"accuracy": 0.5}, curves={"roc": {"x": [0.0]}}
    )
    report = Report(
        model="colours", task="tabular-classification", dataset="colours:1", dataset_digest=DIGEST, split="test",
        rows=4, metrics=metrics, interval=Interval(value=0.5, low=0.4, high=0.6), history={"loss": [[1.0, 2.0]]},
    )  # fmt: skip
    folder.mkdir(parents=True)
    (folder / "report.json").write_bytes(msgspec.json.encode(report))
    (folder / "report.html").write_text("<script>alert(1)</script>")


def write_dataset(folder: Path, content: bytes = b"parquet") -> None:
    """A version's folder: control looks at digests, not into Parquet."""
    folder.mkdir(parents=True)
    (folder / "data.parquet").write_bytes(content)
    entry = FileEntry(sha256=_sha256(content), size=len(content))
    columns = Column(name="x", kind="number"), Column(name="y", kind="category")
    schema = Schema(columns=columns, label="y")
    manifest = DatasetManifest(schema=schema, rows=3, split_rows={"train": 3}, files={"data.parquet": entry})
    (folder / "dataset.json").write_bytes(msgspec.json.encode(manifest, order="sorted"))
    (folder / "profile.json").write_text("{}")


def add_dataset(platform: Platform, work: Path, name: str = "colours", content: bytes = b"parquet",
                tenant: str = "default") -> dict[str, Any]:  # fmt: skip
    outputs = work / new_id("out")
    write_dataset(outputs / "dataset", content)
    outcome = RunOutcome(state="succeeded", outputs={"dataset": "dataset"})
    return publish(platform, outputs, outcome, {"dataset": name}, tenant)


def admin_key(platform: Platform, tenant: str = "default", **fields: Any) -> str:
    made = keys.create(platform, tenant, "test", ["admin"], **fields)
    assert made.key is not None
    return made.key


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class LiveControl:
    """`python -m modelyard.control` on a home, and a client with its first key. Leaving the block ends it."""

    home: Home

    def __enter__(self) -> "LiveControl":
        self.log = self.home.logs / "test-control.log"
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()

    @property
    def config(self) -> PlatformConfig:
        return msgspec.json.decode(self.home.config.read_bytes(), type=PlatformConfig)

    def start(self) -> None:
        argv = [sys.executable, "-m", "modelyard.control", "--home", str(self.home.root)]
        with self.log.open("ab") as out:
            self.child = subprocess.Popen(
                [*argv, "--fault-file", str(self.home.state / "fault.json")], stdout=out, stderr=out
            )
        url = self.config.control_url
        wait_until(lambda: self.child.poll() is not None or _answers(url), 20, "control")
        assert self.child.poll() is None, self.log.read_text()
        key = msgspec.json.decode(self.home.credentials.read_bytes())["api_key"]
        self.http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=20)

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.http.close()
        self.child.send_signal(number)
        return self.child.wait(timeout=20)

    def get(self, path: str, **query: Any) -> Any:
        return _read(self.http.get(f"/api/v1/{path}", params=query))

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return _read(self.http.post(f"/api/v1/{path}", json=body, headers=headers))

    def patch(self, path: str, body: Any) -> Any:
        return _read(self.http.patch(f"/api/v1/{path}", json=body))

    def ended(self, run: str, seconds: float = 60.0) -> Any:
        """The run when it has ended."""
        return wait_until(lambda: (r := self.get(f"runs/{run}"))["ended_at"] and r, seconds, run)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/api/v1/health", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def _read(response: httpx.Response) -> Any:
    assert response.status_code < 300, response.text
    return response.json() if response.content else None
