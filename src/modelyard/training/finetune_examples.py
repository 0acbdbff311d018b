"""Rows of a data set as tokens to learn from, and which of them count.

A conversation is rendered whole by the model's chat template and tokenized whole, as serving does with what came
before an answer; an answer's tokens are those that begin within the text that the assistant added.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from modelyard.errors import InvalidInput
from modelyard.tasks.text_generation import Form

Ids = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
ROLES: Final = ("system", "developer", "user", "assistant", "tool", "function")
_MESSAGE_KEYS: Final = ("role", "content", "name", "tool_calls", "tool_call_id", "weight", "refusal")


@dataclass(frozen=True, kw_only=True)
class Example:
    """One document: `ids` int64 [tokens], and `counted` bool [tokens], whether the token's own loss counts. The
    first token's never does: nothing predicts it."""

    ids: Ids
    counted: Mask

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How rows become examples.

    tokenizer   of transformers, a fast one (offsets are needed)
    template    the chat template, Jinja
    length      most tokens of an example: longer texts are split, longer conversations and completions cut
    """

    tokenizer: Any
    form: Form
    names: Sequence[str]
    loss_on: Literal["all", "answers"]
    template: str
    length: int


@dataclass(kw_only=True)
class Read:
    """What was read: the examples; how many rows were cut, and how many of them had nothing left that counts."""

    examples: list[Example] = field(default_factory=list)
    cut: int = 0
    lost: int = 0


def read(columns: Mapping[str, Any], how: Reading, where: str) -> Read:
    """Every row of `columns` (name -> values), which are those of the split `where`.

    Raises InvalidInput naming the row that has no text, or is no conversation.
    """
    found = Read()
    rows = zip(*(columns[name].tolist() for name in how.names), strict=True)
    for number, row in enumerate(rows, 1):
        try:
            whole = _example(row, how)
        except InvalidInput as error:
            raise InvalidInput(
                f"row {number} of the split {where!r}: {error.what}", came=error.came, allowed=error.allowed
            ) from None
        _add(found, whole, how)
    return found


def _add(found: Read, whole: Example, how: Reading) -> None:
    if how.form == "text":
        found.examples += [part for part in _windows(whole, how) if part.counted.any()]
        return
    part = Example(ids=whole.ids[: how.length], counted=whole.counted[: how.length])
    found.cut += len(whole) > how.length
    if part.counted.any():
        found.examples.append(part)
    else:
        found.lost += 1


def _windows(whole: Example, how: Reading) -> Iterator[Example]:
    """Parts of at most `length` tokens. Each begins as the text does (models are lost without their first token),
    goes on with the last token of the part before, and counts from there, so every token is predicted once."""
    first = how.tokenizer.bos_token_id
    head = int(first is not None and len(whole) > 0 and whole.ids[0] == first)
    room = how.length - head
    for start in range(head, max(head + 1, len(whole) - 1), room - 1):
        counted = whole.counted[start : start + room].copy()
        counted[:1] &= start == head
        yield Example(
            ids=np.concatenate([whole.ids[:head], whole.ids[start : start + room]]),
            counted=np.concatenate([whole.counted[:head], counted]),
        )


def _example(row: Sequence[Any], how: Reading) -> Example:
    if how.form == "chat":
        return _chat(row[0], how)
    if how.form == "completion":
        return _completion(_text(row[0], how.names[0]), _text(row[1], how.names[1]), how)
    ids = [*how.tokenizer(_text(row[0], how.names[0]))["input_ids"], *_end(how.tokenizer)]
    return _made(ids, np.ones(len(ids), bool))


def _completion(prompt: str, completion: str, how: Reading) -> Example:
    """The prompt as serving tokenizes it, the completion after it, and the end token."""
    before = how.tokenizer(prompt)["input_ids"]
    after = [*how.tokenizer(completion, add_special_tokens=False)["input_ids"], *_end(how.tokenizer)]
    counted = np.ones(len(before) + len(after), bool)
    if how.loss_on == "answers":
        counted[: len(before)] = False
    return _made([*before, *after], counted)


def _chat(value: Any, how: Reading) -> Example:
    messages = _messages(value)
    text = render(how.tokenizer, how.template, messages)
    tokens = how.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    if how.loss_on == "all":
        return _made(tokens["input_ids"], np.ones(len(tokens["input_ids"]), bool))
    starts = np.array([start for start, _ in tokens["offset_mapping"]], np.int64)
    counted = np.zeros(len(starts), bool)
    for begin, end in _answers(messages, text, how):
        counted |= (starts >= begin) & (starts < end)
    return _made(tokens["input_ids"], counted)


def _answers(messages: Sequence[dict[str, Any]], text: str, how: Reading) -> Iterator[tuple[int, int]]:
    """Where in the rendered text the assistant's own words stand: from what serving would have asked with on."""
    for number, message in enumerate(messages):
        if message["role"] != "assistant" or message.get("weight") == 0:
            continue
        asked = render(how.tokenizer, how.template, messages[:number], ask=True)
        said = render(how.tokenizer, how.template, messages[: number + 1])
        if not said.startswith(asked) or not text.startswith(said):
            raise InvalidInput(
                "the model's chat template renders a conversation in another way than its beginning, so it cannot"
                " be told which tokens are answers",
                allowed="loss_on: all",
            )
        # White space after the end token is the template's, not the assistant's.
        own = said.rstrip()
        ended = len(own) > len(asked) and own.endswith(tuple(how.tokenizer.all_special_tokens))
        yield len(asked), len(own) if ended else len(said)


def render(tokenizer: Any, template: str, messages: Sequence[Mapping[str, Any]], ask: bool = False) -> str:
    """A conversation as one text; with `ask`, up to where the assistant's answer begins. Raises InvalidInput."""
    from jinja2 import TemplateError

    try:
        rendered: str = tokenizer.apply_chat_template(
            list(messages), chat_template=template, tokenize=False, add_generation_prompt=ask
        )
    except (TemplateError, TypeError, ValueError, KeyError) as error:
        raise InvalidInput(
            "the model's chat template does not take this conversation", came=str(error)[:200]
        ) from error
    return rendered


def _messages(value: Any) -> list[dict[str, Any]]:
    """A column's JSON as messages whose content is text."""
    try:
        messages = msgspec.json.decode(value) if isinstance(value, str) else None
    except msgspec.DecodeError:
        messages = None
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise InvalidInput("these are no messages", came=value, allowed='a list of {"role", "content"}')
    checked = [_message(message) for message in messages]
    if not any(m["role"] == "assistant" and m.get("weight") != 0 for m in checked):
        raise InvalidInput(
            "the conversation has no answer to learn", came=[m["role"] for m in checked], allowed="assistant"
        )
    return checked


def _message(message: dict[str, Any]) -> dict[str, Any]:
    role, content = message.get("role"), message.get("content")
    if role not in ROLES:
        raise InvalidInput("a message's role", came=role, allowed=ROLES)
    if unknown := [key for key in message if key not in _MESSAGE_KEYS]:
        raise InvalidInput("a message has keys that are not known", came=unknown, allowed=_MESSAGE_KEYS)
    if isinstance(content, list):
        content = _parts(content)
    if content is None and message.get("tool_calls"):
        content = ""
    if not isinstance(content, str):
        raise InvalidInput("a message's content", came=type(content).__name__, allowed="text")
    return {**message, "content": content}


def _parts(parts: list[Any]) -> str:
    """Content in parts, of texts alone."""
    if not all(
        isinstance(p, dict) and p.get("type") == "text" and isinstance(p.get("text"), str) for p in parts
    ):
        raise InvalidInput("a message's content", came="parts that are no texts", allowed="texts")
    return "".join(part["text"] for part in parts)


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str) or not value:
        raise InvalidInput(f"there is no text in {name!r}", came="a missing value")
    return value


def _end(tokenizer: Any) -> list[int]:
    return [] if tokenizer.eos_token_id is None else [int(tokenizer.eos_token_id)]


def _made(ids: Sequence[int], counted: Mask) -> Example:
    counted[:1] = False
    return Example(ids=np.asarray(ids, np.int64), counted=counted)
