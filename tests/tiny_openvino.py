"""A tiny causal language model as OpenVINO IR with random weights, in the shape of a package's folder."""

import json
from pathlib import Path

import numpy as np

from modelyard.engines.causal_graph import Layer, causal_graph

WIDTH, PLACES = 32, 512
BOS, EOS, TURN = 256, 257, 258


def write_tiny(folder: Path, *, seed: int = 1) -> Path:
    """The path of openvino_model.xml. Its tokens are bytes, and <bos>, <eos>, <turn>."""
    import openvino
    from openvino_tokenizers import convert_tokenizer
    from transformers import PreTrainedTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = byte_tokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<bos>", eos_token="<eos>")
    for name, model in zip(
        ("tokenizer", "detokenizer"), convert_tokenizer(wrapped, with_detokenizer=True), strict=True
    ):
        openvino.save_model(model, folder / f"openvino_{name}.xml")
    config = {
        "model_type": "llama", "hidden_size": WIDTH, "num_attention_heads": 1, "num_hidden_layers": 1,
        "max_position_embeddings": PLACES, "vocab_size": 259, "bos_token_id": BOS, "eos_token_id": EOS,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "generation_config.json").write_text(json.dumps({"bos_token_id": BOS, "eos_token_id": EOS}))
    path = folder / "openvino_model.xml"
    openvino.save_model(_model(seed), path, compress_to_fp16=False)
    return path


def byte_tokenizer():
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE(vocab={letter: n for n, letter in enumerate(letters)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(name, special=True) for name in ("<bos>", "<eos>", "<turn>")])
    made.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", BOS)])
    return made


def _model(seed):
    from openvino import opset13 as ops

    draw = np.random.default_rng(seed)

    def weights(*shape, scale):
        return ops.constant((draw.standard_normal(shape) * scale).astype(np.float32))

    words, places = weights(259, WIDTH, scale=1.0), weights(PLACES, WIDTH, scale=1.0)
    mixes = [weights(WIDTH, WIDTH, scale=0.3) for _ in range(3)]
    out = weights(WIDTH, 259, scale=0.2)

    def embed(ids, where):
        zero = ops.constant(0)
        return ops.add(ops.gather(words, ids, zero), ops.gather(places, where, zero))

    def mixed(by):
        return lambda hidden: ops.matmul(hidden, by, False, False)

    return causal_graph(
        Layer(
            width=WIDTH, embed=embed, head=mixed(out),
            queries=mixed(mixes[0]), keys=mixed(mixes[1]), values=mixed(mixes[2]),
        )
    )  # fmt: skip


class Reference:
    """The same graph, run by OpenVINO itself a token at a time, without batches, blocks or a cache of prefixes."""

    def __init__(self, path: Path) -> None:
        import openvino

        settings = {
            "INFERENCE_PRECISION_HINT": "f32",
            "KV_CACHE_PRECISION": "f32",
            "INFERENCE_NUM_THREADS": 1,
        }
        self._request = openvino.Core().compile_model(path, "CPU", settings).create_infer_request()

    def logits(self, ids: list[int]) -> np.ndarray:
        """After each of the ids [tokens, 259]."""
        self._request.reset_state()
        return np.stack([self._after(token, place) for place, token in enumerate(ids)])

    def greedy(self, ids: list[int], tokens: int) -> list[int]:
        found = list(ids)
        for _ in range(tokens):
            found.append(int(self.logits(found)[-1].argmax()))
        return found[len(ids) :]

    def _after(self, token: int, place: int) -> np.ndarray:
        answer = self._request.infer(
            {
                "input_ids": np.array([[token]]),
                "attention_mask": np.ones((1, place + 1), np.int64),
                "position_ids": np.array([[place]]),
                "beam_idx": np.zeros(1, np.int32),
            }
        )
        return answer["logits"][0, 0].copy()
