from pathlib import Path

import pytest

from control_seed import add_dataset, add_model, add_tenant
from modelyard.control.platform import Platform
from modelyard.control.services import aliases, datasets, deployments, models, reports
from modelyard.control.services.deployments import NewDeployment
from modelyard.control.services.pages import PageRequest
from modelyard.errors import Conflict, InvalidInput, NotFound
from modelyard.store.garbage import collect_garbage


def test_versions_are_found_by_number_alias_and_digest(platform: Platform, tmp_path: Path) -> None:
    one, _ = add_model(platform, tmp_path), add_model(platform, tmp_path)
    aliases.put(platform, "default", "colours", "champion", "1")
    for text in ("1", "@champion", one["model"]["digest"], one["model"]["digest"][:8]):
        assert models.show_version(platform, "default", "colours", text).version == 1
    assert models.show_version(platform, "default", "colours", "latest").version == 2
    for text in ("3", "0", "@nobody", "f" * 64):
        with pytest.raises(NotFound, match=r"no such (version|alias)"):
            models.show_version(platform, "default", "colours", text)


def test_an_alias_moves_and_keeps_its_version(platform: Platform, tmp_path: Path) -> None:
    add_model(platform, tmp_path)
    add_model(platform, tmp_path)
    aliases.put(platform, "default", "colours", "champion", "1")
    assert aliases.put(platform, "default", "colours", "champion", "2") == 2
    assert models.show(platform, "default", "colours").aliases == {"champion": 2}
    with pytest.raises(Conflict, match="@champion"):
        models.delete_version(platform, "default", "colours", "2")
    models.delete_version(platform, "default", "colours", "1")
    aliases.delete(platform, "default", "colours", "champion")
    with pytest.raises(NotFound):
        aliases.delete(platform, "default", "colours", "champion")
    with pytest.raises(InvalidInput, match="newest"):
        aliases.put(platform, "default", "colours", "latest", "2")


def test_a_number_is_never_given_twice(platform: Platform, tmp_path: Path) -> None:
    add_model(platform, tmp_path)
    add_model(platform, tmp_path)
    models.delete_version(platform, "default", "colours", "2")
    assert add_model(platform, tmp_path)["model"]["version"] == 3


def test_what_has_no_version_left_is_not_listed_and_its_numbers_go_on(
    platform: Platform, tmp_path: Path
) -> None:
    page = PageRequest(limit=10, cursor=None, secret=b"")
    add_dataset(platform, tmp_path)
    add_model(platform, tmp_path)
    models.delete_version(platform, "default", "colours", "1")
    datasets.delete_version(platform, "default", "colours", "1")
    assert models.list_models(platform, "default", page).items == []
    assert datasets.list_datasets(platform, "default", page).items == []
    assert add_model(platform, tmp_path)["model"]["version"] == 2
    assert [m.name for m in models.list_models(platform, "default", page).items] == ["colours"]


def test_a_version_that_serves_stays(platform: Platform, tmp_path: Path) -> None:
    add_model(platform, tmp_path)
    deployments.create(platform, "default", NewDeployment(name="live", model="colours"))
    with pytest.raises(Conflict, match="'live'"):
        models.delete_version(platform, "default", "colours", "1")
    deployments.delete(platform, "default", "live")
    models.delete_version(platform, "default", "colours", "1")


def test_a_deleted_version_takes_its_bytes_along_but_not_those_of_others(
    platform: Platform, tmp_path: Path
) -> None:
    add_model(platform, tmp_path)
    add_model(platform, tmp_path)
    shared = models.open_file(platform, "default", "colours", "1", "model.onnx").path
    own = models.open_file(platform, "default", "colours", "1", "model.json").path
    models.delete_version(platform, "default", "colours", "1")
    collect_garbage(platform.database, platform.blobs, platform.home, grace=0)
    assert (shared.exists(), own.exists()) == (True, False)
    models.delete_version(platform, "default", "colours", "2")
    collect_garbage(platform.database, platform.blobs, platform.home, grace=0)
    assert list(platform.blobs.digests()) == []


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "", ".", "model.onnx/", "MODEL.ONNX", "a\0"]
)
def test_a_file_that_is_not_in_the_manifest(platform: Platform, tmp_path: Path, name: str) -> None:
    add_model(platform, tmp_path)
    with pytest.raises(NotFound):
        models.open_file(platform, "default", "colours", "1", name)
    with pytest.raises(NotFound):
        reports.open_file(platform, "default", ("colours", "1"), "latest", name)


def test_what_another_tenant_has_is_not_there(platform: Platform, tmp_path: Path) -> None:
    add_tenant(platform, "other")
    add_model(platform, tmp_path, tenant="other")
    add_dataset(platform, tmp_path, tenant="other")
    for look in (models.show, datasets.show):
        with pytest.raises(NotFound):
            look(platform, "default", "colours")
    assert add_model(platform, tmp_path)["model"]["version"] == 1
    assert len(models.show(platform, "other", "colours").versions) == 1
