import os
import subprocess
import sys
from pathlib import Path

import pytest

import brought_models
from hub_server import HubServer
from modelyard.errors import InvalidInput, ModelyardError, NotAllowedFormat, NotFound
from modelyard.runs.hub import chosen, split


def test_names() -> None:
    assert split("org/name") == ("org/name", None)
    assert split("org/name/deep/file.gguf") == ("org/name", "deep/file.gguf")
    for bad in ("name", "", "../..", "org/..", "a/b/../c", "a b/c", "/a/b", "a/b/"):
        with pytest.raises(ModelyardError):
            split(bad)


FILES = [
    "README.md",
    "config.json",
    "model.safetensors",
    "modeling_x.py",
    "pytorch_model.bin",
    "tf_model.h5",
    "tokenizer.json",
    "vocab.txt",
    "onnx/model.onnx",
    "training_args.bin",
]


def test_what_is_fetched_has_no_code_and_no_pickle_in_it() -> None:
    assert chosen(FILES, None, "o/n") == [
        "README.md",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "vocab.txt",
    ]
    assert chosen(FILES, "onnx/model.onnx", "o/n") == ["onnx/model.onnx"]


def test_what_is_not_there_or_not_safe() -> None:
    with pytest.raises(NotAllowedFormat, match="pickles"):
        chosen(["config.json", "pytorch_model.bin"], None, "o/n")
    with pytest.raises(NotAllowedFormat, match="no weights"):
        chosen(["README.md"], None, "o/n")
    with pytest.raises(InvalidInput, match="hf:o/n/FILE"):
        chosen(["a.gguf", "b.gguf"], None, "o/n")
    with pytest.raises(NotFound):
        chosen(FILES, "none.onnx", "o/n")


_FILL = "import sys, huggingface_hub as h; [h.hf_hub_download(sys.argv[1], name) for name in sys.argv[2:]]"
_DOWNLOAD = """
import json, sys
from pathlib import Path
from modelyard.errors import ModelyardError
from modelyard.runs import hub
from modelyard.runs.context import RunContext
from modelyard.runs.reporter import RunReporter
from modelyard.types.run import RunSpec
spec = RunSpec(id="run_1", attempt=1, kind="import", tenant="default", params={})
context = RunContext(spec=spec, folder=Path(sys.argv[2]), reporter=RunReporter())
try:
    folder, commit = hub.download(context, sys.argv[1], None)
    files = sorted(p.name for p in folder.rglob("*") if p.is_file() and not p.is_symlink())
    print(json.dumps({"files": files, "commit": commit}))
except ModelyardError as error:
    print(json.dumps(error.to_dict()))
"""


def run(code: str, *arguments: str, **environment: str) -> str:
    env = {**os.environ, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", **environment}
    argv = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


@pytest.mark.slow
def test_offline_the_cache_is_asked_and_nobody_else(tmp_path: Path) -> None:
    """HF_HUB_OFFLINE: what lies in the library's cache comes, as files and not as links; what does not says so."""
    (tmp_path / "hub/team/model").mkdir(parents=True)
    brought_models.write_safetensors(tmp_path / "hub/team/model/model.safetensors")
    for name, text in (("config.json", "{}"), ("modeling.py", "raise SystemExit"), ("README.md", "# x")):
        (tmp_path / "hub/team/model" / name).write_text(text)
    cache = str(tmp_path / "cache")
    with HubServer(tmp_path / "hub") as server:
        names = [p.name for p in (tmp_path / "hub/team/model").iterdir()]
        run(_FILL, "team/model", *names, HF_ENDPOINT=server.url, HF_HOME=cache)
        before = len(server.asked)
        offline = {"HF_ENDPOINT": server.url, "HF_HOME": cache, "HF_HUB_OFFLINE": "1"}
        found = run(_DOWNLOAD, "team/model", str(tmp_path / "run"), **offline)
        missing = run(_DOWNLOAD, "team/other", str(tmp_path / "run"), **offline)
        assert len(server.asked) == before
    assert found == '{"files": ["README.md", "config.json", "model.safetensors"], "commit": null}'
    assert "HF_HUB_OFFLINE" in missing
    assert str(tmp_path) not in missing


@pytest.mark.slow
def test_a_hub_that_does_not_answer(tmp_path: Path) -> None:
    with HubServer(tmp_path) as server:
        gone = server.url
    said = run(
        _DOWNLOAD, "team/model", str(tmp_path / "run"), HF_ENDPOINT=gone, HF_HOME=str(tmp_path / "cache")
    )
    assert '"code": "unavailable"' in said
