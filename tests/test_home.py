"""The layout of YARD_HOME."""

import os
from pathlib import Path

from modelyard.home import Home


def test_sockets_lie_in_the_home_where_their_names_fit() -> None:
    short = Home("/tmp/yard")
    assert short.sockets == short.root / "sockets"


def test_a_long_home_has_its_sockets_elsewhere_until_they_are_removed(tmp_path: Path) -> None:
    home = Home(tmp_path / ("long" * 30))
    home.create()
    assert home.sockets.is_dir()
    assert home.root not in home.sockets.parents
    assert len(os.fsencode(home.launcher_socket)) < 108
    home.remove_sockets()
    assert not home.sockets.exists()


def test_two_homes_have_two_places(tmp_path: Path) -> None:
    first, second = (Home(tmp_path / (name * 100)) for name in "ab")
    assert first.sockets != second.sockets


def test_only_the_owner_may_look_into_it(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.create()
    assert {p.stat().st_mode & 0o077 for p in (home.root, home.blobs, home.state)} == {0}
