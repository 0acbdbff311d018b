from pathlib import Path
from typing import Any

import pytest

import brought_models
from control_seed import add_model, add_run, add_tenant
from modelyard.control.platform import Platform
from modelyard.control.services import artifacts, imports, run_folders, run_queue, runs
from modelyard.control.services.imports import NewImport
from modelyard.control.services.plans import Input, plan_import
from modelyard.errors import Conflict, Corrupt, InvalidInput, NotAllowedFormat, NotFound, UnknownName
from modelyard.store.garbage import collect_garbage
from modelyard.store.work import Run
from services_upload import put


@pytest.fixture(scope="module")
def onnx(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    brought_models.write_onnx(path)
    return path.read_bytes()


def test_an_upload_is_inspected_and_queued(platform: Platform, onnx: bytes) -> None:
    upload = put(platform, onnx, "model.onnx")
    run = imports.submit(
        platform, "default", NewImport(name="brought", uploads=[upload.id], options={"licence": "mit"})
    )
    assert (run.kind, run.state) == ("import", "queued")
    assert run.params["digests"] == {"model.onnx": upload.sha256}
    claimed = run_queue.claim(platform, run.id)
    assert claimed is not None
    laid = run_folders.folder_of(platform, run.id) / "inputs/sources/model.onnx"
    assert laid.read_bytes() == onnx
    assert laid.stat().st_ino == platform.blobs.path(upload.sha256).stat().st_ino


@pytest.mark.parametrize(
    ("data", "name", "error"),
    [
        (b"not a model", "model.onnx", Corrupt),
        (brought_models.gguf(tensors=1 << 63), "m.gguf", Corrupt),
        (b"text", "a.txt", NotAllowedFormat),
    ],
)
def test_what_no_run_could_use_is_refused_at_once(
    platform: Platform, data: bytes, name: str, error: type[Exception]
) -> None:
    upload = put(platform, data, name)
    with pytest.raises(error):
        imports.submit(platform, "default", NewImport(name="brought", uploads=[upload.id]))
    with platform.database.read() as session:
        assert session.query(Run).count() == 0


def test_what_makes_no_sense(platform: Platform, tmp_path: Path, onnx: bytes) -> None:
    add_tenant(platform, "other")
    add_model(platform, tmp_path)
    upload = put(platform, onnx, "model.onnx").id
    cases: list[tuple[type[Exception], dict[str, Any]]] = [
        (InvalidInput, {"name": "../x", "uploads": [upload]}),
        (InvalidInput, {"name": "x"}),
        (InvalidInput, {"name": "x", "uploads": [upload], "hub": "a/b"}),
        (InvalidInput, {"name": "x", "uploads": [upload, upload]}),
        (InvalidInput, {"name": "x", "hub": "no-organisation"}),
        (UnknownName, {"name": "x", "uploads": [upload], "format": "pickle"}),
        (UnknownName, {"name": "x", "uploads": [upload], "options": {"tsk": "y"}}),
        (InvalidInput, {"name": "x", "uploads": [upload], "options": {"scale": "x"}}),
        (Conflict, {"name": "colours", "uploads": [upload], "options": {"task": "image-classification"}}),
        (NotFound, {"name": "x", "uploads": ["upload_" + "0" * 26]}),
    ]
    for error, asked in cases:
        with pytest.raises(error):
            imports.submit(platform, "default", NewImport(**asked))
    with pytest.raises(NotFound):
        imports.submit(platform, "other", NewImport(name="x", uploads=[upload]))
    with pytest.raises(InvalidInput, match="own address"):
        runs.submit(platform, "default", "import", {"name": "x"})


def test_uploads_that_lie_in_a_folder(platform: Platform, onnx: bytes) -> None:
    one, two = put(platform, onnx, "model.onnx").id, put(platform, b"weights", "weights.bin").id
    asked = NewImport(name="brought", uploads=[one, two], paths=["a/model.onnx", "a/b/weights.bin"])
    run = imports.submit(platform, "default", asked)
    assert run_queue.claim(platform, run.id) is not None
    laid = run_folders.folder_of(platform, run.id) / "inputs/sources"
    assert sorted(p.relative_to(laid).as_posix() for p in laid.rglob("*") if p.is_file()) == asked.paths[::-1]
    for paths in (["a"], ["a", "a"], ["a", "a/b"], ["a", "A"], ["../a", "b"], ["/a", "b"], ["a", ""]):
        with pytest.raises((InvalidInput, NotAllowedFormat)):
            imports.submit(platform, "default", NewImport(name="brought", uploads=[one, two], paths=paths))


def test_what_another_run_logged_is_a_source(platform: Platform, onnx: bytes) -> None:
    logged = add_run(platform)
    entry = platform.blobs.put_bytes(onnx)
    with platform.database.write() as session:
        run = session.get_one(Run, logged)
        artifacts.publish(session, run, {"model/data/model.onnx": entry}, 1.0)
    source = Input(
        name="data/model.onnx", kind="artifact", version_id=logged, reference=logged, digest=entry.sha256
    )
    made = runs.submit_planned(
        platform,
        "default",
        "import",
        lambda session: plan_import(session, "default", "brought", [source], {"format": "onnx"}),
    )
    assert run_queue.claim(platform, made.id) is not None
    laid = run_folders.folder_of(platform, made.id) / "inputs/sources/data/model.onnx"
    assert laid.read_bytes() == onnx
    collect_garbage(platform.database, platform.blobs, platform.home, grace=0)
    assert platform.blobs.has(entry.sha256)
    other = Input(name="x.onnx", kind="artifact", version_id=logged, reference=logged, digest="ab" * 32)
    with pytest.raises(NotFound):
        runs.submit_planned(
            platform, "default", "import", lambda session: plan_import(session, "default", "x", [other], {})
        )
