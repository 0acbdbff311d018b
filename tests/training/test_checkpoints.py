from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelyard.training.checkpoints import Checkpoint, Checkpoints


def _checkpoint(epoch: int, recipe: str = "r", **scalars: Any) -> Checkpoint:
    tensors = {"w": np.full((3, 2), epoch, np.float32), "step": np.array(epoch), "n": np.arange(4)}
    return Checkpoint(epoch=epoch, recipe=recipe, tensors=tensors, scalars=scalars)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_written_is_read(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, 1)
    checkpoints.write(_checkpoint(1, loss=0.1 + 0.2, rows=[[1, 2.5]]))
    found = checkpoints.newest("r")
    assert found is not None
    assert found.scalars == {"loss": 0.1 + 0.2, "rows": [[1, 2.5]]}
    assert found.tensors["w"].dtype == np.float32
    assert found.tensors["step"].shape == ()
    assert np.array_equal(found.tensors["w"], np.full((3, 2), 1))


def test_the_last_two_are_kept_and_names_carry_the_attempt(tmp_path: Path) -> None:
    for epoch in (1, 2, 3):
        Checkpoints(tmp_path, 4).write(_checkpoint(epoch))
    assert _names(tmp_path) == [f"epoch-000000{n}-attempt-0004.safetensors" for n in (2, 3)]


def test_an_attempt_never_touches_its_successors(tmp_path: Path) -> None:
    Checkpoints(tmp_path, 2).write(_checkpoint(1))
    Checkpoints(tmp_path, 1).write(_checkpoint(5))
    Checkpoints(tmp_path, 1).write(_checkpoint(6))
    Checkpoints(tmp_path, 1).write(_checkpoint(7))
    assert "epoch-0000001-attempt-0002.safetensors" in _names(tmp_path)


def test_of_one_epoch_the_newer_attempt_counts(tmp_path: Path) -> None:
    Checkpoints(tmp_path, 1).write(_checkpoint(3, who=1))
    Checkpoints(tmp_path, 2).write(_checkpoint(3, who=2))
    found = Checkpoints(tmp_path, 3).newest("r")
    assert found is not None
    assert found.scalars == {"who": 2}


def test_another_recipes_checkpoint_is_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Checkpoints(tmp_path, 1).write(_checkpoint(1, recipe="other"))
    assert Checkpoints(tmp_path, 1).newest("r") is None
    assert "another recipe" in caplog.text


def test_an_empty_folder_has_none(tmp_path: Path) -> None:
    (tmp_path / ".tmp-123").write_bytes(b"half")
    (tmp_path / "notes.txt").write_text("?")
    assert Checkpoints(tmp_path, 1).newest("r") is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80)
@given(place=st.integers(0, 10_000), flip=st.integers(1, 255), cut=st.booleans())
def test_a_broken_newest_is_passed_over_wherever_it_broke(
    tmp_path: Path, place: int, flip: int, cut: bool
) -> None:
    checkpoints = Checkpoints(tmp_path, 1)
    for epoch in (1, 2):
        checkpoints.write(_checkpoint(epoch, loss=0.5))
    newest = tmp_path / "epoch-0000002-attempt-0001.safetensors"
    data = bytearray(newest.read_bytes())
    place %= len(data)
    if cut:
        data = data[:place]
    else:
        data[place] ^= flip
    newest.write_bytes(data)
    found = checkpoints.newest("r")
    assert found is not None
    # A flip among the spaces that pad the header changes nothing that is read.
    whole = found.epoch == 2 and found.scalars == {"loss": 0.5} and (found.tensors["w"] == 2).all()
    assert found.epoch == 1 or whole


def test_none_of_two_broken_ones(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, 1)
    for epoch in (1, 2):
        checkpoints.write(_checkpoint(epoch))
    for path, data in zip(sorted(tmp_path.iterdir()), (b"", b"garbage" * 100), strict=True):
        path.write_bytes(data)
    assert checkpoints.newest("r") is None
