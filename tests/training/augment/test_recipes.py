"""A recipe's augmentation, by the task's own kind, through training to the report."""

from pathlib import Path
from typing import Any

import pytest

from modelyard import datasets, training
from modelyard.errors import InvalidInput, UnknownName

TEXT = {"task": "text-classification", "name": "m", "data": "d", "net": "embedding_bag"}
IMAGES = {"task": "image-classification", "name": "m", "data": "digits"}


def _parsed(base: dict[str, Any], augmentation: object) -> Any:
    return training.parse_recipe({**base, "training": {"augmentation": augmentation}}).training.augmentation


def test_a_task_knows_its_kind_and_a_recipe_is_read_again() -> None:
    assert _parsed(IMAGES, {"flip": 0.5}).flip == 0.5
    assert _parsed(TEXT, {"swap": 0.1}).swap == 0.1
    assert _parsed(TEXT, {"name": "text", "swap": 0.1}).swap == 0.1
    recipe = training.parse_recipe({**IMAGES, "training": {"augmentation": {"crop": 2}}})
    assert training.parse_recipe(recipe.to_dict()) == recipe
    assert _parsed(IMAGES, None) is None


def test_what_cannot_be_is_refused_by_name() -> None:
    with pytest.raises(UnknownName, match=r"unknown key 'flipp' in .*augmentation; did you mean 'flip'"):
        _parsed(IMAGES, {"flipp": 0.5})
    with pytest.raises(UnknownName, match=r"unknown key 'flip' in recipe.training.augmentation"):
        _parsed(TEXT, {"flip": 0.5})
    with pytest.raises(InvalidInput, match=r"recipe.training.augmentation.flip: Expected `float` <= 1.0"):
        _parsed(IMAGES, {"flip": 2.0})
    with pytest.raises(InvalidInput, match=r"augmentation must be a mapping; came: flip"):
        _parsed(IMAGES, "flip")
    table = {"task": "tabular-classification", "name": "m", "data": "wine", "net": "mlp"}
    with pytest.raises(InvalidInput, match=r"augmentation needs a name.*allowed: images, text, audio"):
        _parsed(table, {"flip": 0.5})


@pytest.mark.slow
def test_texts_are_trained_on_with_words_left_out(tmp_path: Path, recorder: Any) -> None:
    good, bad = "a lovely film with great actors", "a dull film with poor actors"
    rows = [f"{good if k % 2 else bad} and {k} more words,{'good' if k % 2 else 'bad'}" for k in range(120)]
    (tmp_path / "data.csv").write_text("\n".join(["text,label", *rows]))
    options = datasets.IngestOptions(label="label", columns={"text": "text"})
    datasets.ingest([tmp_path / "data.csv"], options, tmp_path / "version", recorder)
    given = {"epochs": 4, "early_stopping": None, "augmentation": {"word_dropout": 0.3, "swap": 0.2}}
    result = training.train(
        training.parse_recipe({**TEXT, "training": given}),
        datasets.open_dataset(tmp_path / "version"),
        tmp_path / "out",
        tmp_path / "checkpoints",
        1,
        recorder,
    )
    (shown,) = (e for e in result.exhibits if e.title == "Augmented training rows")
    as_it_is, first, _ = shown.rows[0]
    assert "film" in as_it_is
    assert any(row[1] != row[0] for row in shown.rows)
    assert len(first.split()) <= len(as_it_is.split())
    losses = [value for _, value in result.history["train/loss"]]
    assert losses[-1] < losses[0]
