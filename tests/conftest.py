"""What holds for every test, and the platform that some of them share."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from stocked import Stocked

# Set before any library reads them, and inherited by the processes that tests start: threads that spin on cores
# which other processes need make small nets many times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


# The same examples in every run, and no clock in them.
settings.register_profile(
    "project", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("project")


@pytest.fixture(scope="session")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stocked]:
    """A platform that runs, with data, a model of two versions and reports: made once, when first asked for.
    What a test changes has a name of its own."""
    with Stocked(tmp_path_factory.mktemp("stocked") / "home") as platform:
        yield platform
