"""Bringing models to a real platform: from a file, a folder, a bundle, the hub; and taking them elsewhere."""

import json
import os
import signal
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import brought_models
import small_package
from bare_platform import Bare
from hub_server import COMMIT, HubServer
from modelyard.client.upload import IN_PARTS
from modelyard.cluster.connection import Connection
from modelyard.errors import ModelyardError, NotAllowedFormat, NotFound
from stocked import Stocked

pytestmark = pytest.mark.slow  # whole platforms


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    root = tmp_path_factory.mktemp("hub")
    brought_models.write_huggingface(root / "team/small-bert")
    (root / "team/small-bert/pytorch_model.bin").write_bytes(
        b"\x80\x02cos\nsystem\n(X\x04\x00\x00\x00truetR."
    )
    (root / "team/pickled").mkdir()
    (root / "team/pickled/config.json").write_text("{}")
    (root / "team/pickled/pytorch_model.bin").write_bytes(b"\x80\x02].")
    (root / "team/llamas").mkdir()
    (root / "team/llamas/q4.gguf").write_bytes(_large(24 << 20))
    (root / "team/llamas/q8.gguf").write_bytes(brought_models.gguf())
    with HubServer(root, frozenset({"q4.gguf"})) as server:
        yield server


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory, hub: HubServer) -> Iterator[Bare]:
    with Bare(tmp_path_factory.mktemp("bare") / "home", HF_ENDPOINT=hub.url, HF_HUB_DISABLE_XET="1") as bare:
        yield bare


def infer(bare: Bare, name: str, rows: Any) -> Any:
    body = {
        "inputs": [
            {"name": "features", "datatype": "FP32", "shape": list(rows.shape), "data": rows.ravel().tolist()}
        ]
    }
    answer = bare.http.post(f"{bare.client.gateway_url}/v2/models/{name}/infer", json=body).json()
    return np.array(answer["outputs"][0]["data"]).reshape(answer["outputs"][0]["shape"])


def test_an_onnx_file_is_served_within_two_commands(bare: Bare, tmp_path: Path) -> None:
    brought_models.write_onnx(tmp_path / "Linear Model.onnx")
    said = bare.yard("models", "import", str(tmp_path / "Linear Model.onnx"), "--licence", "mit")
    assert "Next: yard deploy linear-model linear-model:1" in said
    assert "nothing says what the model is for" in said
    bare.yard("deploy", "linear", "linear-model")
    rows = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    assert np.allclose(infer(bare, "linear", rows), small_package.answers(rows), atol=1e-6)
    version = bare.http.get("/models/linear-model/versions/1").json()
    assert version["manifest"]["licence"] == "mit"
    assert version["manifest"]["lineage"]["run"] == version["run"]
    assert version["summary"]["facts"]["nodes"] == 2


def test_a_zipped_saved_model_and_a_keras_file(bare: Bare, tmp_path: Path) -> None:
    brought_models.write_keras(tmp_path)
    found = bare.json("models", "import", str(tmp_path / "savedmodel"), "--name", "saved")
    assert (found["summary"]["format"], found["summary"]["served_as"]) == ("savedmodel", ["onnx"])
    said = bare.json(
        "models",
        "import",
        str(tmp_path / "model.keras"),
        "--name",
        "digits",
        "--task",
        "image-classification",
        "--scale",
        "1",
        "--labels",
        "a,b,c",
    )
    assert said["summary"]["task"] == "image-classification"
    assert bare.http.get("/models/digits/versions/1").json()["manifest"]["labels"] == ["a", "b", "c"]


def test_a_skops_file_answers_as_the_estimator(bare: Bare, tmp_path: Path) -> None:
    model = brought_models.write_skops(tmp_path / "forest.skops")
    made = bare.client.models.import_(tmp_path / "forest.skops", "forest")
    assert made.summary["task"] == "tabular-classification"
    bare.client.deploy("forest", "forest")
    names = [
        t["name"]
        for t in bare.http.get("/models/forest/versions/1").json()["manifest"]["signature"]["inputs"]
    ]
    rows = np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32)
    answers = bare.client.predict("forest", {n: rows[:, k].tolist() for k, n in enumerate(names)})
    best = [row[0] if isinstance(row, list) else row for row in answers]
    assert [b["label"] for b in best] == model.predict(rows).tolist()


def test_a_folder_of_large_files_goes_file_by_file(
    bare: Bare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from modelyard.client import imports

    folder = tmp_path / "weights"
    (folder / "sub").mkdir(parents=True)
    brought_models.write_safetensors(folder / "model.safetensors")
    (folder / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    (folder / "sub/modeling.py").write_text("raise SystemExit")
    (folder / "empty.txt").write_text("")
    monkeypatch.setattr(imports, "IN_PARTS", 1)
    run = bare.client.models.import_(folder)
    assert sorted(run.raw["params"]["sources"]) == ["config.json", "model.safetensors", "sub/modeling.py"]
    files = bare.http.get("/models/weights/versions/1").json()["files"]
    assert sorted(files) == ["huggingface/config.json", "huggingface/model.safetensors", "model.json"]
    digest = files["huggingface/model.safetensors"]["sha256"]
    assert digest == run.raw["params"]["digests"]["model.safetensors"]


def test_gguf_that_no_engine_opens_is_kept(bare: Bare, tmp_path: Path) -> None:
    (tmp_path / "llama.gguf").write_bytes(brought_models.gguf())
    said = bare.yard("models", "import", str(tmp_path / "llama.gguf"))
    assert "it stays with llama_cpp" in " ".join(said.split())
    version = bare.http.get("/models/llama/versions/1").json()
    assert (version["formats"], version["manifest"]["task"]) == (["gguf"], "text-generation")
    blob = bare.http.get("/models/llama/versions/1/files/llama.gguf").content
    assert blob == brought_models.gguf()
    with pytest.raises(ModelyardError, match="engine"):
        bare.client.models.import_(tmp_path / "llama.gguf", "llama", engine="transformers")


def test_a_large_file_goes_on_after_kill_9_of_control(bare: Bare, tmp_path: Path) -> None:
    size = IN_PARTS + (20 << 20)
    path = tmp_path / "large.gguf"
    path.write_bytes(_large(size))
    killed: list[float] = []

    def kill_once(done: float, total: float, text: str) -> None:
        if not killed and done > total / 3:
            killed.append(done)
            os.kill(_pid(bare, "control"), signal.SIGKILL)

    run = bare.client.models.import_(path, "large", progress=kill_once)
    assert killed
    assert run.outputs["model"]["version"] == 1
    stored = bare.http.get("/models/large/versions/1").json()["files"]["large.gguf"]
    assert stored["size"] == size
    assert list(bare.home.partials.iterdir()) == []


def _large(size: int) -> bytes:
    """A GGUF of one tensor that fills `size` bytes."""
    import struct

    head = brought_models.gguf(size=0)
    elements = (size - len(head)) // 4
    return head.replace(struct.pack("<IQIQ", 1, 32, 0, 0), struct.pack("<IQIQ", 1, elements, 0, 0)) + bytes(
        size - len(head)
    )


def _pid(bare: Bare, name: str) -> int:
    return next(
        p.pid for p in Connection(bare.home.launcher_socket).table().processes if p.id == name and p.pid
    )


def test_a_model_of_the_hub(bare: Bare, hub: HubServer) -> None:
    run = bare.client.models.import_("hf:team/small-bert@main")
    assert (run.summary["hub"], run.summary["commit"]) == ("team/small-bert", COMMIT)
    assert run.summary["licence"] == "apache-2.0"
    assert "model.safetensors" in hub.fetched()
    assert hub.fetched().isdisjoint({"modeling_evil.py", "pytorch_model.bin"})
    assert all(path.startswith(("/api/models/team/", "/team/")) for _, path, _ in hub.asked), (
        "nobody else is told"
    )
    version = bare.http.get("/models/small-bert/versions/1").json()
    assert (version["formats"], version["manifest"]["task"]) == (["onnx"], "text-classification")
    assert not [name for name in version["files"] if name.endswith((".py", ".bin"))]
    assert "auto_map" not in json.dumps(version["manifest"]["preprocessing"])
    card = bare.client.models.card("small-bert")
    assert "base_model" in card


@pytest.mark.parametrize(
    ("source", "error", "said"),
    [
        ("hf:team/none", NotFound, "no model"),
        ("hf:team/small-bert@old", NotFound, "no such revision"),
        ("hf:team/pickled", NotAllowedFormat, "pickles"),
        ("hf:team/llamas", ModelyardError, "several models"),
        ("hf:team/llamas/none.gguf", NotFound, "no such file"),
    ],
)
def test_what_the_hub_does_not_give(bare: Bare, source: str, error: type[ModelyardError], said: str) -> None:
    with pytest.raises(error, match=said):
        bare.client.models.import_(source, "nothing")


def test_one_file_of_several_of_the_hub_whose_download_breaks_off(bare: Bare, hub: HubServer) -> None:
    run = bare.client.models.import_("hf:team/llamas/q4.gguf", "llamas")
    assert run.summary["format"] == "gguf"
    files = bare.http.get("/models/llamas/versions/1").json()["files"]
    assert {name: entry["size"] for name, entry in files.items() if name != "model.json"} == {
        "q4.gguf": 24 << 20
    }
    assert any(r for method, path, r in hub.asked if method == "GET" and path.endswith("q4.gguf") and r)


def test_a_bundle_brings_a_version_with_all_that_is_known(
    bare: Bare, stocked: Stocked, tmp_path: Path
) -> None:
    path = tmp_path / "wine.yard.zip"
    stocked.yard("models", "export", "wine:1", "--out", str(path))
    there = stocked.client.models.version("wine:1")
    said = bare.yard("models", "import", str(path))
    assert "Next: yard deploy wine wine:1" in said
    here = bare.client.models.version("wine:1")
    assert here["digest"] == there["digest"]
    assert here["summary"]["value"] == there["summary"]["value"]
    assert [r["metrics"] for r in here["reports"]] == [r["metrics"] for r in there["reports"]]
    assert bare.client.models.report("wine") == stocked.client.models.report("wine:1")
    assert here["dataset_digest"] == there["dataset_digest"]
    assert here["history"]["run"]["id"] == there["run"]
    assert f"train {there['run']}, data wine" in bare.yard("models", "show", "wine:1")
    bare.client.deploy("wine", "wine")
    row = stocked.client.data.sample("wine").features
    stocked.client.deploy("exported", "wine:1")
    assert bare.client.predict("wine", row) == stocked.client.predict("exported", row)
    again = bare.client.models.export("wine:1", tmp_path / "again.yard.zip")
    with zipfile.ZipFile(again) as archive:
        history = json.loads(archive.read("history.json"))
    assert history["before"]["run"]["kind"] == "train"
    assert history["before"]["dataset"]["digest"] == there["dataset_digest"]
    stocked.client.deployments.delete("exported")
    bare.client.deployments.delete("wine")


def test_the_same_version_gives_the_same_bundle(stocked: Stocked, tmp_path: Path) -> None:
    paths = [stocked.client.models.export("wine:1", tmp_path / f"{n}.yard.zip") for n in range(2)]
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize(
    "change", ["a file", "the manifest", "one more", "one less", "a report", "the version"]
)
def test_a_tampered_bundle_is_refused(bare: Bare, stocked: Stocked, tmp_path: Path, change: str) -> None:
    with zipfile.ZipFile(stocked.client.models.export("wine:1", tmp_path / "a.yard.zip")) as archive:
        members = {n: archive.read(n) for n in archive.namelist()}
    head = json.loads(members["yard-bundle.json"])
    if change == "a file":
        members["package/model.onnx"] = members["package/model.onnx"][:-1] + b"x"
    elif change == "the manifest":
        members["package/model.json"] = members["package/model.json"].replace(b"class_0", b"class_9")
    elif change == "one more":
        members["package/evil.py"] = b"import os"
    elif change == "one less":
        del members["package/golden.safetensors"]
    elif change == "a report":
        members["reports/1/report.json"] = members["reports/1/report.json"].replace(b"accuracy", b"accuracx")
    else:
        head["digest"] = "ab" * 32
        members["yard-bundle.json"] = msgspec.json.encode(head, order="sorted")
    brought_models.zipped(tmp_path / "b.yard.zip", members)
    with pytest.raises(ModelyardError) as refused:
        bare.client.models.import_(tmp_path / "b.yard.zip", "tampered")
    assert refused.value.code == "corrupt"
    with pytest.raises(NotFound):
        bare.client.models.show("tampered")


def test_a_card_is_made_edited_and_made_anew(stocked: Stocked, tmp_path: Path) -> None:
    import yaml

    made = stocked.yard("models", "card", "wine:1")
    header = yaml.safe_load(made.split("---")[1])
    assert (header["pipeline_tag"], header["library_name"], header["datasets"]) == (
        "tabular-classification",
        "sklearn",
        ["wine:1"],
    )
    assert header["model-index"][0]["results"][0]["metrics"][0]["type"] == "accuracy"
    own = tmp_path / "README.md"
    own.write_text("---\nlicense: mit\ntags: [mine]\n---\n\n# Mine\n")
    assert "# Mine" in stocked.yard("models", "card", "wine:1", "--edit", str(own))
    assert stocked.client.models.card("wine:1") == own.read_text()
    digest = stocked.client.models.version("wine:1")["digest"]
    for bad in (
        "---\nlicense: [1]\n---\n",
        "---\na: &a [1]\nb: *a\n---\n",
        "---\nnever ends",
        "---\n- a list\n---\n",
    ):
        own.write_text(bad)
        assert stocked.run("models", "card", "wine:1", "--edit", str(own)).returncode == 1
    assert "wine, version 1" in stocked.yard("models", "card", "wine:1", "--reset")
    assert stocked.client.models.version("wine:1")["digest"] == digest
