"""Hugging Face models: small ones of real architectures with seeded weights, and all-MiniLM-L6-v2 where it is."""

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import text_models
from modelyard import conversion, datasets, engines, packages
from modelyard.conversion import text_export, text_nets, tokens
from modelyard.conversion.contract import Context, Origin
from modelyard.datasets.options import IngestOptions
from modelyard.errors import InvalidInput, NotAllowedFormat, ParityMismatch
from modelyard.evaluation.evaluate import EvaluationOptions, evaluate
from modelyard.types.dataset import Column, Schema
from text_models import SOURCES, bert_config, seeded, sentences, tokenizer

pytestmark = pytest.mark.slow  # real networks

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

TEXTS = ["Yes.", "The wine has thirteen features and three classes.", "ünïcode 漢字 🙂", "patients " * 200]


def packaged(model: Any, out: Path, *, origin: Origin | None = None, **options: Any) -> Any:
    said = Context(say=lambda text: None)
    return conversion.package(model, out, conversion.Options(**options), origin=origin, context=said)


def answered(out: Path, texts: list[str]) -> dict[str, Any]:
    model = engines.open_model(out)
    return model.predict(model.prepared.decode({"text": texts}))


def own(network: Any, made: Any, texts: list[str]) -> Any:
    """What the framework itself answers."""
    with torch.no_grad():
        return network(**made(texts, padding=True, truncation=True, return_tensors="pt"))


def mean(network: Any, made: Any, texts: list[str]) -> Any:
    mask = made(texts, padding=True, truncation=True, return_tensors="np")["attention_mask"][..., None]
    hidden = own(network, made, texts).last_hidden_state.numpy()
    return (hidden * mask).sum(1) / mask.sum(1)


def least_cosine(found: Any, expected: Any) -> float:
    both = (found * expected).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)
    return float(both.min())


@pytest.fixture(scope="module")
def classified(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package of the trained classifier."""
    out = tmp_path_factory.mktemp("classifier") / "package"
    packaged((text_models.classifier(), tokenizer()), out)
    return out


def test_a_classifier_answers_as_it_does_itself(classified: Path) -> None:
    manifest = packages.read(classified)
    assert (manifest.task, manifest.labels) == ("text-classification", SOURCES)
    assert list(manifest.formats) == ["onnx"]
    assert set(manifest.files) == {"model.onnx", "tokenizer.json", "golden.safetensors"}
    logits = own(text_models.classifier(), tokenizer(), TEXTS).logits.numpy()
    found = answered(classified, TEXTS)
    np.testing.assert_allclose(found["logits"], logits, atol=1e-4)
    assert (found["probabilities"].argmax(1) == logits.argmax(1)).all()
    np.testing.assert_allclose(found["probabilities"].sum(1), 1, rtol=1e-5)


def test_it_is_evaluated_over_a_data_set_of_texts(classified: Path, tmp_path: Path) -> None:
    lines = [json.dumps({"sentence": text, "about": name}) for text, name in sentences()]
    (tmp_path / "sentences.jsonl").write_text("\n".join(lines))
    options = IngestOptions(label="about", columns={"sentence": "text"})
    datasets.ingest([tmp_path / "sentences.jsonl"], options, tmp_path / "data", _Silent())
    out = tmp_path / "package"
    data = datasets.open_dataset(tmp_path / "data")
    packaged((text_models.classifier(), tokenizer()), out, origin=Origin(schema=data.manifest.schema))
    report = evaluate(engines.open_model(out), data, EvaluationOptions(split="train"), _Silent()).report
    assert report.task == "text-classification"
    assert report.metrics.values["accuracy"] > 0.8
    assert sum(map(sum, report.metrics.confusion or ())) == report.rows


class _Silent:
    def progress(self, *_: Any) -> None: ...
    def check(self) -> None: ...
    def metrics(self, *_: Any, **__: Any) -> None: ...


def test_a_text_may_have_several_classes(tmp_path: Path) -> None:
    config = bert_config(num_labels=3, problem_type="multi_label_classification")
    network = seeded("BertForSequenceClassification", config)
    made = packaged((network, tokenizer()), tmp_path / "p", labels=("a", "b", "c"))
    assert any("several classes" in note for note in made.notes)
    logits = own(network, tokenizer(), TEXTS).logits.numpy()
    np.testing.assert_allclose(
        answered(tmp_path / "p", TEXTS)["probabilities"], 1 / (1 + np.exp(-logits)), atol=1e-4
    )
    assert made.manifest.labels == ("a", "b", "c")


def test_classes_without_names_have_the_data_sets(tmp_path: Path) -> None:
    network = seeded("BertForSequenceClassification", bert_config(num_labels=3))
    schema = Schema(
        columns=(Column(name="review", kind="text"), Column(name="y", kind="category")), label="y"
    )
    origin = Origin(schema=schema, class_names=("bad", "fair", "good"))
    manifest = packaged((network, tokenizer()), tmp_path / "p", origin=origin).manifest
    assert manifest.labels == ("bad", "fair", "good")
    assert manifest.preprocessing["column"] == "review"
    assert packaged((network, tokenizer()), tmp_path / "q").manifest.labels == (
        "LABEL_0",
        "LABEL_1",
        "LABEL_2",
    )


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("BertModel", bert_config()),
        (
            "RobertaModel",
            transformers.RobertaConfig(**bert_config().to_diff_dict() | {"model_type": "roberta"}),
        ),
        (
            "DistilBertModel",
            transformers.DistilBertConfig(vocab_size=800, dim=32, n_layers=2, n_heads=4, hidden_dim=64),
        ),
    ],
    ids=["bert", "roberta", "distilbert"],
)
def test_an_encoder_gives_the_mean_of_its_tokens(kind: str, config: Any, tmp_path: Path) -> None:
    """RoBERTa's positions begin after the padding's number, and DistilBERT takes no token types."""
    network = seeded(kind, config)
    made = packaged((network, tokenizer()), tmp_path / "p")
    assert (made.manifest.task, made.format) == ("feature-extraction", "onnx")
    expected = mean(network, tokenizer(), TEXTS)
    assert least_cosine(answered(tmp_path / "p", TEXTS)["embedding"], expected) > 0.9999
    assert made.manifest.preprocessing["width"] == expected.shape[1]


def test_the_head_for_pretraining_is_left_out_and_said(tmp_path: Path) -> None:
    network = seeded("BertForMaskedLM", bert_config())
    made = packaged((network, tokenizer()), tmp_path / "p")
    assert any("head for pretraining is left out" in note for note in made.notes)
    expected = mean(network.bert, tokenizer(), TEXTS)
    assert least_cosine(answered(tmp_path / "p", TEXTS)["embedding"], expected) > 0.9999


def test_a_classifier_can_give_vectors(tmp_path: Path) -> None:
    network = text_models.classifier()
    made = packaged((network, tokenizer()), tmp_path / "p", task="feature-extraction")
    assert made.manifest.task == "feature-extraction"
    assert (
        least_cosine(answered(tmp_path / "p", TEXTS)["embedding"], mean(network.bert, tokenizer(), TEXTS))
        > 0.9999
    )


def test_a_pipeline_is_its_model_and_tokenizer(tmp_path: Path) -> None:
    pipeline = transformers.pipeline(
        "text-classification", model=text_models.classifier(), tokenizer=tokenizer()
    )
    packaged(pipeline, tmp_path / "p")
    model = engines.open_model(tmp_path / "p")
    for text in TEXTS[:3]:
        (answer,) = model.task.encode(answered(tmp_path / "p", [text]), model.manifest.labels, {"top_k": 1})
        (expected,) = pipeline(text, truncation=True)
        assert answer[0]["label"] == expected["label"]
        assert answer[0]["score"] == pytest.approx(expected["score"], abs=1e-4)


def test_the_owners_model_is_left_as_it_was(tmp_path: Path) -> None:
    network = seeded("BertModel", bert_config()).half().train()
    before = network.config._attn_implementation
    packaged((network, tokenizer()), tmp_path / "p")
    assert network.training
    assert network.dtype == torch.float16
    assert network.config._attn_implementation == before


def test_what_onnx_cannot_do_is_served_as_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> str:
        raise RuntimeError("an operator without a translation\nat /usr/lib/exporter.py")

    monkeypatch.setattr(text_export._Export, "_onnx", fails)
    made = packaged((text_models.classifier(), tokenizer()), tmp_path / "p")
    assert made.format == "pt2"
    assert any("not as onnx: RuntimeError: an operator without a translation" in note for note in made.notes)
    logits = own(text_models.classifier(), tokenizer(), TEXTS).logits.numpy()
    np.testing.assert_allclose(answered(tmp_path / "p", TEXTS)["logits"], logits, atol=1e-4)


def test_where_tracing_fails_the_other_exporter_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    traced: list[Path] = []

    def bakes(self: Any, folder: Path) -> str:
        """The example's length is in it for good, as a tracer may leave it."""
        traced.append(folder)
        return self._onnx(folder, dynamo=False)

    monkeypatch.setattr(text_export._Export, "_traced", bakes)
    made = packaged((text_models.classifier(), tokenizer()), tmp_path / "p")
    assert (made.format, len(traced)) == ("onnx", 1)
    logits = own(text_models.classifier(), tokenizer(), TEXTS).logits.numpy()
    np.testing.assert_allclose(answered(tmp_path / "p", TEXTS)["logits"], logits, atol=1e-4)


def test_large_weights_lie_beside_the_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_export, "LARGEST", 1000)
    made = packaged((text_models.classifier(), tokenizer()), tmp_path / "p")
    assert (made.format, "model.onnx.data" in made.manifest.files) == ("onnx", True)
    logits = own(text_models.classifier(), tokenizer(), TEXTS).logits.numpy()
    np.testing.assert_allclose(answered(tmp_path / "p", TEXTS)["logits"], logits, atol=1e-4)


def test_a_tokenizer_that_serving_does_not_repeat_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tokenizer that does something of its own in Python."""
    made = tokenizer()
    shouting = type(
        "Shouting",
        (type(made),),
        {"__call__": lambda self, texts, **kw: made([t + " !" for t in texts], **kw)},
    )
    made_loud = tokenizer()
    made_loud.__class__ = shouting
    with pytest.raises(ParityMismatch, match=r"tokenizer\.json does not give"):
        packaged((seeded("BertModel", bert_config()), made_loud), tmp_path / "p")


def test_a_tokenizer_without_padding_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no token to pad with"):
        packaged((seeded("BertModel", bert_config()), tokenizer(pad_token=None)), tmp_path / "p")


def test_a_length_that_the_network_does_not_take_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "longest", lambda *_: 200)
    with pytest.raises(InvalidInput, match="does not take the longest text of its tokenizer"):
        packaged((seeded("BertModel", bert_config()), tokenizer()), tmp_path / "p")


def test_one_number_is_no_class(tmp_path: Path) -> None:
    network = seeded("BertForSequenceClassification", bert_config(num_labels=1))
    with pytest.raises(InvalidInput, match="a number, not classes"):
        packaged((network, tokenizer()), tmp_path / "p")


def test_a_model_of_texts_needs_its_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="needs its tokenizer"):
        packaged(text_models.classifier(), tmp_path / "p")
    with pytest.raises(InvalidInput, match="a tokenizer goes with a Hugging Face model"):
        packaged((torch.nn.Linear(2, 2), tokenizer()), tmp_path / "p")
    with pytest.raises(InvalidInput, match="cannot do text-classification; came: feature-extraction"):
        packaged(
            (seeded("BertModel", bert_config()), tokenizer()), tmp_path / "p", task="text-classification"
        )


def test_without_a_tokenizer_an_example_says_what_it_takes(tmp_path: Path) -> None:
    network = seeded("BertForSequenceClassification", bert_config(num_labels=3))
    ids = np.random.default_rng(0).integers(5, 800, (4, 10))
    made = conversion.package(network, tmp_path / "p", conversion.Options(task="tensors"), example=ids)
    assert made.manifest.task == "tensors"


def gpt(folder: Path) -> Any:
    network = seeded(
        "GPT2LMHeadModel", transformers.GPT2Config(vocab_size=800, n_embd=32, n_layer=1, n_head=2, n_positions=64,
                                                   bos_token_id=2, eos_token_id=3)
    )  # fmt: skip
    network.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return network


def test_a_language_model_is_kept_as_its_engine_opens_it(tmp_path: Path) -> None:
    network = gpt(tmp_path / "source")
    live = packaged((network, tokenizer()), tmp_path / "live").manifest
    (tmp_path / "source/modeling.py").write_text("raise SystemExit")
    (tmp_path / "source/pytorch_model.bin").write_bytes(b"\x80\x04.")
    made = conversion.package_file(tmp_path / "source", "safetensors", tmp_path / "p").manifest
    for manifest in (live, made):
        assert (manifest.task, manifest.formats) == (
            "text-generation",
            {"transformers": "huggingface/config.json"},
        )
        assert manifest.preprocessing["context"] == network.config.n_positions
        assert {"huggingface/model.safetensors", "huggingface/tokenizer.json"} <= set(manifest.files)
        assert not [name for name in manifest.files if name.endswith((".py", ".bin"))]
        assert [t.datatype for t in (*manifest.signature.inputs, *manifest.signature.outputs)] == [
            "BYTES"
        ] * 2
        assert manifest.refusal is msgspec.UNSET
    with pytest.raises(InvalidInput, match="no format that an engine opens"):  # it generates
        engines.open_model(tmp_path / "p")
    kept = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "p/huggingface")
    assert torch.equal(kept.lm_head.weight, network.lm_head.weight)


def test_networks_of_other_kinds_are_stored(tmp_path: Path) -> None:
    small = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.ViTConfig(**small, image_size=32, patch_size=16)
    manifest = packaged(seeded("ViTForImageClassification", config), tmp_path / "p").manifest
    assert "no engine here runs ViTForImageClassification yet" in str(manifest.refusal)


def test_weights_alone_are_stored(tmp_path: Path) -> None:
    gpt(tmp_path / "source")
    made = conversion.package_file(
        tmp_path / "source/model.safetensors", "safetensors", tmp_path / "p"
    ).manifest
    assert made.formats == {"safetensors": "huggingface/model.safetensors"}
    assert "weights alone" in str(made.refusal)


def test_who_keeps_the_files_is_told_instead(tmp_path: Path) -> None:
    config = transformers.ViTConfig(
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=32,
        patch_size=16,
    )
    seeded("ViTForImageClassification", config).save_pretrained(tmp_path / "source")
    with pytest.raises(NotAllowedFormat, match="no engine here runs"):
        conversion.package_file(
            tmp_path / "source", "safetensors", tmp_path / "p", context=Context(keep=False)
        )
    assert not (tmp_path / "p").exists()


def saved(folder: Path, network: Any) -> Path:
    network.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def test_a_folder_is_opened_as_it_was_saved(tmp_path: Path) -> None:
    source = saved(tmp_path / "source", text_models.classifier())
    manifest = conversion.package_file(source, "safetensors", tmp_path / "p").manifest
    assert (manifest.task, manifest.labels) == ("text-classification", SOURCES)
    logits = own(text_models.classifier(), tokenizer(), TEXTS).logits.numpy()
    np.testing.assert_allclose(answered(tmp_path / "p", TEXTS)["logits"], logits, atol=1e-4)


def test_a_folder_without_all_weights_is_refused(tmp_path: Path) -> None:
    """transformers would fill in random numbers."""
    from safetensors.torch import load_file, save_file

    source = saved(tmp_path / "source", text_models.classifier())
    weights = load_file(source / "model.safetensors")
    save_file({k: v for k, v in weights.items() if k != "classifier.weight"}, source / "model.safetensors")
    with pytest.raises(
        InvalidInput, match=r"not all weights of the network; came: without classifier\.weight"
    ):
        conversion.package_file(source, "safetensors", tmp_path / "p")


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    text_models.classifier().save_pretrained(tmp_path / "source")
    with pytest.raises(InvalidInput, match=r"has no tokenizer\.json"):
        conversion.package_file(tmp_path / "source", "safetensors", tmp_path / "p")


def test_code_of_a_folder_is_never_imported(tmp_path: Path) -> None:
    source = saved(tmp_path / "source", text_models.classifier())
    config = json.loads((source / "config.json").read_bytes())
    evil = {
        "AutoConfig": "evil.Config",
        "AutoModel": "evil.Model",
        "AutoModelForSequenceClassification": "evil.Model",
    }
    for known in (True, False):
        changed = config | {"auto_map": evil} | ({} if known else {"model_type": "of-its-own"})
        (source / "config.json").write_text(json.dumps(changed))
        (source / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
        if known:
            conversion.package_file(source, "safetensors", tmp_path / "p")
        else:
            with pytest.raises(InvalidInput, match="no network that transformers knows"):
                conversion.package_file(source, "safetensors", tmp_path / "q")
    assert not (tmp_path / "ran").exists()


def sentence_folder(folder: Path, modes: dict[str, bool], *, dense: bool, normalize: bool) -> Path:
    """As sentence-transformers writes it."""
    from safetensors.torch import save_file

    saved(folder, seeded("BertModel", bert_config()))
    kinds = ["Transformer", "Pooling", *(["Dense"] if dense else []), *(["Normalize"] if normalize else [])]
    paths = ["", *(f"{k + 1}_{kind}" for k, kind in enumerate(kinds[1:]))]
    modules = [
        {"idx": k, "name": str(k), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for k, (kind, path) in enumerate(zip(kinds, paths, strict=True))
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 16}))
    for path in paths[1:]:
        (folder / path).mkdir()
    (folder / "1_Pooling/config.json").write_text(json.dumps({"word_embedding_dimension": 32, **modes}))
    if dense:
        layer = {
            "in_features": 32,
            "out_features": 8,
            "bias": True,
            "activation_function": "torch.nn.modules.activation.Tanh",
        }
        (folder / paths[2] / "config.json").write_text(json.dumps(layer))
        torch.manual_seed(1)
        weights = {"linear.weight": torch.randn(8, 32), "linear.bias": torch.randn(8)}
        save_file(weights, folder / paths[2] / "model.safetensors")
    return folder


def test_what_sentence_transformers_wrote_is_honoured(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    source = sentence_folder(tmp_path / "s", {"pooling_mode_cls_token": True}, dense=True, normalize=True)
    manifest = conversion.package_file(source, "safetensors", tmp_path / "p").manifest
    assert (manifest.preprocessing["max_length"], manifest.preprocessing["width"]) == (16, 8)
    hidden = (
        own(seeded("BertModel", bert_config()), tokenizer(model_max_length=16), TEXTS)
        .last_hidden_state[:, 0]
        .numpy()
    )
    layer = load_file(source / "2_Dense/model.safetensors")
    expected = np.tanh(hidden @ layer["linear.weight"].T + layer["linear.bias"])
    found = answered(tmp_path / "p", TEXTS)["embedding"]
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-5)


@pytest.mark.parametrize("mode", text_nets.MODES)
def test_every_way_of_pooling(mode: str) -> None:
    """Against each row alone, where there is no padding: for either side of it."""
    draw = torch.Generator().manual_seed(0)
    vectors = torch.randn(3, 6, 4, generator=draw)
    lengths = [6, 2, 4]
    for side in ("right", "left"):
        mask = torch.zeros(3, 6, dtype=torch.int64)
        rows = []
        for k, n in enumerate(lengths):
            kept = slice(0, n) if side == "right" else slice(6 - n, 6)
            mask[k, kept] = 1
            rows.append(vectors[k : k + 1, kept])
        pool = text_nets._POOLS[text_nets.MODES[mode]]
        alone = torch.cat([pool(row, torch.ones(1, row.shape[1], dtype=torch.int64)) for row in rows])
        torch.testing.assert_close(pool(vectors, mask), alone)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        (
            "modules.json",
            [{"type": "a.WordWeights", "path": ""}],
            "a module that is not known; came: WordWeights",
        ),
        ("modules.json", [{"type": "a.Pooling", "path": "../other"}], "leads out of its folder"),
        ("1_Pooling/config.json", {"pooling_mode_cls_token": False}, "pooling is not known"),
        ("1_Pooling/config.json", {"pooling_mode": "median"}, "pooling is not known; came: .*median"),
        (
            "2_Dense/config.json",
            {"activation_function": "os.system"},
            "activation is not known; came: system",
        ),
    ],
)
def test_modules_that_are_not_known_are_refused(
    tmp_path: Path, name: str, content: Any, problem: str
) -> None:
    source = sentence_folder(tmp_path / "s", {"pooling_mode_mean_tokens": True}, dense=True, normalize=False)
    (source / name).write_text(json.dumps(content))
    with pytest.raises(InvalidInput, match=problem):
        conversion.package_file(source, "safetensors", tmp_path / "p")


def test_minilm_is_served_as_it_is(tmp_path: Path) -> None:
    """all-MiniLM-L6-v2: its own pooling, normalization and length, by transformers alone."""
    source = text_models.minilm()
    manifest = conversion.package_file(source, "safetensors", tmp_path / "p").manifest
    assert (manifest.task, list(manifest.formats)) == ("feature-extraction", ["onnx"])
    assert (manifest.preprocessing["max_length"], manifest.preprocessing["width"]) == (256, 384)
    network = transformers.AutoModel.from_pretrained(source).eval()
    made = transformers.AutoTokenizer.from_pretrained(source, model_max_length=256)
    texts = [text for text, _ in sentences()][::12] + TEXTS
    found = answered(tmp_path / "p", texts)["embedding"]
    assert least_cosine(found, mean(network, made, texts)) >= 0.9999
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)


def test_a_sentence_transformer_answers_as_it_does_itself(tmp_path: Path) -> None:
    """By its own `encode`, for the folder as its older versions wrote it and for the object."""
    library = pytest.importorskip("sentence_transformers")
    modes = {
        "pooling_mode_mean_tokens": True,
        "pooling_mode_cls_token": True,
        "pooling_mode_weightedmean_tokens": True,
    }
    source = sentence_folder(tmp_path / "s", modes, dense=False, normalize=True)
    (source / "config_sentence_transformers.json").write_text(json.dumps({"prompts": {"query": "query: "}}))
    model = library.SentenceTransformer(str(source), device="cpu")
    expected = model.encode(TEXTS, show_progress_bar=False)
    live = packaged(model, tmp_path / "live")
    saved_one = conversion.package_file(source, "safetensors", tmp_path / "saved")
    for made, out in ((live, tmp_path / "live"), (saved_one, tmp_path / "saved")):
        assert made.manifest.preprocessing["width"] == 96
        assert any("prompts are not put before texts" in note for note in made.notes)
        np.testing.assert_allclose(answered(out, TEXTS)["embedding"], expected, atol=1e-5)


def test_a_package_says_all_that_it_needs(classified: Path) -> None:
    manifest = packages.read(classified)
    assert msgspec.json.decode(msgspec.json.encode(manifest.preprocessing)) == manifest.preprocessing
    assert manifest.net is not None
    assert (manifest.net.name, manifest.net.framework) == ("BertForSequenceClassification", "transformers")
    assert {"torch", "transformers", "tokenizers", "onnxruntime"} <= set(manifest.environment)
