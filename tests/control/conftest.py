import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from control_seed import write_config
from modelyard.control.bootstrap import open_platform
from modelyard.control.platform import Platform
from modelyard.home import Home


@pytest.fixture(scope="session")
def opened_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that was opened once: copying it is quicker than migrating a database for each test."""
    home = Home(tmp_path_factory.mktemp("opened") / "home")
    write_config(home)
    open_platform(home).database.close()
    return home.root


@pytest.fixture
def home(opened_home: Path, tmp_path: Path) -> Home:
    shutil.copytree(opened_home, tmp_path / "home")
    home = Home(tmp_path / "home")
    write_config(home)
    return home


@pytest.fixture
def platform(home: Home) -> Iterator[Platform]:
    """An opened home, in this process: for services by themselves."""
    platform = open_platform(home)
    yield platform
    platform.database.close()
