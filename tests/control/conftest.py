from collections.abc import Iterator
from pathlib import Path

import pytest

from control_seed import write_config
from modelyard.control.bootstrap import open_platform
from modelyard.control.platform import Platform
from modelyard.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    write_config(home)
    return home


@pytest.fixture
def platform(home: Home) -> Iterator[Platform]:
    """An opened home, in this process: for services by themselves."""
    platform = open_platform(home)
    yield platform
    platform.database.close()
