import json

import pytest

from live_models import image_package, workbench_package
from live_serving import Control, LiveGateway, Replica, route, snapshot
from small_package import write_package

BODY_LIMIT = 4 << 20
LIMITS = json.dumps(
    {
        "body": BODY_LIMIT,
        "buffered": 4 * BODY_LIMIT,
        "header_seconds": 1.0,
        "body_seconds": 1.0,
        "linger_seconds": 1.0,
    }
)


@pytest.fixture(scope="session")
def packages_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packages")
    image_package(folder / "image")
    workbench_package(folder / "workbench")
    write_package(folder / "table")
    return folder


class Site:
    """What most tests share: three deployments behind one gateway with small limits and short deadlines."""

    def __init__(self, packages, folder):
        self.packages = packages
        self.replicas = {
            name: Replica(packages / package, name, folder / name, version=version)
            for name, package, version in (
                ("pictures", "image", "1"),
                ("table", "table", "7"),
                ("bench", "workbench", "1"),
            )
        }
        for replica in self.replicas.values():
            replica.ready()
        self.routes = [
            route("pictures", "image-classification", self.replicas["pictures"].serves()),
            route("table", "tabular-classification", self.replicas["table"].serves("7")),
            route(
                "bench", "tabular-classification", self.replicas["bench"].serves(), timeout=5.0, max_queue=16
            ),
        ]
        self.control = Control(snapshot(*self.routes))
        self.gateway = LiveGateway(folder / "home", self.control.url, LIMITS).ready()
        self.gateway.serving("pictures", "table", "bench")

    def stop(self):
        self.gateway.stop()
        self.control.stop()
        for replica in self.replicas.values():
            replica.stop()


@pytest.fixture(scope="session")
def site(packages_folder, tmp_path_factory):
    site = Site(packages_folder, tmp_path_factory.mktemp("site"))
    yield site
    site.stop()


@pytest.fixture
def gateway(site):
    """The shared gateway; it must be the same process and answer at the end of each test."""
    yield site.gateway
    assert site.gateway.child.poll() is None
    assert site.gateway.status("/v2/models/table/ready") == 200
