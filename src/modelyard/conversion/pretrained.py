"""A folder as `save_pretrained` writes it, opened without its own code and without gaps.

Source: transformers, "Auto Classes", `PreTrainedModel.from_pretrained`. `trust_remote_code` is off, weights are
safetensors alone, and nothing is fetched.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelyard.conversion.reasons import reason
from modelyard.errors import InvalidInput, MissingExtra


@dataclass(frozen=True, kw_only=True)
class Folder:
    """A folder as `save_pretrained` writes it. `config` is None for weights alone."""

    path: Path
    config: Any


def load(path: Path) -> Folder:
    """Of a Hugging Face folder, or of weights alone. Raises InvalidInput, MissingExtra."""
    folder = path if path.is_dir() else path.parent
    if not (folder / "config.json").is_file() or (path.is_file() and path.name != "config.json"):
        return Folder(path=path, config=None)
    transformers = library()
    try:
        config = transformers.AutoConfig.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True
        )
    except Exception as error:  # whatever the file made it stumble over
        raise InvalidInput(
            f"config.json describes no network that transformers knows: {reason(error)}"
        ) from error
    return Folder(path=folder, config=config)


def library() -> Any:
    """transformers, with what it needs here. Raises MissingExtra."""
    try:
        import tokenizers  # noqa: F401
        import torch  # noqa: F401
        import transformers
    except ImportError as error:
        raise MissingExtra("transformers", "transformers") from error
    return transformers


def network_of(folder: Folder, name: str, *, classifies: bool) -> Any:
    """The network in float32, of an architecture's name.

    Raises InvalidInput where weights are missing: they would be random numbers.
    """
    import torch
    import transformers

    auto = transformers.AutoModelForSequenceClassification if classifies else transformers.AutoModel
    if name.endswith("EncoderModel"):
        auto = getattr(transformers, name, auto)
    try:
        network, found = auto.from_pretrained(
            folder.path,
            config=folder.config,
            trust_remote_code=False,
            use_safetensors=True,
            local_files_only=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except Exception as error:  # whatever the files made it stumble over
        raise InvalidInput(f"the weights cannot be loaded: {reason(error)}") from error
    wrong = [*found["missing_keys"], *(str(m[0]) for m in found["mismatched_keys"])]
    missing = sorted(k for k in wrong if classifies or not k.startswith("pooler."))
    if missing:
        raise InvalidInput(
            "the folder has not all weights of the network", came=f"without {', '.join(missing[:5])}"
        )
    return network


def tokenizer_of(folder: Path) -> Any:
    """Raises InvalidInput for a folder without a fast tokenizer."""
    import transformers

    if not (folder / "tokenizer.json").is_file():
        raise InvalidInput(
            "the folder has no tokenizer.json",
            allowed="AutoTokenizer.from_pretrained(...).save_pretrained(folder)",
        )
    try:
        return transformers.AutoTokenizer.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True
        )
    except Exception as error:  # whatever the files made it stumble over
        raise InvalidInput(f"the tokenizer cannot be loaded: {reason(error)}") from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the progress bar and the advice that loading prints."""
    from transformers.utils import logging

    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()
