import io
import zipfile
from pathlib import Path

import msgspec
import pytest

from control_seed import add_dataset, add_model, add_tenant
from modelyard.control.platform import Platform
from modelyard.control.services import cards, exports, models
from modelyard.errors import InvalidInput, NotFound
from modelyard.files import sha256_bytes
from modelyard.packages import bundle
from modelyard.packages.card import read_header


def bundled(platform: Platform, name: str = "colours", version: str = "1") -> dict[str, bytes]:
    made = exports.prepare(platform, "default", name, version)
    assert made.filename == f"{name}-1.yard.zip"
    data = b"".join(exports.stream(made))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert {i.compress_type for i in archive.infolist()} == {zipfile.ZIP_STORED}
        return {n: archive.read(n) for n in archive.namelist()}


def test_a_bundle_holds_all_that_is_known(platform: Platform, tmp_path: Path) -> None:
    made = add_model(platform, tmp_path)["model"]
    members = bundled(platform)
    manifest = bundle.decode(members.pop(bundle.BUNDLE_NAME))
    assert (manifest.model, manifest.digest, manifest.version) == ("colours", made["digest"], 1)
    assert set(members) == set(manifest.files)
    for name, entry in manifest.files.items():
        assert (sha256_bytes(members[name]), len(members[name])) == (entry.sha256, entry.size)
    assert sha256_bytes(members["package/model.json"]) == made["digest"]
    assert b"accuracy" in members["reports/1/report.json"]
    assert read_header(members["card.md"].decode())["pipeline_tag"] == "tabular-classification"
    history = msgspec.json.decode(members["history.json"], type=bundle.History)
    assert history.run is not None
    assert history.run["kind"] == "train"
    passport = msgspec.json.decode(members["passport.json"])
    assert passport["reports"][0]["value"] == 0.5


def test_the_data_that_a_version_was_made_with_is_named(platform: Platform, tmp_path: Path) -> None:
    digest = add_dataset(platform, tmp_path)["dataset"]["digest"]
    add_model(platform, tmp_path)
    with platform.database.write() as session:
        from modelyard.store.registry import ModelVersion

        session.query(ModelVersion).one().dataset_digest = digest
    history = msgspec.json.decode(bundled(platform)["history.json"], type=bundle.History)
    assert history.dataset is not None
    assert (history.dataset["name"], history.dataset["digest"]) == ("colours", digest)


def test_nothing_of_another_tenant_is_exported(platform: Platform, tmp_path: Path) -> None:
    add_tenant(platform, "other")
    add_model(platform, tmp_path)
    for ask in (exports.prepare, cards.show):
        with pytest.raises(NotFound):
            ask(platform, "other", "colours", "1")


def test_a_card_is_no_part_of_the_digest(platform: Platform, tmp_path: Path) -> None:
    digest = add_model(platform, tmp_path)["model"]["digest"]
    made = cards.show(platform, "default", "colours", "latest")
    assert not made.edited
    assert read_header(made.text)["model-index"][0]["name"] == "colours"
    own = "---\nlicense: mit\n---\n\n# Mine\n"
    assert cards.put(platform, "default", "colours", "1", own) == cards.CardView(text=own, edited=True)
    assert bundled(platform)["card.md"] == own.encode()
    with pytest.raises(InvalidInput):
        cards.put(platform, "default", "colours", "1", "---\nlicense: [1]\n---\n")
    assert cards.put(platform, "default", "colours", "1", None) == made
    assert models.show_version(platform, "default", "colours", "1").digest == digest
    cards.put(platform, "default", "colours", "1", own)
    models.delete_version(platform, "default", "colours", "1")
