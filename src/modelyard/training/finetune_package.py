"""A fine-tuned model as a package: the base with an adapter beside it, or merged weights, that answer alike.

Tolerance of two forms of one model, float32 on one machine: a logit may differ by 1e-4 of itself and 1e-4 of the
largest; where the two likeliest tokens lie closer together than twice that, either goes on greedily.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from modelyard.errors import ParityMismatch
from modelyard.files import link_or_copy
from modelyard.packages import replies
from modelyard.training.finetune_base import ADAPTER, FOLDER, TEMPLATE, Base, device, libraries, quiet
from modelyard.training.finetune_examples import Example
from modelyard.types.package import MANIFEST_NAME, Replies

_GREEDY: Final = 24  # tokens of a reply
_TOLERANCE: Final = 0.02  # nats of a reply's log probability, for engines that compute in float32
_PROMPTS: Final = 4
_PROMPT_TOKENS: Final = 16
_PROBED: Final = 64  # tokens of a document whose logits are compared
_RTOL: Final = 1e-4
_ATOL: Final = 1e-4  # of the largest logit
_WEIGHTS: Final = (".safetensors", ".safetensors.index.json")
_SAVED: Final = ("config.json", "generation_config.json")


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A prompt's greedy continuation, as token numbers, and the logits [tokens, vocabulary] that drew it."""

    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    logits: Tensor


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """What a model answers: logits of documents [tokens, vocabulary], and greedy replies."""

    logits: tuple[Tensor, ...]
    replies: tuple[Reply, ...]


@dataclass(frozen=True, kw_only=True)
class Packaged:
    """`worst` is the largest difference of a logit between two forms, as a share of the largest logit."""

    replies: Replies
    formats: dict[str, str]
    worst: float


def write_base(base: Base, source: Path, out: Path, weights: bool) -> None:
    """All of the base's package that a model trained on it needs too: its licence, tokenizer and, with `weights`,
    its configuration and weights. Files are linked where they stay as they are."""
    place = Path(base.manifest.formats["transformers"]).parent
    keep = weights and not base.adapted
    for name in sorted(base.manifest.files):
        path = Path(name)
        if name in (MANIFEST_NAME, replies.FILE, TEMPLATE) or path.parts[0] == ADAPTER:
            continue
        inside = path.is_relative_to(place)
        if inside and not keep and (name.endswith(_WEIGHTS) or path.name in _SAVED):
            continue
        target = out / FOLDER / path.relative_to(place) if inside else out / path
        target.parent.mkdir(parents=True, exist_ok=True)
        link_or_copy(source / path, target)
    if weights and base.adapted:
        _save(base.model, out)


def write_trained(base: Base, out: Path, merge: bool, probes: Sequence[Example]) -> Packaged:
    """Write `base.model`, which was trained, and hold every form of it to its own answers. It is used up.

    Raises ParityMismatch.
    """
    model, base.model = base.model.eval(), None
    own = behaviour(model, base, probes)
    worst = 0.0
    if _is_lora(model):
        if not merge:
            _write_adapter(model, out / ADAPTER)
        model = model.merge_and_unload(safe_merge=True)
        worst = compare(own, behaviour(model, base, probes), "with LoRA's matrices merged")
        if merge:
            _save(model, out)
    else:
        _save(model, out)
    del model
    read = _reopened(out)
    worst = max(worst, compare(own, behaviour(read, base, probes), "as it was written"))
    return Packaged(
        replies=_write_replies(out, base, own), formats={"transformers": f"{FOLDER}/config.json"}, worst=worst
    )


def behaviour(model: Any, base: Base, probes: Sequence[Example]) -> Behaviour:
    """What the model answers to the first tokens of documents."""
    with torch.inference_mode():
        logits = [
            model(input_ids=_row(probe.ids[:_PROBED], model), use_cache=False).logits[0].cpu()
            for probe in probes
        ]
        replies = [_reply(model, base, probe) for probe in probes[:_PROMPTS]]
    return Behaviour(logits=tuple(logits), replies=tuple(replies))


def compare(own: Behaviour, other: Behaviour, what: str) -> float:
    """The largest difference of a logit, as a share of the largest logit. Raises ParityMismatch beyond the
    tolerance."""
    worst = 0.0
    for expected, found in zip(own.logits, other.logits, strict=True):
        scale = float(expected.abs().max())
        error = (found - expected).abs()
        if not bool((error <= _ATOL * scale + _RTOL * expected.abs()).all()):
            raise ParityMismatch(
                f"the fine-tuned model {what} does not answer as it did in training",
                came=f"a logit that differs by {float(error.max()):.3g}",
                allowed=f"{_ATOL:g} of {scale:.3g}, the largest",
            )
        worst = max(worst, float(error.max()) / scale)
    for expected_reply, found_reply in zip(own.replies, other.replies, strict=True):
        _compare_replies(expected_reply, found_reply, what)
    return worst


def _compare_replies(expected: Reply, found: Reply, what: str) -> None:
    """The same tokens, up to where two were equally likely: from there on the texts may part."""
    if expected.answer == found.answer:
        return
    at = next(
        (n for n, pair in enumerate(zip(expected.answer, found.answer, strict=False)) if pair[0] != pair[1]),
        min(len(expected.answer), len(found.answer)) - 1,
    )
    best = expected.logits[at].topk(2).values
    if float(best[0] - best[1]) > 2 * _ATOL * float(expected.logits[at].abs().max()):
        raise ParityMismatch(
            f"the fine-tuned model {what} goes on in another way than it did in training",
            came=f"token {found.answer[at] if at < len(found.answer) else 'none'} at place {at}",
            allowed=expected.answer[at],
        )


def _reply(model: Any, base: Base, probe: Example) -> Reply:
    """Greedy, token by token: what `generate` gives, without whatever else a generation_config.json asks for."""
    prompt = _prompt(base, probe)
    ids = _row(np.asarray(prompt), model)
    ends = _ends(model, base)
    answer: list[int] = []
    drawn: list[Tensor] = []
    past = None
    while len(answer) < _GREEDY and not (answer and answer[-1] in ends):
        out = model(input_ids=ids, past_key_values=past, use_cache=True)
        past, last = out.past_key_values, out.logits[0, -1].cpu()
        drawn.append(last)
        answer.append(int(last.argmax()))
        ids = _row(np.asarray(answer[-1:]), model)
    return Reply(prompt=tuple(prompt), answer=tuple(answer), logits=torch.stack(drawn))


def _prompt(base: Base, probe: Example) -> list[int]:
    """A document's beginning as serving will tokenize it from its text."""
    text = base.tokenizer.decode(probe.ids[:_PROMPT_TOKENS], skip_special_tokens=True)
    return [int(token) for token in base.tokenizer(text)["input_ids"]] or [int(probe.ids[0])]


def _ends(model: Any, base: Base) -> set[int]:
    """Tokens after which there is no more to come."""
    given = getattr(model.generation_config, "eos_token_id", None)
    listed = given if isinstance(given, list) else [given]
    return {int(token) for token in [*listed, base.tokenizer.eos_token_id] if token is not None}


def _write_replies(out: Path, base: Base, own: Behaviour) -> Replies:
    """Those that begin with whole characters: of others engines tell nothing yet at the first token."""
    told = [_told(base.tokenizer, reply) for reply in own.replies]
    whole = tuple(reply for reply in told if reply.tokens[0] and "\ufffd" not in reply.tokens[0])
    return replies.write(out, whole, _TOLERANCE)


def _told(tokenizer: Any, reply: Reply) -> replies.Reply:
    """As texts: each token's is what it adds to the text before it, since some tokenizers drop a first space."""
    texts = [
        tokenizer.decode([*reply.prompt, *reply.answer[:n]], skip_special_tokens=True)
        for n in range(len(reply.answer) + 1)
    ]
    chosen = reply.logits.double().log_softmax(dim=1)
    return replies.Reply(
        prompt=texts[0],
        tokens=tuple(after[len(before) :] for before, after in pairwise(texts)),
        logprobs=tuple(float(chosen[n, token]) for n, token in enumerate(reply.answer)),
    )


def _save(model: Any, out: Path) -> None:
    """Configuration and weights. Beside and then moved: files of the base that lie there are links to its blobs."""
    beside = out / ".saving"
    model.save_pretrained(beside)
    (out / FOLDER).mkdir(exist_ok=True)
    for path in beside.iterdir():
        path.replace(out / FOLDER / path.name)
    beside.rmdir()


def _write_adapter(model: Any, folder: Path) -> None:
    """adapter_model.safetensors and adapter_config.json, which names no place on this machine."""
    model.save_pretrained(folder, safe_serialization=True, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text("utf-8"))
    config["base_model_name_or_path"] = None
    if isinstance(config["target_modules"], list):  # of a set: in another order in each process
        config["target_modules"].sort()
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", "utf-8")


def _reopened(out: Path) -> Any:
    """The model as an engine opens it from the package."""
    _, transformers, peft = libraries()
    model = transformers.AutoModelForCausalLM.from_pretrained(
        out / FOLDER,
        dtype=torch.float32,
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
    )
    if (out / ADAPTER).is_dir():
        with quiet():
            model = peft.PeftModel.from_pretrained(model, out / ADAPTER)
    return model.to(device()).eval()


def _is_lora(model: Any) -> bool:
    _, _, peft = libraries()
    return isinstance(model, peft.PeftModel)


def _row(ids: Any, model: Any) -> Tensor:
    return torch.as_tensor(np.asarray(ids, np.int64)[None], device=model.device)
