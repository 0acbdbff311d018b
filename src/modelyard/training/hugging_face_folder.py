"""Weights of a net of ours as a Hugging Face folder, which fine-tuning takes as a base."""

import json
import shutil
from pathlib import Path
from typing import Any, Final

from modelyard.nets.layers import nn
from modelyard.tasks.texts import TOKENIZER, open_tokenizer

FORMAT: Final = "transformers"
FOLDER: Final = "huggingface"
_TOKENS: Final = ("bos_token", "eos_token", "pad_token")


def write(module: nn.Module, folder: Path) -> dict[str, str]:
    """What `module.hugging_face()` says, with the tokenizer of the package in `folder`; formats."""
    from safetensors.torch import save_file

    own: Any = module
    config, weights = own.hugging_face()
    at = folder / FOLDER
    at.mkdir(exist_ok=True)
    save_file(weights, at / "model.safetensors", metadata={"format": "pt"})
    shutil.copyfile(folder / TOKENIZER, at / TOKENIZER)
    tokenizer = open_tokenizer(at / TOKENIZER)
    ends = {name: config[f"{name}_id"] for name in _TOKENS}
    _write(at / "config.json", config)
    _write(at / "generation_config.json", {f"{name}_id": token for name, token in ends.items()})
    said = {name: tokenizer.id_to_token(token) for name, token in ends.items()}
    said |= {"model_max_length": config["n_positions"], "tokenizer_class": "PreTrainedTokenizerFast"}
    _write(at / "tokenizer_config.json", said)
    return {FORMAT: f"{FOLDER}/config.json"}


def _write(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", "utf-8")
