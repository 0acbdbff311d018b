"""What tasks of texts share, with a real tokenizer."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard import tasks
from modelyard.errors import InvalidInput, MissingExtra, TooLarge
from modelyard.tasks import texts
from modelyard.tasks.texts import PreparedTexts
from text_models import LENGTH, preprocessing, word_pieces

pytest.importorskip("tokenizers")
LONG = "the data set has samples and features of patients . " * 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("package")
    word_pieces().save(str(made / "tokenizer.json"))
    return made


@pytest.fixture
def prepared(folder: Path) -> PreparedTexts:
    return PreparedTexts(preprocessing(), folder)


def column(*values: str) -> dict[str, Any]:
    made = np.empty(len(values), object)
    made[:] = [v.encode() for v in values]
    return {"text": made}


@pytest.mark.parametrize("name", ["text-classification", "feature-extraction"])
@pytest.mark.parametrize(
    "value",
    ["a cat", ["a cat"], {"text": "a cat"}, {"text": ["a cat"]}, {"data": {"text": ["a cat"]}}, b"a cat",
     [{"text": "a cat"}]],
)  # fmt: skip
def test_a_text_comes_in_many_forms(name: str, value: Any, folder: Path) -> None:
    task = tasks.load(name)
    found = PreparedTexts(preprocessing(), folder).decode(task.sample(value))
    assert found["text"].tolist() == [b"a cat"]


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (5, "not texts"), (True, "not texts"), (None, "not texts"),
        ({"text": "a", "other": "b"}, "one column"), ([{"text": "a"}, {"other": "b"}], "one column"),
        ({"other": "a"}, "one column"), ([], "no text"), ({"text": []}, "no text"),
        ([1, 2], "text 0 is no text"), (["a", None], "text 1 is no text; came: a missing value"),
        (["a", ["b"]], "text 1 is no text; came: list"), ("", "text 0 is empty"),
        (["a", " \n\t"], "text 1 is empty"), ("\ud800", "half of a surrogate pair"),
        ({"text": ["ok", "x\udfff"]}, "text 1 has half of a surrogate"),
        (b"\xff\xfe", "not UTF-8"), ({"text": {"deep": "a"}}, "text 0 is no text; came: dict"),
    ],
)  # fmt: skip
def test_what_is_no_text_is_refused(prepared: PreparedTexts, value: Any, problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        prepared.decode(texts.sample(value))


def test_texts_have_a_limit_alone_and_together(prepared: PreparedTexts) -> None:
    with pytest.raises(TooLarge, match="a text is too long; came: 10,000,000 bytes"):
        prepared.decode({"text": ["x" * 10_000_000]})
    for many in (["x" * texts.LONGEST] * 9, {"text": ["x" * texts.LONGEST] * 9}, "x" * 3_000_000):
        with pytest.raises(TooLarge, match="in all"):
            texts.sample(many)
    assert len(prepared.decode({"text": ["x " * 100_000] * 20})["text"]) == 20  # rows of a data set
    with pytest.raises(TooLarge):
        prepared.transform(column("x" * 10_000_000))


def test_the_data_sets_own_column_is_read(folder: Path) -> None:
    made = PreparedTexts(preprocessing(column="review"), folder)
    assert made.decode({"review": np.array(["fine"], object)})["text"].tolist() == [b"fine"]
    assert tasks.load("text-classification").features(preprocessing(column="review")) == ["review"]


def test_tokens_are_padded_to_the_longest_and_cut(prepared: PreparedTexts) -> None:
    found = prepared.transform(column("wine", "the wine data set", LONG))
    assert {name: (a.dtype, a.shape) for name, a in found.items()} == dict.fromkeys(
        ("input_ids", "attention_mask", "token_type_ids"), (np.int64, (3, LENGTH))
    )
    assert found["attention_mask"].sum(axis=1).tolist()[2] == LENGTH
    ids = word_pieces().encode("wine").ids
    assert found["input_ids"][0].tolist() == [*ids, *[0] * (LENGTH - len(ids))]
    alone = prepared.transform(column("wine"))
    assert alone["input_ids"].tolist() == [ids]


def test_only_the_models_own_tensors_are_made(folder: Path) -> None:
    made = PreparedTexts(preprocessing(inputs=["input_ids"]), folder)
    assert list(made.transform(column("a"))) == ["input_ids"]


def test_padding_and_cutting_on_the_left(folder: Path) -> None:
    made = PreparedTexts(preprocessing(padding_side="left", truncation_side="left"), folder)
    found = made.transform(column("wine", LONG + "last words"))
    assert found["input_ids"][0, 0] == 0
    assert found["input_ids"][1].tolist()[-4:] == word_pieces().encode("a last words").ids[-4:]


@given(st.lists(st.text(min_size=1, max_size=40).filter(str.strip), min_size=1, max_size=4))
def test_any_text_is_tokenized_alone_as_together(
    tmp_path_factory: pytest.TempPathFactory, values: list[str]
) -> None:
    folder = tmp_path_factory.getbasetemp() / "any"
    if not folder.exists():
        folder.mkdir()
        word_pieces().save(str(folder / "tokenizer.json"))
    made = PreparedTexts(preprocessing(), folder)
    arrays = made.decode({"text": values})
    together = made.transform(arrays)
    for row, text in enumerate(values):
        alone = made.transform(column(text))
        kept = together["attention_mask"][row].astype(bool)
        assert together["input_ids"][row][kept].tolist() == alone["input_ids"][0].tolist()


@pytest.mark.parametrize(
    "arrays",
    [
        {}, {"other": np.array([b"a"], object)}, {"text": np.array([[b"a"]], object)},
        {"text": np.array([], object)}, {"text": np.array([1.0])}, {"text": np.array([b"\xff"], object)},
        {"text": np.array(["a"], object)},
    ],
)  # fmt: skip
def test_transform_is_safe_on_any_arrays(prepared: PreparedTexts, arrays: Any) -> None:
    with pytest.raises(InvalidInput):
        prepared.transform(arrays)


def test_texts_without_a_token_are_refused(tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    bare = Tokenizer.from_str(word_pieces().to_str())
    bare.post_processor = None
    bare.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(InvalidInput, match="no token"):
        PreparedTexts(preprocessing(), tmp_path).transform(column("\x00"))


def test_long_texts_as_the_caller_wants_them(prepared: PreparedTexts) -> None:
    short, long = column("the wine"), column(f"{LONG}and the very last words of it")
    assert prepared.adjusted(short, {"truncate": False})["text"].tolist() == short["text"].tolist()
    with pytest.raises(InvalidInput, match=r"too long; came: \d+ tokens; allowed: 48, or truncate"):
        prepared.adjusted(long, {"truncate": False})
    ended = prepared.adjusted(long, {"truncate": True, "truncation_direction": "left"})
    tokens = prepared.transform(ended)["input_ids"]
    whole = word_pieces().encode(long["text"][0].decode()).ids
    assert tokens.shape[1] <= LENGTH
    assert tokens[0].tolist()[1:] == whole[-(tokens.shape[1] - 1) :]
    assert prepared.adjusted(long, {"top_k": 1})["text"].tolist() == long["text"].tolist()
    with pytest.raises(InvalidInput, match="truncation"):
        prepared.adjusted(long, {"truncation_direction": "up"})


def test_a_broken_or_missing_tokenizer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInput, match=r"no tokenizer; came: tokenizer\.json"):
        PreparedTexts(preprocessing(), tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(InvalidInput, match="no tokenizer"):
        PreparedTexts(preprocessing(), tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    with pytest.raises(MissingExtra, match="tokenizers"):
        PreparedTexts(preprocessing(), tmp_path)
