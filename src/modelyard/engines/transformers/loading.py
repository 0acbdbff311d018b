"""A Hugging Face folder into a model in memory: safetensors alone, no code of the model's, nothing fetched."""

import logging
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

from modelyard.engines.generation import GeneratorOptions
from modelyard.errors import InvalidInput, MissingExtra

ADAPTER: Final = "adapter"
_MOST_CONTEXT: Final = 8192
_MOST_SLOTS: Final = 8
_MEMORY_SHARE: Final = 0.5
"""Of what is free once the model is loaded, for keys and values."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Opened:
    """`tokenizer` is of the tokenizers library; `ends` are the tokens at which the model's answers end."""

    model: Any
    tokenizer: Any
    first: int | None
    ends: frozenset[int]
    vocabulary: int
    context: int
    slots: int


def open_folder(folder: Path, options: GeneratorOptions) -> Opened:
    """Open the model in `folder`, with the adapter in the folder beside it. Raises InvalidInput, MissingExtra."""
    try:
        import torch
        import transformers
    except ImportError as error:
        raise MissingExtra(str(error.name), "transformers") from None
    if not (folder / "tokenizer.json").is_file():
        raise InvalidInput("the model has no tokenizer.json")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    try:
        # The file as it is: classes of single models (AutoTokenizer's) build another of its words than it says.
        tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
        model = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, trust_remote_code=False, use_safetensors=True
        )
    except Exception as error:  # whatever a configuration makes of the library; its texts hold paths
        _log.warning("transformers: %r", error)
        raise InvalidInput(
            "this is no causal language model that transformers opens", came=type(error).__name__
        ) from error
    model = _adapted(model, folder.parent / ADAPTER).eval()
    model = model.to("cuda" if torch.cuda.is_available() else "cpu")
    context = _context(model.config, options)
    return Opened(
        model=model,
        tokenizer=_whole(tokenizer.backend_tokenizer),
        first=tokenizer.bos_token_id,
        ends=_ends(model, tokenizer),
        vocabulary=model.get_input_embeddings().num_embeddings,
        context=context,
        slots=options.slots or _affordable(model.config, context),
    )


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _adapted(model: Any, adapter: Path) -> Any:
    """With the adapter added into the weights, where there is one: a step takes no longer then."""
    if not adapter.is_dir():
        return model
    try:
        import peft
    except ImportError:
        raise MissingExtra("peft", "finetune") from None
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
            return peft.PeftModel.from_pretrained(model, adapter).merge_and_unload(safe_merge=True)
    except Exception as error:  # peft's, safetensors' and torch's
        _log.warning("transformers: %r", error)
        raise InvalidInput("the adapter does not fit its model", came=type(error).__name__) from error


def _whole(tokenizer: Any) -> Any:
    """One that neither cuts texts nor fills them up."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _ends(model: Any, tokenizer: Any) -> frozenset[int]:
    said = model.generation_config.eos_token_id
    if said is None:
        said = tokenizer.eos_token_id
    if said is None:
        return frozenset()
    return frozenset([said] if isinstance(said, int) else said)


def _context(config: Any, options: GeneratorOptions) -> int:
    text = config.get_text_config(decoder=True)
    names = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length")
    own = next((n for name in names if isinstance(n := getattr(text, name, None), int) and n > 0), None)
    if options.context is not None and own is not None and options.context > own:
        raise InvalidInput("the model's context is shorter", came=options.context, allowed=f"1 to {own}")
    return options.context or min(own or _MOST_CONTEXT, _MOST_CONTEXT)


def _affordable(config: Any, context: int) -> int:
    """Sequences whose keys and values fit beside the model."""
    text = config.get_text_config(decoder=True)
    heads = getattr(text, "num_key_value_heads", None) or getattr(text, "num_attention_heads", 1)
    size = getattr(text, "head_dim", None) or text.hidden_size // max(
        getattr(text, "num_attention_heads", 1), 1
    )
    # Keys and values, float32, twice: a step copies what it goes on from.
    each = 2 * 2 * 4 * text.num_hidden_layers * heads * size * context
    return max(1, min(_MOST_SLOTS, int(psutil.virtual_memory().available * _MEMORY_SHARE / each)))
