"""How many sequences of which length an OpenVINO language model has room for."""

from dataclasses import dataclass
from typing import Any, Final

import psutil

from modelyard.engines.generation import GeneratorOptions
from modelyard.errors import InvalidInput

SLOTS: Final = 16
CONTEXT: Final = 8192
_SHARE: Final = 0.5
"""Of the memory that is free, which keys and values may take."""
_SCALES: Final = 8  # bytes beside each vector of 8-bit numbers: its scale and zero


@dataclass(frozen=True, kw_only=True)
class Size:
    """`context` tokens for each of `slots` sequences."""

    slots: int
    context: int


def affordable(config: dict[str, Any], options: GeneratorOptions) -> Size:
    """What the options say, else a power of two up to 16 sequences as far as their keys and values have room.

    `config` is the model's config.json. Raises InvalidInput for a context that is longer than the model's.
    """
    own = _number(config, "max_position_embeddings", "n_positions", "n_ctx") or CONTEXT
    context = options.context or min(own, CONTEXT)
    if context > own:
        raise InvalidInput("the context is longer than the model's", came=context, allowed=own)
    if options.slots is not None:
        return Size(slots=options.slots, context=context)
    room = psutil.virtual_memory().available * _SHARE
    slots = SLOTS
    while slots > 1 and slots * context * token_bytes(config) > room:
        slots //= 2
    return Size(slots=slots, context=context)


def token_bytes(config: dict[str, Any]) -> int:
    """Of one token's keys and values, in all layers."""
    heads = _number(config, "num_attention_heads", "n_head") or 1
    width = _number(config, "head_dim") or (_number(config, "hidden_size", "n_embd") // heads) or 64
    kept = _number(config, "num_key_value_heads") or heads
    layers = _number(config, "num_hidden_layers", "n_layer") or 1
    return 2 * layers * kept * (width + _SCALES)


def _number(config: dict[str, Any], *names: str) -> int:
    inner = config.get("text_config")
    for one in (config, inner if isinstance(inner, dict) else {}):
        for name in names:
            if isinstance(value := one.get(name), int):
                return value
    return 0
