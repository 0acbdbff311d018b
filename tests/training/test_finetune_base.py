from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from modelyard import packages
from modelyard.errors import InvalidInput, NotAllowedFormat
from modelyard.training.finetune_base import check_base, check_length, check_targets, open_base
from modelyard.types.chat import DEFAULT_TEMPLATE
from modelyard.types.package import Manifest
from tiny_language_model import CHAT_TEMPLATE, write_package


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "package"
    write_package(folder, template=CHAT_TEMPLATE)
    return folder


@pytest.fixture(scope="module")
def manifest(folder: Path) -> Manifest:
    return packages.read(folder)


def test_a_base_is_opened_with_its_own_template(folder: Path, manifest: Manifest) -> None:
    base = open_base(folder, manifest, "tiny")
    assert (base.context, base.architecture, base.own_template) == (64, "LlamaForCausalLM", True)
    assert base.template == CHAT_TEMPLATE
    assert not base.model.training


def test_a_base_without_a_template_gets_the_plain_one(tmp_path: Path) -> None:
    base = open_base(tmp_path, write_package(tmp_path, "gpt2"), "tiny")
    assert (base.template, base.own_template, base.context) == (DEFAULT_TEMPLATE, False, 64)


def test_what_the_package_says_goes_before_the_tokenizer(tmp_path: Path) -> None:
    write_package(tmp_path, template=CHAT_TEMPLATE)
    (tmp_path / "chat_template.jinja").write_text("{{ messages }}")
    (tmp_path / "model.json").unlink()
    said = write_manifest(tmp_path, preprocessing={"chat_template": "chat_template.jinja"})
    assert open_base(tmp_path, said, "tiny").template == "{{ messages }}"


def write_manifest(folder: Path, **said: Any) -> Manifest:
    given: Any = {"task": "text-generation", "formats": {"transformers": "huggingface/config.json"}}
    from modelyard import tasks

    signature = tasks.load("text-generation").signature({}, ())
    return packages.write(folder, Manifest(signature=signature, tensors=signature, **given | said))


@pytest.mark.parametrize(
    ("said", "error", "match"),
    [
        (
            {"task": "feature-extraction"},
            InvalidInput,
            "the base 'x' is of another task; came: feature-extraction",
        ),
        ({"formats": {"gguf": "model.gguf"}}, NotAllowedFormat, "make a Hugging Face folder of it"),
        ({"formats": {"onnx": "model.onnx"}}, NotAllowedFormat, "no weights to be trained on; import"),
        ({"formats": {}}, NotAllowedFormat, "came: none"),
    ],
)
def test_what_is_no_base_is_refused(
    manifest: Manifest, said: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        check_base(replace(manifest, **said), "x")


def test_a_broken_base_is_a_users_error(tmp_path: Path) -> None:
    manifest = write_package(tmp_path)
    (tmp_path / "huggingface" / "model.safetensors").write_bytes(b"\0" * 100)
    with pytest.raises(InvalidInput, match="no causal language model that transformers opens"):
        open_base(tmp_path, manifest, "tiny")
    (tmp_path / "huggingface" / "tokenizer.json").unlink()
    (tmp_path / "huggingface" / "tokenizer_config.json").unlink()
    with pytest.raises(InvalidInput, match="no tokenizer"):
        open_base(tmp_path, manifest, "tiny")


def test_sequences_are_as_long_as_the_base_takes(folder: Path, manifest: Manifest) -> None:
    base = open_base(folder, manifest, "tiny")
    check_length(base, 64)
    with pytest.raises(
        InvalidInput, match="sequence_length is more than the base takes; came: 65; allowed: 64"
    ):
        check_length(base, 65)


def test_layers_are_named(folder: Path, manifest: Manifest) -> None:
    model = open_base(folder, manifest, "tiny").model
    check_targets(model, None)
    check_targets(model, ["q_proj", "up_proj"])
    with pytest.raises(InvalidInput, match="target_modules; came: query; allowed: down_proj, gate_proj"):
        check_targets(model, ["q_proj", "query"])
