"""Small real models as their own libraries write them, made once a session: what imports begin with."""

import math
import os
import struct
import subprocess
import sys
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from small_package import linear_onnx

_KERAS = """
import sys
import numpy as np
import keras
keras.utils.set_random_seed(0)
layers = keras.layers
net = keras.Sequential([keras.Input((8, 8, 1)), layers.Rescaling(1 / 255), layers.Conv2D(2, 3, activation="relu"),
                        layers.Flatten(), layers.Dense(3, activation="softmax", kernel_regularizer="l2")])
net.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
net.save(sys.argv[1] + "/model.keras")
net.save(sys.argv[1] + "/old.h5")
a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
both = layers.Concatenate()([layers.Dense(3, activation="gelu")(a), layers.BatchNormalization()(b)])
graph = keras.Model([a, b], keras.ops.sum(layers.LSTM(4)(layers.Reshape((-1, 1))(both)), axis=-1, keepdims=True))
graph.save(sys.argv[1] + "/functional.keras")
keras.Sequential([keras.Input((3,)), layers.Lambda(lambda x: x * 2)]).save(sys.argv[1] + "/lambda.keras")

@keras.saving.register_keras_serializable("mine")
class Own(layers.Layer):
    def call(self, x):
        return x

keras.Sequential([keras.Input((3,)), Own()]).save(sys.argv[1] + "/own.keras")
net.export(sys.argv[1] + "/savedmodel", verbose=False)
"""
_PYFUNC = """
import sys
import tensorflow as tf

class Evil(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
    def __call__(self, x):
        tf.io.write_file("/tmp/written-by-a-model", "x")
        return tf.py_function(lambda v: v, [x], tf.float32)

evil = Evil()
tf.saved_model.save(evil, sys.argv[1])
"""


def write_keras(folder: Path) -> None:
    """model.keras, functional.keras, lambda.keras, own.keras, old.h5 and savedmodel/, by TensorFlow."""
    _apart(_KERAS, folder)


def write_pyfunc(folder: Path) -> None:
    """A SavedModel that runs Python and writes a file."""
    _apart(_PYFUNC, folder)


def _apart(code: str, folder: Path) -> None:
    """TensorFlow in a process of its own: its threads and warnings stay there."""
    env = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run(
        [sys.executable, "-c", code, str(folder)], check=True, capture_output=True, env=env, timeout=120
    )


def write_onnx(path: Path) -> None:
    path.write_bytes(linear_onnx().SerializeToString())


def write_external_onnx(folder: Path, location: str = "weights.bin") -> Path:
    """A model whose weights lie in a file beside it, wherever it says."""
    import onnx
    from onnx.external_data_helper import set_external_data

    folder.mkdir(parents=True, exist_ok=True)
    model = linear_onnx()
    tensor = model.graph.initializer[0]
    data = tensor.raw_data
    (folder / "weights.bin").write_bytes(data)
    set_external_data(tensor, location, offset=0, length=len(data))
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def write_safetensors(path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"a": np.ones((3, 4), np.float32), "b": np.arange(5)}, path, metadata={"format": "pt"})


def write_skops(path: Path) -> Any:
    """A pipeline; the fitted estimator."""
    import skops.io
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    draw = np.random.default_rng(0)
    rows, targets = draw.normal(size=(40, 4)), np.array(["no", "yes"] * 20)
    model = make_pipeline(StandardScaler(), RandomForestClassifier(n_estimators=3, random_state=0)).fit(
        rows, targets
    )
    skops.io.dump(model, path)
    return model


def write_pt2(path: Path) -> None:
    import torch

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = torch.nn.Linear(4, 3)

        def forward(self, x: Any) -> Any:
            return torch.softmax(self.inner(x).reshape(x.shape[0], -1), -1)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(
            Net().eval(), (torch.zeros(2, 4),), dynamic_shapes={"x": {0: torch.export.Dim("rows")}}
        )
        torch.export.save(program, path)


def write_openvino(folder: Path) -> Path:
    import openvino

    folder.mkdir(parents=True, exist_ok=True)
    write_onnx(folder / "source.onnx")
    openvino.save_model(
        openvino.convert_model(folder / "source.onnx"), folder / "model.xml", compress_to_fp16=False
    )
    (folder / "source.onnx").unlink()
    return folder / "model.xml"


def gguf(
    *, tensors: int | None = None, keys: int | None = None, offset: int = 0, size: int = 32 * 4
) -> bytes:
    """A GGUF of one F32 tensor of 32 numbers, with lies in it where they are asked for."""

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    values = text("general.architecture") + struct.pack("<I", 8) + text("llama")
    values += text("llama.context_length") + struct.pack("<II", 4, 2048)
    values += text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 2) + text("a") + text("b")
    described = text("weight") + struct.pack("<IQIQ", 1, 32, 0, offset)
    head = b"GGUF" + struct.pack("<IQQ", 3, 1 if tensors is None else tensors, 3 if keys is None else keys)
    data = head + values + described
    return data + bytes(-len(data) % 32) + bytes(size)


def whisper(
    *,
    count: int = 2,
    name: str = "encoder/conv1/weight",
    shape: tuple[int, ...] = (16, 80, 3),
    kind: int = 1,
    size: int | None = None,
    alias_of: str = "decoder/embeddings/weight",
    aliases: int = 1,
) -> bytes:
    """CTranslate2's model.bin of a Whisper of two int8 tensors, with lies in it where they are asked for."""

    def text(value: str) -> bytes:
        return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"

    def tensor(name: str, shape: tuple[int, ...], kind: int, size: int | None) -> bytes:
        data = bytes(min(math.prod(shape), 1 << 20))
        head = text(name) + struct.pack(f"<B{len(shape)}IB", len(shape), *shape, kind)
        return head + struct.pack("<I", len(data) if size is None else size) + data

    head = struct.pack("<I", 6) + text("WhisperSpec") + struct.pack("<II", 3, count)
    first = tensor(name, shape, kind, size)
    second = tensor("decoder/embeddings/weight", (51865, 4), 1, None)
    return (
        head
        + first
        + second
        + struct.pack("<I", aliases)
        + text("decoder/projection/weight")
        + text(alias_of)
    )


def write_huggingface(folder: Path) -> None:
    """A text classifier of transformers with its tokenizer, with code that must never run beside it."""
    import json

    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    words = {w: n for n, w in enumerate(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "bad", "wine"))}
    inner = Tokenizer(WordLevel(words, unk_token="[UNK]"))
    inner.pre_tokenizer = Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=16,
    )
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=16,
        id2label={0: "bad", 1: "good"},
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    said = json.loads((folder / "config.json").read_text())
    said["auto_map"] = {"AutoModel": "modeling_evil.Evil"}
    (folder / "config.json").write_text(json.dumps(said))
    (folder / "modeling_evil.py").write_text("raise SystemExit('code of a model was imported')\n")
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n\n# A small one\n")


def zipped(
    path: Path, members: dict[str, bytes], change: Callable[[zipfile.ZipInfo], None] | None = None
) -> Path:
    """A zip of these members, each changed where a change is given."""
    with zipfile.ZipFile(path, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that stand twice
        for name, data in members.items():
            info = zipfile.ZipInfo(name)
            if change is not None:
                change(info)
            archive.writestr(info, data)
    return path


def tarred(path: Path, members: list[tarfile.TarInfo], data: bytes = b"") -> Path:
    with tarfile.open(path, "w:gz" if path.suffix in (".gz", ".tgz") else "w") as archive:
        for info in members:
            import io

            info.size = len(data) if info.isreg() else 0
            archive.addfile(info, io.BytesIO(data) if info.isreg() else None)
    return path
