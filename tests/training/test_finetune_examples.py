import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from modelyard.errors import InvalidInput
from modelyard.training.finetune_examples import Example, Reading, read, render
from modelyard.types.chat import DEFAULT_TEMPLATE
from tiny_language_model import CHAT_TEMPLATE, write_folder

TALK = [
    {"role": "system", "content": "the house"},
    {"role": "user", "content": "who sat ?"},
    {"role": "assistant", "content": "the cat"},
    {"role": "user", "content": "and the dog ?"},
    {"role": "assistant", "content": "ran all day"},
]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(write_folder(tmp_path_factory.mktemp("tiny") / "model"))


@pytest.fixture
def reading(tokenizer: Any) -> Callable[..., Reading]:
    def made(form: Any, names: Sequence[str], **more: Any) -> Reading:
        given: dict[str, Any] = {"loss_on": "answers", "template": DEFAULT_TEMPLATE, "length": 64}
        return Reading(tokenizer=tokenizer, form=form, names=names, **given | more)

    return made


def rows(values: Sequence[Any]) -> Any:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def counted(tokenizer: Any, example: Example) -> str:
    """The text of the tokens whose loss counts."""
    return str(tokenizer.decode(example.ids[example.counted]))


def one(how: Reading, **columns: Any) -> Example:
    found = read({name: rows([value]) for name, value in columns.items()}, how, "train")
    (example,) = found.examples
    return example


@pytest.mark.parametrize(
    ("template", "answers"),
    [(DEFAULT_TEMPLATE, " the cat</s> ran all day</s>"), (CHAT_TEMPLATE, "the cat</s>ran all day</s>")],
)
def test_answers_count_with_the_token_that_ends_them(
    reading: Any, tokenizer: Any, template: str, answers: str
) -> None:
    example = one(reading("chat", ["messages"], template=template), messages=json.dumps(TALK))
    assert counted(tokenizer, example) == answers
    assert tokenizer.decode(example.ids) == render(tokenizer, template, TALK)


def test_the_default_template_is_a_turn_a_line(tokenizer: Any) -> None:
    assert render(tokenizer, DEFAULT_TEMPLATE, TALK[1:4], ask=True) == (
        "<s>user: who sat ?\nassistant: the cat</s>\nuser: and the dog ?\nassistant:"
    )


def test_what_comes_before_an_answer_is_what_serving_asks_with(reading: Any, tokenizer: Any) -> None:
    example = one(reading("chat", ["messages"]), messages=json.dumps(TALK))
    asked = tokenizer(render(tokenizer, DEFAULT_TEMPLATE, TALK[:2], ask=True), add_special_tokens=False)[
        "input_ids"
    ]
    assert example.ids[: len(asked)].tolist() == asked
    assert not example.counted[: len(asked)].any()
    assert example.counted[len(asked)]
    assert asked.count(tokenizer.bos_token_id) == 1


def test_an_answer_of_no_weight_does_not_count(reading: Any, tokenizer: Any) -> None:
    talk = [*TALK[:2], {**TALK[2], "weight": 0}, *TALK[3:]]
    assert (
        counted(tokenizer, one(reading("chat", ["messages"]), messages=json.dumps(talk)))
        == " ran all day</s>"
    )


def test_content_may_come_in_parts(reading: Any) -> None:
    parts = [{"type": "text", "text": "who "}, {"type": "text", "text": "sat ?"}]
    talk = [TALK[0], {"role": "user", "content": parts}, *TALK[2:]]
    how = reading("chat", ["messages"])
    assert (
        one(how, messages=json.dumps(talk)).ids.tolist() == one(how, messages=json.dumps(TALK)).ids.tolist()
    )


def test_all_of_a_conversation_may_count(reading: Any) -> None:
    example = one(reading("chat", ["messages"], loss_on="all"), messages=json.dumps(TALK))
    assert example.counted.tolist() == [False] + [True] * (len(example) - 1)


def test_a_completion_counts_and_its_prompt_does_not(reading: Any, tokenizer: Any) -> None:
    example = one(reading("completion", ["prompt", "completion"]), prompt="the cat", completion=" sat")
    assert counted(tokenizer, example) == " sat</s>"
    assert example.ids[0] == tokenizer.bos_token_id
    whole = one(
        reading("completion", ["prompt", "completion"], loss_on="all"), prompt="the cat", completion=" sat"
    )
    assert whole.counted.sum() == len(whole) - 1


def test_a_long_text_is_split_and_every_token_counts_once(reading: Any, tokenizer: Any) -> None:
    text = "the cat sat on the mat and " * 20
    whole = one(reading("text", ["text"], loss_on="all", length=10_000), text=text)
    for length in (8, 9, 64, len(whole) - 1, len(whole)):
        found = read({"text": rows([text])}, reading("text", ["text"], loss_on="all", length=length), "train")
        assert all(len(e) <= length and e.ids[0] == tokenizer.bos_token_id for e in found.examples)
        told = np.concatenate([e.ids[e.counted] for e in found.examples])
        assert told.tolist() == whole.ids[1:].tolist()


def test_a_long_conversation_is_cut_and_one_without_an_answer_left_is_counted(reading: Any) -> None:
    long = [{"role": "user", "content": "the rain " * 60}, TALK[2]]
    found = read(
        {"messages": rows([json.dumps(TALK), json.dumps(long)])}, reading("chat", ["messages"]), "train"
    )
    assert (len(found.examples), found.cut, found.lost) == (1, 1, 1)


@pytest.mark.parametrize(
    ("value", "match"),
    [
        (None, "these are no messages"),
        ("[", "these are no messages"),
        ('{"role": "user"}', "these are no messages"),
        ('["hello"]', "these are no messages"),
        ("[]", "no answer to learn"),
        (json.dumps(TALK[:2]), r"no answer to learn; came: \['system', 'user'\]"),
        (json.dumps([{"role": "cat", "content": "x"}]), "a message's role; came: cat"),
        (json.dumps([{"role": "assistant", "content": 5}]), "a message's content; came: int"),
        (json.dumps([{"role": "assistant"}]), "a message's content"),
        (json.dumps([{"role": "assistant", "contents": "x"}]), "keys that are not known"),
        (
            json.dumps([{"role": "user", "content": [{"type": "image_url"}]}, TALK[2]]),
            "parts that are no texts",
        ),
    ],
)
def test_what_is_no_conversation_is_refused_with_its_row(reading: Any, value: Any, match: str) -> None:
    with pytest.raises(InvalidInput, match=r"row 2 of the split 'validation': .*" + match):
        read({"messages": rows([json.dumps(TALK), value])}, reading("chat", ["messages"]), "validation")


@pytest.mark.parametrize("value", [None, ""])
def test_a_row_without_text_is_refused_with_its_number(reading: Any, value: Any) -> None:
    with pytest.raises(InvalidInput, match="row 2 of the split 'train': there is no text in 'text'"):
        read({"text": rows(["the cat", value])}, reading("text", ["text"]), "train")
    how = reading("completion", ["prompt", "completion"])
    with pytest.raises(InvalidInput, match="row 1 of the split 'train': there is no text in 'completion'"):
        read({"prompt": rows(["the"]), "completion": rows([value])}, how, "train")


def test_a_template_that_refuses_or_looks_ahead_is_said_to(reading: Any) -> None:
    refusing = "{{ raise_exception('no system please') }}"
    with pytest.raises(InvalidInput, match="does not take this conversation; came: no system please"):
        one(reading("chat", ["messages"], template=refusing), messages=json.dumps(TALK))
    ahead = "{{ messages | length }}" + DEFAULT_TEMPLATE
    with pytest.raises(InvalidInput, match=r"cannot be told which tokens are answers; allowed: loss_on: all"):
        one(reading("chat", ["messages"], template=ahead), messages=json.dumps(TALK))
