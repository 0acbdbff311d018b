"""A module that answers step by step, for the decoding engine: its graphs, held to what the module says itself, and
golden replies.

Tolerance, float32 on one machine: a logit may differ by 1e-4 of itself and 1e-4 of the largest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from modelyard.engines.decoder.batch import Row, StateBatch
from modelyard.engines.decoder.graphs import Graphs, encode_signature, open_graphs, step_signature
from modelyard.engines.pieces import TokenBytes
from modelyard.errors import ParityMismatch
from modelyard.nets.contract import Decoding
from modelyard.nets.layers import Tensor, nn, torch
from modelyard.packages import replies
from modelyard.tasks.contract import Array, Examples
from modelyard.tasks.texts import TOKENIZER, open_tokenizer
from modelyard.training.torch_export import traced
from modelyard.types.decoder import DecoderFile, State
from modelyard.types.package import Replies

FORMAT: Final = "onnx-decoder"
FOLDER: Final = "decoder"
_FILE: Final = "decoder.json"
_GREEDY: Final = 24  # tokens of a reply
_TOLERANCE: Final = 0.01  # nats of a reply's log probability
_PROMPTS: Final = 6
_PROMPT_TOKENS: Final = 16  # of a text that is gone on from
_RTOL: Final = 1e-4
_ATOL: Final = 1e-4  # of the largest logit
_DTYPES: Final = {"FP32": torch.float32, "INT64": torch.int64}


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A text as tokens: `source` of models that read one, and what begins the answer or is gone on from."""

    text: str
    source: tuple[int, ...]
    tokens: tuple[int, ...]


def write(module: nn.Module, folder: Path, examples: Sequence[Examples]) -> tuple[dict[str, str], Replies]:
    """The graphs of `module.decoding()` below the package's folder, which holds its tokenizer; formats, and the
    replies that the module itself gives to the beginnings of `examples` (tokens in their first input).

    Raises ParityMismatch where a graph does not compute what the module does.
    """
    own: Any = module.eval().cpu()
    decoding: Decoding = own.decoding()
    file = DecoderFile(
        encode=None if decoding.encode is None else "encode.onnx",
        context=decoding.context,
        source=decoding.source,
        vocabulary=decoding.vocabulary,
        start=decoding.start,
        ends=decoding.ends,
        chunk=decoding.chunk,
        state=decoding.state,
    )
    at = folder / FOLDER
    at.mkdir(exist_ok=True)
    with torch.inference_mode():
        _write_graphs(decoding, file, at)
        tokenizer = open_tokenizer(folder / TOKENIZER)
        prompts = _prompts(tokenizer, decoding, examples)
        own_replies = [_greedy(module, prompt, decoding) for prompt in prompts]
        graphs = open_graphs(at / _FILE, threads=1)
        _compare(graphs, module, prompts, [answer for answer, _ in own_replies])
    raw = TokenBytes(tokenizer)
    told = tuple(
        replies.Reply(
            prompt=prompt.text,
            tokens=tuple(raw[token].decode("utf-8", "replace") for token in answer),
            logprobs=tuple(logprobs),
        )
        for prompt, (answer, logprobs) in zip(prompts, own_replies, strict=True)
        if answer
    )
    return {FORMAT: f"{FOLDER}/{_FILE}"}, replies.write(folder, told, _TOLERANCE)


def _write_graphs(decoding: Decoding, file: DecoderFile, at: Path) -> None:
    (at / _FILE).write_bytes(msgspec.json.format(msgspec.json.encode(file)) + b"\n")
    tokens = torch.full((2, min(2, file.chunk)), decoding.start)
    states = tuple(_example(state) for state in file.state)
    traced(decoding.step, (tokens, torch.tensor([1, 2]), *states), step_signature(file), at / file.step)
    if decoding.encode is not None and file.encode is not None:
        source = torch.full((2, 3), decoding.start)
        traced(decoding.encode, (source, torch.tensor([3, 2])), encode_signature(file), at / file.encode)


def _example(state: State) -> Tensor:
    """Of two rows, with three places where they are free."""
    return torch.ones((2, *(3 if size < 0 else size for size in state.shape)), dtype=_DTYPES[state.datatype])


def _prompts(tokenizer: Any, decoding: Decoding, examples: Sequence[Examples]) -> list[Prompt]:
    """Beginnings of examples, tokenized from their texts as serving will."""
    found: dict[str, Prompt] = {}
    for rows in examples:
        name = next(iter(rows.inputs))
        lengths = rows.ragged.get(name)
        for row, ids in enumerate(rows.inputs[name].tolist()):
            used = ids[: None if lengths is None else int(lengths[row])]
            prompt = _prompt(tokenizer, decoding, used)
            if prompt is not None:
                found.setdefault(prompt.text, prompt)
    if len(found) <= _PROMPTS:
        return list(found.values())
    return [list(found.values())[n] for n in np.linspace(0, len(found) - 1, _PROMPTS).astype(int)]


def _prompt(tokenizer: Any, decoding: Decoding, ids: list[int]) -> Prompt | None:
    if decoding.encode is None:
        most = min(_PROMPT_TOKENS, decoding.context // 2)
        text = tokenizer.decode(ids[:most], skip_special_tokens=True)
        return Prompt(text=text, source=(), tokens=tuple(tokenizer.encode(text).ids)) if text else None
    text = tokenizer.decode(ids, skip_special_tokens=True)
    source = tuple(tokenizer.encode(text).ids)
    if not text or len(source) > decoding.source:
        return None
    return Prompt(text=text, source=source, tokens=(decoding.start,))


def logits_of(module: nn.Module, prompt: Prompt, tokens: Sequence[int]) -> Tensor:
    """The module's own, of all places at a time [tokens, vocabulary]."""
    given = [torch.tensor([tokens])]
    if prompt.source:
        given = [torch.tensor([prompt.source]), *given]
    found: Tensor = module(*given)[0]
    return found


def _greedy(module: nn.Module, prompt: Prompt, decoding: Decoding) -> tuple[list[int], list[float]]:
    """The likeliest tokens after a prompt, all computed anew for each, and their log probabilities."""
    answer: list[int] = []
    logprobs: list[float] = []
    while len(answer) < _GREEDY and len(prompt.tokens) + len(answer) < decoding.context:
        last = logits_of(module, prompt, [*prompt.tokens, *answer])[-1].double().log_softmax(0)
        token = int(last.argmax())
        if token in decoding.ends:
            break
        answer.append(token)
        logprobs.append(float(last[token]))
    return answer, logprobs


def _compare(
    graphs: Graphs, module: nn.Module, prompts: Sequence[Prompt], answers: Sequence[Sequence[int]]
) -> None:
    """Let the engine's batch read the prompts in parts, join one after the other, and take the answers' tokens
    together. Raises ParityMismatch."""
    batch = StateBatch(graphs)
    running: list[tuple[Row, Array, list[int]]] = []
    for prompt, answer in zip(prompts, answers, strict=True):
        tokens = [*prompt.tokens, *answer]
        due = logits_of(module, prompt, tokens).numpy()
        row = batch.new(prompt.source)
        logits = _read(batch, row, prompt.tokens)
        _check(logits, due[row.length - 1])
        batch.join(row)
        running.append((row, due, tokens))
        if running := _left(batch, running):
            _step(batch, running)
    while running := _left(batch, running):
        _step(batch, running)


def _read(batch: StateBatch, row: Row, tokens: Sequence[int]) -> Array:
    """In two parts, where there are two tokens, none larger than the graph takes."""
    part = max(1, min(len(tokens) // 2, batch.chunk or len(tokens)))
    while len(tokens) - row.length > part:
        batch.read(row, tokens[row.length : row.length + part])
    return batch.read(row, tokens[row.length :])


def _left(
    batch: StateBatch, running: list[tuple[Row, Array, list[int]]]
) -> list[tuple[Row, Array, list[int]]]:
    """Those that have a token left to take; the others leave."""
    batch.leave([row for row, _, tokens in running if row.length == len(tokens)])
    return [one for one in running if one[0].length < len(one[2])]


def _step(batch: StateBatch, running: Sequence[tuple[Row, Array, list[int]]]) -> None:
    logits = batch.step([tokens[row.length] for row, _, tokens in running])
    for found, (row, due, _) in zip(logits, running, strict=True):
        _check(found, due[row.length - 1])


def _check(found: Array, due: Array) -> None:
    scale = float(np.abs(due).max())
    error = np.abs(found - due)
    if not (error <= _ATOL * scale + _RTOL * np.abs(due)).all():
        raise ParityMismatch(
            "the exported graphs do not answer as the trained net does",
            came=f"a logit that differs by {float(error.max()):.3g}",
            allowed=f"{_ATOL:g} of {scale:.3g}, the largest",
        )
