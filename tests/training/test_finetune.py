import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard import datasets, packages
from modelyard.datasets import Dataset, IngestOptions, open_dataset
from modelyard.errors import InvalidInput
from modelyard.training.finetune import Place, Tuned, finetune
from modelyard.training.finetune_recipe import parse_finetune
from modelyard.types.chat import DEFAULT_TEMPLATE
from modelyard.types.package import Lineage
from tiny_language_model import CHAT_TEMPLATE, TEXTS, write_lines, write_package

pytestmark = pytest.mark.slow

RECIPE = {"task": "text-generation", "name": "a", "data": "lines", "base": "tiny"}
TRAINING = {
    "method": "lora",
    "rank": 8,
    "learning_rate": 0.02,
    "sequence_length": 64,
    "epochs": 4,
    "batch_size": 2,
}
TALKS = [
    [{"role": "user", "content": f"who sat {n} ?"}, {"role": "assistant", "content": TEXTS[n % 4][:20]}]
    for n in range(30)
]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "package"
    write_package(folder)
    return folder


@pytest.fixture
def data(tmp_path: Path, recorders: Any) -> Callable[..., Dataset]:
    def made(rows: Any, **options: Any) -> Dataset:
        write_lines(tmp_path / "lines.jsonl", rows)
        folder = tmp_path / f"data-{len(list(tmp_path.glob('data-*')))}"
        datasets.ingest([tmp_path / "lines.jsonl"], IngestOptions(**options), folder, recorders())
        return open_dataset(folder)

    return made


@pytest.fixture
def texts(data: Any) -> Dataset:
    found: Dataset = data([{"text": f"{TEXTS[n % 4]} {n}"} for n in range(40)])
    return found


@pytest.fixture
def tune(base: Path, tmp_path: Path, recorders: Any) -> Callable[..., Tuned]:
    def made(dataset: Dataset, out: str = "out", at: Path = base, **sections: Any) -> Tuned:
        training = TRAINING | sections.pop("training", {})
        if training["method"] == "full":
            del training["rank"]
        recipe = parse_finetune({**RECIPE, "training": training, **sections})
        place = Place(base=at, out=tmp_path / out, checkpoints=tmp_path / f"{out}-checkpoints")
        lineage = Lineage(run="run_1", dataset="lines:1", dataset_digest=dataset.digest)
        return finetune(recipe, dataset, place, recorders(), lineage)

    return made


@pytest.mark.parametrize(
    "training", [{"merge": False}, {"merge": True}, {"method": "full", "learning_rate": 0.01}]
)
def test_perplexity_falls_and_a_package_is_left(
    tune: Any, texts: Dataset, base: Path, tmp_path: Path, training: dict[str, Any]
) -> None:
    tuned = tune(texts, training=training)
    assert tuned.after.sum() < 0.97 * tuned.before.sum()
    assert tuned.split == "test"
    assert len(tuned.tokens) == 4
    manifest = packages.read(tmp_path / "out")
    assert manifest == tuned.manifest
    assert manifest.lineage.parent == packages.digest(base)
    assert (manifest.lineage.run, manifest.lineage.dataset_digest) == ("run_1", texts.digest)
    assert manifest.formats == {"transformers": "huggingface/config.json"}
    assert manifest.preprocessing == {"context": 64}
    assert manifest.licence == "cc0-1.0"
    assert ("adapter/adapter_model.safetensors" in manifest.files) == (training == {"merge": False})
    assert parse_finetune(manifest.lineage.recipe or {}).training.sequence_length == 64
    for name in manifest.files:
        assert str(tmp_path).encode() not in (tmp_path / "out" / name).read_bytes()


def test_the_same_seed_leaves_the_same_package_and_another_does_not(tune: Any, texts: Dataset) -> None:
    digests = [
        packages.digest(tune(texts, out, training={"seed": seed}).manifest)
        for out, seed in (("a", 5), ("b", 5), ("c", 6))
    ]
    assert digests[0] == digests[1] != digests[2]


def test_a_tuned_version_is_a_base_again(tune: Any, texts: Dataset, tmp_path: Path) -> None:
    first = tune(texts, "first")
    second = tune(texts, "second", at=tmp_path / "first")
    assert second.before.sum() == pytest.approx(first.after.sum(), rel=1e-4)
    assert second.after.sum() < second.before.sum()
    assert second.manifest.lineage.parent == packages.digest(first.manifest)
    assert "adapter/adapter_model.safetensors" in second.manifest.files


@pytest.mark.parametrize("template", [None, CHAT_TEMPLATE])
def test_conversations_bring_their_template_into_the_package(
    tune: Any, data: Any, tmp_path: Path, template: str | None
) -> None:
    write_package(tmp_path / "base", template=template)
    dataset = data([{"messages": talk} for talk in TALKS])
    tuned = tune(dataset, at=tmp_path / "base")
    assert tuned.after.sum() < tuned.before.sum()
    file = tuned.manifest.preprocessing["chat_template"]
    assert (tmp_path / "out" / file).read_text() == (template or DEFAULT_TEMPLATE)


def test_a_taught_answer_is_given(tune: Any, data: Any, base: Path, tmp_path: Path) -> None:
    """The served words are the learnt ones: by transformers' own greedy search, from the rendered prompt."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    talk = [{"role": "user", "content": "who sat ?"}, {"role": "assistant", "content": "the cat sat"}]
    dataset = data([{"messages": talk}] * 24)
    training = {"method": "full", "learning_rate": 0.01, "epochs": 20, "packing": False}
    tune(dataset, training=training)
    folder = tmp_path / "out" / "huggingface"
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    template = (tmp_path / "out" / "chat_template.jinja").read_text()
    asked = tokenizer.apply_chat_template(
        talk[:1], chat_template=template, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    answer = model.generate(**asked, do_sample=False, max_new_tokens=20)[0, asked["input_ids"].shape[1] :]
    assert tokenizer.decode(answer) == " the cat sat</s>"


def test_completions_are_learnt_without_packing_too(tune: Any, data: Any) -> None:
    rows = [{"prompt": f"{text[:10]} {n}", "completion": text[10:]} for n, text in enumerate(TEXTS * 8)]
    tuned = tune(data(rows), training={"packing": False})
    assert tuned.after.sum() < tuned.before.sum()


def test_without_a_validation_split_a_part_of_train_is_held_out(tune: Any, data: Any) -> None:
    rows = [{"text": f"{TEXTS[n % 4]} {n}"} for n in range(30)]
    tuned = tune(data(rows, fractions={"train": 1.0}))
    assert (tuned.split, len(tuned.tokens)) == ("validation", 3)
    assert tuned.notes == ("There is no validation split: 3 documents of train were held out.",)


def test_what_was_cut_is_noted(tune: Any, data: Any) -> None:
    long = [{"role": "user", "content": "the rain " * 60}, TALKS[0][1]]
    rows = [{"messages": talk} for talk in [*TALKS, long]]
    tuned = tune(data(rows, fractions={"train": 1.0}))
    assert (
        "1 rows of train are longer than a sequence of 64 tokens and were cut, 1 of them left out"
        in tuned.notes[-1]
    )


@pytest.mark.parametrize(
    ("sections", "match"),
    [
        ({"training": {"sequence_length": 65}}, "more than the base takes; came: 65; allowed: 64"),
        ({"training": {"target_modules": ["query"]}}, "target_modules; came: query; allowed: down_proj"),
        ({"training": {"loss_on": "answers"}}, "plain texts have no answers"),
        ({"preprocessing": {"form": "chat"}}, "no column to learn to generate from"),
    ],
)
def test_a_recipe_that_does_not_fit_says_why(tune: Any, texts: Dataset, sections: Any, match: str) -> None:
    with pytest.raises(InvalidInput, match=match):
        tune(texts, **sections)


def test_data_that_does_not_fit_says_why(tune: Any, data: Any) -> None:
    with pytest.raises(InvalidInput, match="the split to report on has no rows; came: test"):
        tune(
            data([{"text": text} for text in TEXTS], fractions={"train": 1.0}),
            evaluation={"split": "test"},
        )
    lost = [{"messages": [{"role": "user", "content": "the rain " * 60}, TALKS[0][1]]}] * 4
    with pytest.raises(InvalidInput, match="nothing to learn; came: 4 rows whose answers were cut off"):
        tune(data(lost, fractions={"train": 1.0}))
    with pytest.raises(InvalidInput, match="nothing to hold out; came: 1 document"):
        tune(data([{"text": TEXTS[0]}], fractions={"train": 1.0}))
    with pytest.raises(InvalidInput, match="row 1 of the split 'train': these are no messages"):
        tune(data([{"messages": "hello"}] * 4, fractions={"train": 1.0}))


def test_it_tells_how_far_it_is(base: Path, texts: Dataset, tmp_path: Path, recorder: Any) -> None:
    place = Place(base=base, out=tmp_path / "out", checkpoints=tmp_path / "checkpoints")
    finetune(parse_finetune({**RECIPE, "training": TRAINING}), texts, place, recorder)
    said = [text for _, _, text in recorder.progressed]
    assert said[:3] == ["opening the base", "reading the data", "perplexity of the base"]
    assert said[-1] == "packaging"
    steps = [step for step, values in recorder.points if "validation/perplexity" in values]
    assert steps[0] == 0
    assert np.all(np.diff(steps) > 0)
    assert json.dumps(recorder.points)
