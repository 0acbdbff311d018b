from pathlib import Path

import msgspec
import pytest

from control_seed import DIGEST, add_dataset, add_model, publish, write_dataset, write_report
from modelyard.control.platform import Platform
from modelyard.control.services import adoption, datasets, models
from modelyard.errors import Conflict, Corrupt, InvalidInput, ModelyardError, NotFound
from modelyard.types.run import RunOutcome
from small_package import write_package


def outcome(**outputs: str) -> RunOutcome:
    return RunOutcome(state="succeeded", outputs=outputs)


def test_the_same_content_is_the_same_version(platform: Platform, tmp_path: Path) -> None:
    first, again = add_dataset(platform, tmp_path), add_dataset(platform, tmp_path)
    other = add_dataset(platform, tmp_path, content=b"another")
    assert first["dataset"]["new"]
    assert not again["dataset"]["new"]
    assert [m["dataset"]["version"] for m in (first, again, other)] == [1, 1, 2]
    assert len(datasets.show(platform, "default", "colours").versions) == 2


def test_a_package_becomes_a_version_with_its_lineage_and_report(platform: Platform, tmp_path: Path) -> None:
    made = add_model(platform, tmp_path)
    version = models.show_version(platform, "default", "colours", "1")
    assert version.digest == made["model"]["digest"]
    assert (version.dataset, version.dataset_digest) == ("colours:1", DIGEST)
    assert version.run is not None
    assert version.reports is not None
    (report,) = version.reports
    assert report.id == made["report"]["id"]
    assert report.metrics["values"] == {"accuracy": 0.5}
    assert report.metrics["curves"] == {}
    assert report.files == ["report.html", "report.json"]
    assert version.files is not None
    assert version.files["model.json"]["sha256"] == version.digest
    file = models.open_file(platform, "default", "colours", "latest", "model.json")
    assert file.path.stat().st_size == file.entry.size


def test_gathering_again_after_a_crash_does_no_harm(platform: Platform, tmp_path: Path) -> None:
    write_package(tmp_path / "package")
    found = [adoption.gather(platform, tmp_path, outcome(package="package")) for _ in range(2)]
    assert found[0] == found[1]


@pytest.mark.parametrize("name", ["model.onnx", "golden.safetensors"])
def test_a_flipped_byte_is_refused_by_its_name(platform: Platform, tmp_path: Path, name: str) -> None:
    write_package(tmp_path / "package")
    path = tmp_path / "package" / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(Corrupt, match=name):
        adoption.gather(platform, tmp_path, outcome(package="package"))


def test_a_data_set_that_lost_a_file(platform: Platform, tmp_path: Path) -> None:
    write_dataset(tmp_path / "dataset")
    (tmp_path / "dataset/data.parquet").unlink()
    with pytest.raises(Corrupt, match=r"data\.parquet"):
        adoption.gather(platform, tmp_path, outcome(dataset="dataset"))


@pytest.mark.parametrize("folder", ["../elsewhere", "", ".", "..", "nothing", "link", "a/b"])
def test_an_outcome_that_names_no_folder_of_its_own(platform: Platform, tmp_path: Path, folder: str) -> None:
    write_dataset(tmp_path / "elsewhere")
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs/link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidInput, match="names no folder"):
        adoption.gather(platform, tmp_path / "outputs", outcome(dataset=folder))


def test_a_link_among_the_files(platform: Platform, tmp_path: Path) -> None:
    write_dataset(tmp_path / "dataset")
    (tmp_path / "dataset/secret").symlink_to("/etc/passwd")
    with pytest.raises(InvalidInput, match="no plain file"):
        adoption.gather(platform, tmp_path, outcome(dataset="dataset"))


@pytest.mark.parametrize(
    ("kind", "file", "text"),
    [("dataset", "dataset.json", "{}"), ("dataset", "dataset.json", "no"), ("package", "model.json", "{}"),
     ("report", "report.json", "[]"), ("dataset", "other", ""), ("report", "other", "")],
)  # fmt: skip
def test_what_is_no_output(platform: Platform, tmp_path: Path, kind: str, file: str, text: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / file).write_text(text)
    with pytest.raises((InvalidInput, NotFound)) as raised:
        adoption.gather(platform, tmp_path, outcome(**{kind: "out"}))
    assert str(tmp_path) not in raised.value.message


def test_an_output_of_an_unknown_kind(platform: Platform, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="secrets"):
        adoption.gather(platform, tmp_path, outcome(secrets="x"))


def test_a_model_of_another_task_gets_no_version(platform: Platform, tmp_path: Path) -> None:
    add_model(platform, tmp_path)
    manifest = write_package(tmp_path / "package")
    data = msgspec.json.encode(msgspec.structs.replace(manifest, task="tabular-regression"), order="sorted")
    (tmp_path / "package/model.json").write_bytes(data)
    with pytest.raises(Conflict, match="tabular-classification"):
        publish(platform, tmp_path, outcome(package="package"), {"model": "colours"})
    assert len(models.show(platform, "default", "colours").versions) == 1


def test_a_report_of_a_version_that_is_gone(platform: Platform, tmp_path: Path) -> None:
    write_report(tmp_path / "report")
    with pytest.raises(ModelyardError, match="gone"):
        publish(platform, tmp_path, outcome(report="report"), {"version": "mv_1"})
