"""A small llama as a GGUF file with random weights and a byte-level tokenizer, which llama.cpp opens."""

from pathlib import Path
from typing import Any

import numpy as np

WIDTH, HEADS, FEED, CONTEXT = 64, 2, 128, 512
CONTROL, NORMAL, USER = 3, 1, 4


def vocabulary(pre: str = "gpt-2") -> dict[str, Any]:
    """As a GGUF file's header says it: byte-level pairs, learnt from a few lines."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    lines = [
        Path(__file__).read_text(encoding="utf-8"),
        "It is 1, 2, 34, 567 words; don't SAY 'naïve' café. " * 3,
    ]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    made.train_from_iterator(
        lines, trainers.BpeTrainer(vocab_size=400, initial_alphabet=letters, show_progress=False)
    )
    import json

    model = json.loads(made.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    kinds = [NORMAL] * len(tokens)
    tokens += ["<s>", "</s>", "<turn>", "<mark>"]
    kinds += [CONTROL, CONTROL, CONTROL, USER]
    return {
        "model": "gpt2", "pre": pre, "tokens": tokens, "token_type": kinds,
        "merges": [" ".join(pair) for pair in model["merges"]],
        "bos_token_id": len(tokens) - 4, "eos_token_id": len(tokens) - 3, "add_bos_token": True,
    }  # fmt: skip


def write_gguf(path: Path, said: dict[str, Any], *, seed: int = 1) -> Path:
    import gguf

    out = gguf.GGUFWriter(path, "llama")
    out.add_context_length(CONTEXT)
    out.add_embedding_length(WIDTH)
    out.add_block_count(1)
    out.add_feed_forward_length(FEED)
    out.add_head_count(HEADS)
    out.add_head_count_kv(HEADS)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_rope_dimension_count(WIDTH // HEADS)
    out.add_vocab_size(len(said["tokens"]))
    out.add_tokenizer_model(said["model"])
    out.add_tokenizer_pre(said["pre"])
    out.add_token_list(said["tokens"])
    out.add_token_types(said["token_type"])
    out.add_token_merges(said["merges"])
    out.add_bos_token_id(said["bos_token_id"])
    out.add_eos_token_id(said["eos_token_id"])
    out.add_add_bos_token(said["add_bos_token"])
    for name, weights in _weights(len(said["tokens"]), seed).items():
        out.add_tensor(name, weights)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return path


def _weights(tokens: int, seed: int) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(seed)

    def random(rows: int, columns: int, scale: float = 1.0) -> np.ndarray:
        return (draw.standard_normal((rows, columns)) * scale / columns**0.5).astype(np.float32)

    ones = np.ones(WIDTH, np.float32)
    block = {
        "attn_norm": ones, "attn_q": random(WIDTH, WIDTH), "attn_k": random(WIDTH, WIDTH),
        "attn_v": random(WIDTH, WIDTH), "attn_output": random(WIDTH, WIDTH), "ffn_norm": ones,
        "ffn_gate": random(FEED, WIDTH), "ffn_up": random(FEED, WIDTH), "ffn_down": random(WIDTH, FEED),
    }  # fmt: skip
    return {
        "token_embd.weight": random(tokens, WIDTH, WIDTH**0.5),
        **{f"blk.0.{name}.weight": weights for name, weights in block.items()},
        "output_norm.weight": ones,
        "output.weight": random(tokens, WIDTH, 2.0),
    }
