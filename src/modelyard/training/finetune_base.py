"""The base of a fine-tuning: a package that holds a Hugging Face folder of a causal language model."""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from modelyard.errors import InvalidInput, MissingExtra, NotAllowedFormat
from modelyard.training.finetune_recipe import TASK
from modelyard.types.chat import DEFAULT_TEMPLATE
from modelyard.types.package import Manifest

FORMAT: Final = "transformers"
FOLDER: Final = "huggingface"
ADAPTER: Final = "adapter"
TEMPLATE: Final = "chat_template.jinja"


@dataclass(kw_only=True)
class Base:
    """An opened base.

    model      transformers' causal model, float32, on the device that training uses; its class is `architecture`
    context    most tokens that it takes at a time
    template   the chat template that its conversations are rendered by; `own_template` whether it brought one
    adapted    whether the package's own adapter was added into the weights, which the folder's are not then
    """

    model: Any
    architecture: str
    tokenizer: Any
    context: int
    template: str
    own_template: bool
    adapted: bool
    manifest: Manifest


def check_base(manifest: Manifest, name: str) -> None:
    """Raises InvalidInput where a version is no base, NotAllowedFormat where it has no weights to be trained on."""
    if manifest.task != TASK:
        raise InvalidInput(f"the base {name!r} is of another task", came=manifest.task, allowed=TASK)
    if FORMAT in manifest.formats:
        return
    if "gguf" in manifest.formats:
        raise NotAllowedFormat(
            f"the base {name!r} is a GGUF file, whose quantized weights cannot be trained on; make a Hugging Face"
            " folder of it (examples/gguf_folder.py) and import that",
            came="gguf",
            allowed=FORMAT,
        )
    raise NotAllowedFormat(
        f"the base {name!r} has no weights to be trained on; import the model's Hugging Face folder",
        came=list(manifest.formats) or "none",
        allowed=FORMAT,
    )


def open_base(folder: Path, manifest: Manifest, name: str) -> Base:
    """Open the package in `folder`. No code of the model's runs, and nothing is fetched.

    Raises InvalidInput, NotAllowedFormat, MissingExtra.
    """
    check_base(manifest, name)
    place = (folder / manifest.formats[FORMAT]).parent
    tokenizer = _tokenizer(place, name)
    adapter = place.parent / ADAPTER
    model = load(place, adapter if adapter.is_dir() else None, name)
    template = _template(folder, manifest, tokenizer)
    return Base(
        model=model.to(device()),
        architecture=type(model).__name__,
        tokenizer=tokenizer,
        context=_context(model.config, manifest),
        template=template or DEFAULT_TEMPLATE,
        own_template=template is not None,
        adapted=adapter.is_dir(),
        manifest=manifest,
    )


def load(place: Path, adapter: Path | None, name: str) -> Any:
    """A causal model from a Hugging Face folder, float32 and for evaluation, an adapter added into its weights."""
    torch, transformers, peft = libraries()
    try:
        model = transformers.AutoModelForCausalLM.from_pretrained(
            place, dtype=torch.float32, local_files_only=True, trust_remote_code=False, use_safetensors=True
        )
        if adapter is not None:
            with quiet():
                model = peft.PeftModel.from_pretrained(model, adapter).merge_and_unload(safe_merge=True)
    except Exception as error:  # of any of three libraries, and of what lies in the folder
        raise InvalidInput(
            f"the base {name!r} is no causal language model that transformers opens",
            came=type(error).__name__,
        ) from error
    return model.eval()


def libraries() -> tuple[Any, Any, Any]:
    """torch, transformers and peft. Raises MissingExtra."""
    try:
        import peft
        import torch
        import transformers
    except ImportError as error:
        raise MissingExtra(str(error.name), "finetune") from error
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return torch, transformers, peft


@contextmanager
def quiet() -> Iterator[None]:
    """peft 0.21 asks transformers 5 by a name that is to go."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        yield


def device() -> str:
    """Where training runs: the first GPU that torch sees, else the CPU."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def check_length(base: Base, length: int) -> None:
    """Raises InvalidInput for sequences that the base cannot take."""
    if length > base.context:
        raise InvalidInput(
            "recipe.training.sequence_length is more than the base takes", came=length, allowed=base.context
        )


def linear_layers(model: Any) -> list[str]:
    """The last parts of the names of the layers that LoRA can stand beside."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    kinds = (nn.Linear, Conv1D)
    return sorted({name.rsplit(".", 1)[-1] for name, m in model.named_modules() if isinstance(m, kinds)})


def is_transposed(model: Any) -> bool:
    """Whether the layers keep their weights as [in, out], as GPT-2's do."""
    from transformers.pytorch_utils import Conv1D

    return any(isinstance(module, Conv1D) for module in model.modules())


def check_targets(model: Any, names: Iterable[str] | None) -> None:
    """Raises InvalidInput for names of layers that the model does not have."""
    known = linear_layers(model)
    for name in names or ():
        if name not in known:
            raise InvalidInput("recipe.training.target_modules", came=name, allowed=known)


def _tokenizer(place: Path, name: str) -> Any:
    _, transformers, _ = libraries()
    try:
        # As the engine reads it: classes of single models (AutoTokenizer's) build another of its words.
        tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(place, local_files_only=True)
    except Exception as error:  # of the tokenizers library without a class of its own
        raise InvalidInput(
            f"the base {name!r} has no tokenizer that transformers opens", came=type(error).__name__
        ) from error
    if not tokenizer.is_fast:
        raise InvalidInput(f"the base {name!r} has no tokenizer.json", came=type(tokenizer).__name__)
    return tokenizer


def _template(folder: Path, manifest: Manifest, tokenizer: Any) -> str | None:
    """What the package says, else what the tokenizer brings."""
    file = manifest.preprocessing.get("chat_template")
    if isinstance(file, str):
        return (folder / file).read_text("utf-8")
    return tokenizer.chat_template if isinstance(tokenizer.chat_template, str) else None


def _context(config: Any, manifest: Manifest) -> int:
    """The positions that the model was made for; without a word of it, what the package says."""
    own = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
    return int(own or manifest.preprocessing.get("context") or 2048)
