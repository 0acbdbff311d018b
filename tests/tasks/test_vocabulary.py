from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard import tasks
from modelyard.errors import InvalidInput
from modelyard.tasks.texts import TOKENIZER, open_tokenizer
from modelyard.types.dataset import Column, Schema
from text_models import sentences

TASK = tasks.load("text-classification")
TEXTS = [text for text, _ in sentences()]
SCHEMA = Schema(
    columns=(Column(name="text", kind="text"), Column(name="label", kind="category")), label="label"
)


def fitted(folder: Path, texts: Any = TEXTS, **options: Any) -> dict[str, Any]:
    return TASK.fit({"text": np.array(texts, object)}, SCHEMA, options, folder)


@pytest.mark.parametrize("kind", ["word", "bpe"])
def test_the_same_texts_give_the_same_tokenizer(kind: str, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
        fitted(folder, kind=kind, vocabulary_size=400)
    assert (folders[0] / TOKENIZER).read_bytes() == (folders[1] / TOKENIZER).read_bytes()


@pytest.mark.parametrize("kind", ["word", "bpe"])
def test_a_learnt_tokenizer_is_served(kind: str, tmp_path: Path) -> None:
    found = fitted(tmp_path, kind=kind, vocabulary_size=400, max_length=12)
    assert found["vocabulary"] <= 400
    assert (found["pad_id"], found["unknown_id"]) == (0, 1)
    prepared = TASK.prepare(found, tmp_path)
    tensors = prepared.transform(prepared.decode({"text": ["Patients", " ".join(TEXTS[:3])]}))
    assert tensors["input_ids"].shape == (2, 12)
    assert tensors["attention_mask"][1].tolist() == [1] * 12
    used = int(tensors["attention_mask"][0].sum())
    assert (tensors["input_ids"][0, used:] == 0).all()
    small = prepared.transform(prepared.decode({"text": ["PATIENTS"]}))
    assert small["input_ids"].tolist() == [tensors["input_ids"][0, :used].tolist()]


def test_words_are_links_names_tags_and_signs(tmp_path: Path) -> None:
    text = "Isn't @Ann #glad? :-) See http://t.co/a1?b=c don’t"
    fitted(tmp_path, [text], min_frequency=1)
    assert open_tokenizer(tmp_path / TOKENIZER).encode(text).tokens == [
        "isn't", "@ann", "#glad", "?", ":-)", "see", "http://t.co/a1?b=c", "don’t"
    ]  # fmt: skip


def test_rare_words_are_unknown_and_case_is_kept_where_it_is_to_be(tmp_path: Path) -> None:
    fitted(tmp_path, ["Yes yes", "Yes no"], lower_case=False, min_frequency=2)
    assert open_tokenizer(tmp_path / TOKENIZER).encode("Yes yes no").tokens == ["Yes", "[UNK]", "[UNK]"]


def test_subwords_know_what_they_never_saw(tmp_path: Path) -> None:
    found = fitted(tmp_path, kind="bpe", vocabulary_size=600)
    tokens = open_tokenizer(tmp_path / TOKENIZER).encode("measurableness").ids
    assert len(tokens) > 1
    assert found["unknown_id"] not in tokens


def test_blank_texts_and_a_missing_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="2 of 3 rows"):
        fitted(tmp_path, ["a", " ", None])
    with pytest.raises(InvalidInput, match="kept in a package"):
        TASK.fit({"text": ["a"]}, SCHEMA, {}, None)


def test_options_are_checked(tmp_path: Path) -> None:
    for options, words in (
        ({"kind": "letters"}, "kind"),
        ({"max_length": 0}, "max_length"),
        ({"size": 1}, "size"),
    ):
        with pytest.raises(InvalidInput, match=words):
            fitted(tmp_path, **options)


def test_the_column_of_texts() -> None:
    def schema(**kinds: str) -> Schema:
        return Schema(columns=tuple(Column(name=name, kind=kind) for name, kind in kinds.items()), label="y")

    assert TASK.check(schema(text="text", more="text", y="category"), "y") == ["text"]
    assert TASK.check(schema(review="text", id="integer", y="category"), "y") == ["review"]
    assert TASK.check(schema(word="category", y="category"), "y") == ["word"]
    with pytest.raises(InvalidInput, match="one column of texts"):
        TASK.check(schema(a="text", b="text", y="category"), "y")
    with pytest.raises(InvalidInput, match="target of classes"):
        TASK.check(schema(text="text", y="number"), "y")
    with pytest.raises(InvalidInput, match="no such target"):
        TASK.check(schema(text="text", y="category"), "z")


def test_examples_are_of_several_lengths(tmp_path: Path) -> None:
    prepared = TASK.prepare(fitted(tmp_path), tmp_path)
    texts, labels = zip(*sentences()[:20], strict=True)
    found = TASK.examples(
        prepared, {"text": np.array(texts, object)}, np.array(labels, object), sorted(set(labels))
    )
    assert set(found.inputs) == set(found.ragged) == {"input_ids", "attention_mask"}
    assert len(found) == 20 == len(found.targets["target"])
    short = found.take(np.array([int(np.argmin(found.lengths))]))
    assert short.inputs["input_ids"].shape[1] == int(short.inputs["attention_mask"].sum())
