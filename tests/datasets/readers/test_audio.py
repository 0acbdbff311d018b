"""Folders of sound files: by class, and with transcripts. What folders share is tested with images."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from modelyard.errors import InvalidInput
from speech_samples import RATE, encoded, tone, wav

pytest.importorskip("av")


def a_folder(root, splits=("train", "test"), each=4):
    for split in splits:
        for place in range(2 * each):
            name = "high" if place % 2 else "low"
            path = root / split / name / f"{place}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(wav(tone(0.1 + 0.01 * place)))
    return root


def test_a_folder_for_each_class(add, tmp_path):
    version = add(a_folder(tmp_path / "tones"))
    assert [(c.name, c.kind) for c in version.manifest.schema.columns] == [
        ("audio", "audio"),
        ("label", "category"),
    ]
    assert version.manifest.schema.label == "label"
    assert version.manifest.class_names == ("high", "low")
    assert version.columns("test")["audio"][0] == wav(tone(0.11))
    profile = json.loads((version.folder / "profile.json").read_text())
    (sound,) = (c for c in profile["columns"] if c["kind"] == "audio")
    assert (sound["minimum"], sound["maximum"]) == (pytest.approx(0.1), pytest.approx(0.17))
    assert sound["extra"]["looked_at"] == version.manifest.rows
    assert "0.1 to 0.17 s" in (version.folder / "profile.txt").read_text()


def test_transcripts_stand_in_the_metadata(add, tmp_path):
    for split in ("train", "validation", "test"):
        folder = tmp_path / "spoken" / split
        folder.mkdir(parents=True)
        rows = [{"file_name": f"{k}.flac", "text": f"a tone, number {k}"} for k in range(3)]
        for row in rows:
            (folder / row["file_name"]).write_bytes(encoded(tone(0.2), "flac", "flac"))
        (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    version = add(tmp_path / "spoken", columns={"text": "text"})
    assert version.columns("train")["text"].tolist() == [f"a tone, number {k}" for k in range(3)]
    assert version.manifest.schema.label is None


@pytest.mark.parametrize(("name", "data"), [("a.wav", b"RIFF....WAVE"), ("b.mp3", b"\xff\xfb" + bytes(50)),
                                            ("c.ogg", b"OggS"), ("d.flac", b"no sound")])  # fmt: skip
def test_what_is_no_sound_is_named(add, tmp_path, name, data):
    a_folder(tmp_path / "tones")
    (tmp_path / "tones" / "train" / "low" / name).write_bytes(data)
    with pytest.raises(InvalidInput, match=f"'train/low/{name}' is no sound file"):
        add(tmp_path / "tones")


def test_sounds_beside_images_are_not_one_format(add, tmp_path):
    a_folder(tmp_path / "tones")
    (tmp_path / "tones" / "train" / "low" / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(InvalidInput, match="not of one format"):
        add(tmp_path / "tones")


def test_parquet_of_sounds(add, tmp_path):
    """As Hugging Face's datasets write them."""
    rows = [{"audio": {"bytes": wav(tone(0.1)), "path": None}, "label": k % 2} for k in range(20)]
    rows[0]["audio"] = None
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "tones.parquet")
    version = add(tmp_path / "tones.parquet")
    assert version.manifest.schema.column("audio").kind == "audio"


def test_a_sound_is_no_label(add, tmp_path):
    with pytest.raises(InvalidInput, match="is a column of audio files"):
        add(a_folder(tmp_path / "tones"), label="audio")


def test_sounds_are_known_by_their_first_bytes(add, tmp_path):
    for split in ("train", "validation", "test"):
        for name in ("a", "b"):
            path = tmp_path / "tones" / split / name / "sound"
            path.parent.mkdir(parents=True)
            path.write_bytes(wav(np.zeros(RATE // 10, np.int16)))
    assert add(tmp_path / "tones").manifest.schema.columns[0].kind == "audio"
