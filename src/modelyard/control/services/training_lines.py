"""The lines of a file to fine-tune on: chats, pairs of a prompt and its completion, or plain texts, one form in
the whole file (https://platform.openai.com/docs/guides/supervised-fine-tuning)."""

from typing import Any, BinaryIO, Final

import msgspec

from modelyard.runs.json_lines import BadLine, decode, read_lines

ROLES: Final = ("system", "developer", "user", "assistant", "tool", "function")
CHAT, PAIR, TEXT = "messages", "prompt", "text"
FORMS: Final = {CHAT: ("messages",), PAIR: ("prompt", "completion"), TEXT: ("text",)}
_MOST_MESSAGES: Final = 10_000
_decoder = msgspec.json.Decoder(dict[str, Any])


def check_file(file: BinaryIO) -> int:
    """How many examples there are. Raises BadLine for the first line that is wrong."""
    return read_form(file)[1]


def first_form(file: BinaryIO) -> str:
    """The form of a file that was found good."""
    number, raw = next(read_lines(file))
    return _form(number, decode(number, raw, _decoder))


def read_form(file: BinaryIO) -> tuple[str, int]:
    """Which of FORMS the file has, and how many examples. Raises BadLine."""
    found, count = "", 0
    for number, raw in read_lines(file):
        example = decode(number, raw, _decoder)
        form = _form(number, example)
        if found and form != found:
            raise BadLine(
                number, "mixed_forms", f"this one has {form!r}, the lines before it have {found!r}", form
            )
        found, count = form, count + 1
    if count == 0:
        raise BadLine(1, "empty_file", "the file holds no example")
    return found, count


def _form(number: int, example: dict[str, Any]) -> str:
    form = next((name for name, keys in FORMS.items() if keys[0] in example), None)
    if form is None:
        allowed = ", or ".join(" and ".join(keys) for keys in FORMS.values())
        raise BadLine(number, "invalid_example", f"an example needs {allowed}")
    if form == CHAT:
        _check_chat(number, example["messages"])
    else:
        for key in FORMS[form]:
            if not isinstance(example.get(key), str):
                raise BadLine(number, "invalid_example", f"{key} must be text", key)
    return form


def _check_chat(number: int, messages: Any) -> None:
    if not isinstance(messages, list) or not 0 < len(messages) <= _MOST_MESSAGES:
        said = f"messages must be a list of 1 to {_MOST_MESSAGES}"
        raise BadLine(number, "invalid_example", said, "messages")
    for place, message in enumerate(messages):
        field = f"messages[{place}]"
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            raise BadLine(
                number, "invalid_example", f"{field}.role must be one of {', '.join(ROLES)}", f"{field}.role"
            )
        content = message.get("content")
        if not isinstance(content, str | list) and not (content is None and message.get("tool_calls")):
            raise BadLine(number, "invalid_example", f"{field}.content must be text", f"{field}.content")
    if not any(message["role"] == "assistant" for message in messages):
        raise BadLine(number, "invalid_example", "no message of the assistant to learn from", "messages")
