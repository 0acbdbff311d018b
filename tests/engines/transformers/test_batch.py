"""Sequences that are computed together have the logits that they have alone, for many architectures."""

from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from modelyard.engines.transformers.batch import Apart, Together, open_batch  # noqa: E402
from modelyard.errors import InvalidInput  # noqa: E402

pytestmark = pytest.mark.slow
SIZES: dict[str, Any] = {
    "vocab_size": 100, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64, "pad_token_id": 0,
    "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
GPT: dict[str, Any] = {"vocab_size": 100, "bos_token_id": 1, "eos_token_id": 2}
SLIDING = ["sliding_attention", "full_attention"]


def made(config: Any) -> Any:
    transformers.utils.logging.set_verbosity_error()
    torch.manual_seed(0)
    return transformers.AutoModelForCausalLM.from_config(config).eval()


CASES = {
    "llama": (lambda: transformers.LlamaConfig(**SIZES), Together),
    "gpt2": (lambda: transformers.GPT2Config(**GPT, n_embd=32, n_layer=2, n_head=4, n_positions=64), Together),
    "gemma3": (
        lambda: transformers.Gemma3TextConfig(**SIZES, head_dim=8, sliding_window=4, layer_types=SLIDING),
        Together,
    ),
    "mistral": (lambda: transformers.MistralConfig(**SIZES, sliding_window=5), Together),
    "opt": (
        lambda: transformers.OPTConfig(
            **GPT, hidden_size=32, ffn_dim=64, num_hidden_layers=2, num_attention_heads=4,
            max_position_embeddings=64, word_embed_proj_dim=32,
        ),
        Together,
    ),
    "bloom": (lambda: transformers.BloomConfig(**GPT, hidden_size=32, n_layer=2, n_head=4), Together),
    "mixtral": (lambda: transformers.MixtralConfig(**SIZES, num_local_experts=4), Together),
    "mamba2": (
        lambda: transformers.Mamba2Config(
            **GPT, hidden_size=32, num_hidden_layers=2, state_size=8, num_heads=8, head_dim=8, n_groups=1
        ),
        Apart,
    ),
    "lfm2": (lambda: transformers.Lfm2Config(**SIZES, layer_types=["conv", "full_attention"]), Apart),
    "dynamic": (
        lambda: transformers.LlamaConfig(
            **SIZES, rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10_000.0}
        ),
        Apart,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_sequences_that_join_and_leave_answer_as_alone(name: str) -> None:
    config, kind = CASES[name]
    model = made(config())
    batch = open_batch(model)
    assert type(batch) is kind
    texts = [torch.randint(3, 100, (n,), generator=torch.Generator().manual_seed(n)) for n in (3, 17, 9)]
    with torch.inference_mode():
        rows, due = [], []
        for text in texts:  # each joins a step later than the one before
            if rows:
                _check(batch, rows, due, model)
            row = batch.new()
            first = batch.read(row, text.tolist())
            torch.testing.assert_close(first, _alone(model, text), rtol=1e-4, atol=1e-4)
            batch.join(row)
            rows.append(row)
            due.append(text)
        for gone in (1, 0, 0):
            for _ in range(3):
                _check(batch, rows, due, model)
            batch.leave([rows.pop(gone)])
            due.pop(gone)
        row = batch.new()  # after all have left
        batch.read(row, texts[0].tolist())
        batch.join(row)
        _check(batch, [row], [texts[0]], model)


def _check(batch: Any, rows: list[Any], texts: list[Any], model: Any) -> None:
    """One step; `texts` get its tokens."""
    tokens = [int(text[-1] * 7 % 97) + 3 for text in texts]
    logits = batch.step(tokens)
    for n, token in enumerate(tokens):
        texts[n] = torch.cat([texts[n], torch.tensor([token])])
        assert rows[n].length == len(texts[n])
        torch.testing.assert_close(logits[n], _alone(model, texts[n]), rtol=1e-4, atol=1e-4)


def _alone(model: Any, text: Any) -> Any:
    return model(text[None]).logits[0, -1]


def test_a_model_that_no_cache_suits_is_refused() -> None:
    config = transformers.RobertaConfig(
        vocab_size=100, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        is_decoder=True, max_position_embeddings=66,
    )  # fmt: skip
    with pytest.raises(InvalidInput, match="token by token; came: Roberta"):
        open_batch(made(config))
