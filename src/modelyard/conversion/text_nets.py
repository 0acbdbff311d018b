"""Hugging Face encoders as one module each: token tensors in, the task's own outputs out.

Sources: transformers, `PreTrainedModel`; sentence-transformers, `models.Pooling`, `models.Dense` and
`models.Normalize` (their configuration files: 1_Pooling/config.json, 2_Dense/config.json).
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from modelyard.errors import InvalidInput

MODES: Final = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""As sentence-transformers wrote them before its version 6, and names them since; several are put side by side in
this order."""
_CLASSES: Final = {"Transformer", "Pooling", "Dense", "Normalize"}
_ACTIVATIONS: Final = {"Tanh": "tanh", "Identity": "", "ReLU": "relu", "GELU": "gelu", "Sigmoid": "sigmoid"}


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """What follows a network whose vectors are of whole texts.

    modes      of pooling; several are put side by side
    dense      folders of linear layers, in order, with the name of their activation
    normalize  whether the vector has length 1
    most       tokens of the longest text, or None
    notes      what is not done as its maker does it
    """

    modes: tuple[str, ...] = ("mean",)
    dense: tuple[tuple[Path, str], ...] = ()
    normalize: bool = False
    most: int | None = None
    notes: tuple[str, ...] = ()


def sentence_of(folder: Path) -> Sentence | None:
    """What a folder of sentence-transformers says, or None for another one. Raises InvalidInput for modules that
    are not known here."""
    listed = _read(folder / "modules.json")
    if not isinstance(listed, list):
        return None
    modes: tuple[str, ...] = ("mean",)
    dense: list[tuple[Path, str]] = []
    normalize = False
    for module in listed:
        kind, place = str(module.get("type", "")).rpartition(".")[2], folder / _inside(module.get("path", ""))
        if kind not in _CLASSES:
            raise InvalidInput(
                "modules.json names a module that is not known", came=kind, allowed=sorted(_CLASSES)
            )
        if kind == "Pooling":
            modes = _modes(_read(place / "config.json"))
        elif kind == "Dense":
            dense.append((place, _activation(_read(place / "config.json"))))
        normalize = normalize or kind == "Normalize"
    said = _read(folder / "sentence_bert_config.json")
    most = said.get("max_seq_length") if isinstance(said, dict) else None
    return Sentence(
        modes=modes,
        dense=tuple(dense),
        normalize=normalize,
        most=most if _whole(most) else None,
        notes=_prompts(_read(folder / "config_sentence_transformers.json")),
    )


def _prompts(config: Any) -> tuple[str, ...]:
    """What to say of prompts: callers send them themselves."""
    prompts = config.get("prompts") if isinstance(config, dict) else None
    named = {str(k): str(v) for k, v in prompts.items() if v} if isinstance(prompts, dict) else {}
    if not named:
        return ()
    shown = ", ".join(f"{name}: {text!r}" for name, text in list(named.items())[:5])
    return (f"its prompts are not put before texts by themselves, send them along ({shown[:200]})",)


def _inside(path: Any) -> str:
    parts = str(path).split("/")
    if ".." in parts or str(path).startswith("/"):
        raise InvalidInput("modules.json leads out of its folder", came=str(path)[:100])
    return str(path)


def _read(path: Path) -> Any:
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_bytes()[: 1 << 20])
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{path.name} is no JSON", came=type(error).__name__) from error


def _modes(config: Any) -> tuple[str, ...]:
    given = config if isinstance(config, dict) else {}
    named = given.get("pooling_mode", [mode for key, mode in MODES.items() if given.get(key)])
    chosen = tuple(map(str, named if isinstance(named, list) else [named]))
    if not chosen or not set(chosen) <= set(MODES.values()):
        raise InvalidInput(
            "the pooling is not known", came=list(chosen) or config, allowed=sorted(MODES.values())
        )
    return chosen


def _activation(config: Any) -> str:
    named = str((config or {}).get("activation_function", "")).rpartition(".")[2]
    if named not in _ACTIVATIONS:
        raise InvalidInput(
            "a dense layer's activation is not known", came=named, allowed=sorted(_ACTIVATIONS)
        )
    return _ACTIVATIONS[named]


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def embedder(network: Any, names: list[str], sentence: Sentence) -> Any:
    """A torch.nn.Module: tensors in the order of `names` to FP32 [rows, width]."""
    import torch

    class Embedder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network
            self.dense = torch.nn.ModuleList(_linear(folder) for folder, _ in sentence.dense)

        def forward(self, *tensors: Any) -> Any:
            given = dict(zip(names, tensors, strict=True))
            tokens = self.network(**given, return_dict=True)[0]
            mask = given.get("attention_mask")
            mask = torch.ones_like(given["input_ids"]) if mask is None else mask
            vector = torch.cat([_POOLS[mode](tokens, mask) for mode in sentence.modes], dim=1)
            for layer, (_, activation) in zip(self.dense, sentence.dense, strict=True):
                vector = layer(vector)
                vector = getattr(torch.nn.functional, activation)(vector) if activation else vector
            return torch.nn.functional.normalize(vector, p=2.0, dim=1) if sentence.normalize else vector

    return Embedder().eval()


def classifier(network: Any, names: list[str], several: bool) -> Any:
    """The same to probabilities and logits, FP32 [rows, classes]. `several`: a text may have several classes."""
    import torch

    class Classifier(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, *tensors: Any) -> Any:
            logits = self.network(**dict(zip(names, tensors, strict=True)), return_dict=True).logits
            return torch.sigmoid(logits) if several else torch.softmax(logits, dim=-1), logits

    return Classifier().eval()


def _linear(folder: Path) -> Any:
    """A dense layer's weights. Raises InvalidInput where they are no safetensors."""
    import torch
    from safetensors.torch import load_file

    try:
        weights = load_file(folder / "model.safetensors")
        weight, bias = weights["linear.weight"], weights.get("linear.bias")
    except (OSError, KeyError, ValueError) as error:
        raise InvalidInput(
            f"{folder.name} has no weights in safetensors", came=type(error).__name__
        ) from error
    layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    layer.load_state_dict({k.removeprefix("linear."): v.float() for k, v in weights.items()})
    return layer


def _spread(mask: Any, tokens: Any) -> Any:
    """[rows, tokens] as [rows, tokens, 1] of the vectors' dtype."""
    return mask.unsqueeze(-1).to(tokens.dtype)


def _mean(tokens: Any, mask: Any) -> Any:
    spread = _spread(mask, tokens)
    return (tokens * spread).sum(1) / spread.sum(1).clamp(min=1e-9)


def _mean_sqrt_len(tokens: Any, mask: Any) -> Any:
    spread = _spread(mask, tokens)
    return (tokens * spread).sum(1) / spread.sum(1).clamp(min=1e-9).sqrt()


def _weighted_mean(tokens: Any, mask: Any) -> Any:
    """Each token by its place, counted from the first that is no padding."""
    import torch

    places = torch.arange(1, tokens.shape[1] + 1, device=tokens.device, dtype=tokens.dtype).reshape(1, -1, 1)
    places = places - mask.argmax(dim=1).reshape(-1, 1, 1).to(tokens.dtype)
    spread = _spread(mask, tokens) * places
    return (tokens * spread).sum(1) / spread.sum(1).clamp(min=1e-9)


def _first(tokens: Any, mask: Any) -> Any:
    """Of the first token that is no padding."""
    return _gathered(tokens, mask.argmax(dim=1))


def _last(tokens: Any, mask: Any) -> Any:
    """Of the last token that is no padding, whichever side is padded."""
    import torch

    places = torch.arange(mask.shape[1], device=mask.device).unsqueeze(0)
    return _gathered(tokens, (places * mask).argmax(dim=1))


def _gathered(tokens: Any, places: Any) -> Any:
    index = places.reshape(-1, 1, 1).expand(-1, 1, tokens.shape[2])
    return tokens.gather(1, index).squeeze(1)


def _max(tokens: Any, mask: Any) -> Any:
    import torch

    lowest = torch.finfo(tokens.dtype).min
    return tokens.masked_fill(mask.unsqueeze(-1) == 0, lowest).amax(dim=1)


_POOLS: Final[dict[str, Any]] = {
    "cls": _first,
    "max": _max,
    "mean": _mean,
    "mean_sqrt_len_tokens": _mean_sqrt_len,
    "weightedmean": _weighted_mean,
    "lasttoken": _last,
}
