"""Fine-tuning: a base, a data set and a recipe into a package."""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from modelyard import packages, tasks
from modelyard.datasets import Dataset
from modelyard.errors import InvalidInput
from modelyard.tasks.text_generation import Form, columns_of
from modelyard.training.finetune_base import TEMPLATE, Base, check_length, libraries, open_base
from modelyard.training.finetune_examples import Example, Read, Reading, read
from modelyard.training.finetune_recipe import TASK, FinetuneRecipe
from modelyard.training.packing import pack
from modelyard.types.package import Lineage, Manifest, NetRef
from modelyard.types.run import Reporter

_PROBES: Final = 8  # documents by which the forms of a model are compared
_MOST_CONTEXT: Final = 8192
_PARITY: Final = "Every form of it answers as in training: logits differ by at most {:.1e} of the largest."
_HELD_OUT: Final = 0.1  # of the training documents, where there is no validation split


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a fine-tuning reads and writes. `base` is a package's folder; `checkpoints` is kept over attempts."""

    base: Path
    out: Path
    checkpoints: Path
    attempt: int = 1


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """What came of it.

    history   metric -> points [step, value]; step 0 is before training
    before, after   losses in nats of each document of `split`, summed over its `tokens`; all [documents]
    trained   tokens that were trained on, those of several epochs as often
    notes     what was cut or left out
    """

    manifest: Manifest
    history: dict[str, list[list[float]]]
    split: str
    before: Any
    after: Any
    tokens: Any
    trained: int
    notes: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Material:
    """Documents to learn from, to look at during training, and to report on, which are those of `split`."""

    train: Sequence[Example]
    held_out: Sequence[Example]
    reported: Sequence[Example]
    split: str
    form: Form
    notes: tuple[str, ...]


def finetune(
    recipe: FinetuneRecipe, dataset: Dataset, place: Place, reporter: Reporter, lineage: Lineage | None = None
) -> Tuned:
    """Train the base on the data and leave a package in `place.out`.

    Where `place.checkpoints` holds a good checkpoint of this recipe, data and base, training goes on from it.

    Raises:
        InvalidInput: the base or the data do not fit the recipe, or the loss diverged.
        NotAllowedFormat: the base has no weights to be trained on.
        ParityMismatch: the written model does not answer as the trained one.
        MissingExtra, Cancelled.
    """
    started = time.monotonic()
    reporter.progress(0, 1, "opening the base")
    manifest = packages.read(place.base, verify=False)
    base = open_base(place.base, manifest, recipe.base)
    reporter.check()
    reporter.progress(0, 1, "reading the data")
    material = _material(recipe, dataset, base)
    place.out.mkdir(parents=True, exist_ok=True)
    tuned = _train(recipe, dataset, place, base, material, reporter)
    given = msgspec.structs.replace(
        lineage or Lineage(), recipe=recipe.to_dict(), parent=packages.digest(manifest)
    )
    reporter.check()
    reporter.progress(1, 1, "packaging")
    written = _write(recipe, place, base, material, given)
    return Tuned(
        manifest=written,
        history=tuned.history,
        split=material.split,
        before=tuned.before.loss,
        after=tuned.after.loss,
        tokens=tuned.after.tokens,
        trained=tuned.tokens,
        notes=material.notes,
        seconds=time.monotonic() - started,
    )


@dataclass(frozen=True, kw_only=True)
class _Trained:
    """The weights are in the base's model."""

    history: dict[str, list[list[float]]]
    tokens: int
    before: Any
    after: Any


def _train(
    recipe: FinetuneRecipe,
    dataset: Dataset,
    place: Place,
    base: Base,
    material: Material,
    reporter: Reporter,
) -> _Trained:
    from modelyard.training.finetune_loop import Lesson, TuneLoop
    from modelyard.training.finetune_model import check_packing, prepare
    from modelyard.training.finetune_package import write_base
    from modelyard.training.perplexity import surprise

    training, pad = recipe.training, _pad(base)
    with _deterministic():
        if training.packing:
            check_packing(base.model, material.train, pad)
        room = training.batch_size * training.sequence_length
        reporter.progress(0, 1, "perplexity of the base")
        before = surprise(base.model, material.reported, room, pad, reporter.check)
        write_base(base, place.base, place.out, weights=training.method == "lora" and not training.merge)
        numbers = pack([len(e) for e in material.train], training.sequence_length, training.packing)
        lesson = Lesson(
            rows=[[material.train[n] for n in row] for row in numbers],
            held_out=material.held_out,
            training=training,
            pad=pad,
            digest=_digest(recipe, dataset, base),
            checkpoints=place.checkpoints,
            attempt=place.attempt,
            reporter=reporter,
        )
        base.model = prepare(base, training)
        loop = TuneLoop(lesson=lesson, model=base.model)
        loop.run()
        after = surprise(base.model, material.reported, room, pad, reporter.check)
    return _Trained(history=loop.state.history, tokens=loop.state.tokens, before=before, after=after)


def _write(
    recipe: FinetuneRecipe, place: Place, base: Base, material: Material, lineage: Lineage
) -> Manifest:
    from modelyard.training.finetune_package import write_trained

    preprocessing: dict[str, Any] = {"context": _served(base)}
    if material.form == "chat" or base.own_template:
        (place.out / TEMPLATE).write_text(base.template, "utf-8")
        preprocessing["chat_template"] = TEMPLATE
    net = base.architecture
    packaged = write_trained(base, place.out, recipe.training.merge, material.held_out[:_PROBES])
    task = tasks.load(TASK)
    signature = task.signature(preprocessing, ())
    return packages.write(
        place.out,
        Manifest(
            task=TASK,
            signature=signature,
            tensors=signature,
            preprocessing=preprocessing,
            formats=packaged.formats,
            net=NetRef(name=net, framework="transformers"),
            replies=packaged.replies,
            lineage=lineage,
            licence=base.manifest.licence,
            notes=(_PARITY.format(packaged.worst),),
            environment=_environment(),
        ),
    )


def _material(recipe: FinetuneRecipe, dataset: Dataset, base: Base) -> Material:
    """Every document that is needed, as tokens."""
    training = recipe.training
    check_length(base, training.sequence_length)
    form, names = columns_of(dataset.manifest.schema, recipe.preprocessing)
    if form == "text" and training.loss_on == "answers":
        raise InvalidInput(
            "plain texts have no answers", came="recipe.training.loss_on: answers", allowed="all, or null"
        )
    how = Reading(
        tokenizer=base.tokenizer,
        form=form,
        names=names,
        loss_on=training.loss_on or ("all" if form == "text" else "answers"),
        template=base.template,
        length=training.sequence_length,
    )
    reads: dict[str, Read] = {}

    def documents(split: str) -> list[Example]:
        reads[split] = read(dataset.columns(split, names), how, split)
        return reads[split].examples

    train, held_out = documents("train"), documents("validation")
    if not train:
        raise InvalidInput(
            "the split 'train' has nothing to learn",
            came=f"{reads['train'].lost} rows whose answers were cut off",
        )
    notes: list[str] = []
    if not held_out:
        train, held_out = _parted(train, training.seed, recipe.evaluation.documents)
        notes.append(f"There is no validation split: {len(held_out)} documents of train were held out.")
    held_out = _spread(held_out, recipe.evaluation.documents)
    reported, split = _reported(recipe, documents, held_out)
    for name, found in reads.items():
        if found.cut:
            notes.append(
                f"{found.cut} rows of {name} are longer than a sequence of {training.sequence_length} tokens and"
                f" were cut, {found.lost} of them left out because no answer was left."
            )
    return Material(
        train=train, held_out=held_out, reported=reported, split=split, form=form, notes=tuple(notes)
    )


def _reported(
    recipe: FinetuneRecipe, documents: Callable[[str], list[Example]], held_out: list[Example]
) -> tuple[list[Example], str]:
    asked = recipe.evaluation.split
    if asked == "validation":
        return held_out, "validation"
    test = _spread(documents("test"), recipe.evaluation.documents)
    if asked == "test" and not test:
        raise InvalidInput("the split to report on has no rows", came="test", allowed="validation, or null")
    return (test, "test") if test else (held_out, "validation")


def _parted(train: list[Example], seed: int, most: int) -> tuple[list[Example], list[Example]]:
    """Train without a part that is drawn by the seed, and the part."""
    if len(train) < 2:
        raise InvalidInput(
            "there is nothing to hold out", came="1 document", allowed="2 or more, or a validation split"
        )
    count = min(most, max(1, round(len(train) * _HELD_OUT)))
    order = np.random.default_rng([seed, 2**32]).permutation(len(train))
    out = set(order[:count].tolist())
    return [e for n, e in enumerate(train) if n not in out], [train[n] for n in sorted(out)]


def _spread(documents: list[Example], most: int) -> list[Example]:
    """At most so many, evenly spaced."""
    if len(documents) <= most:
        return documents
    return [documents[n] for n in np.linspace(0, len(documents) - 1, most).astype(int)]


def _digest(recipe: FinetuneRecipe, dataset: Dataset, base: Base) -> str:
    """Of all that decides the weights."""
    decides: dict[str, Any] = {**recipe.to_dict(), "evaluation": recipe.evaluation.documents, "name": None}
    decides |= {"data": dataset.digest, "base": packages.digest(base.manifest)}
    decides["training"] = {**decides["training"], "merge": None, "checkpoint_every": None}
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def _served(base: Base) -> int:
    """What the base was served with; without a word of it, not more than engines take by default."""
    return min(base.context, int(base.manifest.preprocessing.get("context") or _MOST_CONTEXT))


def _pad(base: Base) -> int:
    given = base.tokenizer.pad_token_id
    return int(given if given is not None else base.tokenizer.eos_token_id or 0)


@contextmanager
def _deterministic() -> Any:
    torch, _, _ = libraries()
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def _environment() -> dict[str, str]:
    import platform

    names = ("modelyard", "numpy", "torch", "transformers", "peft", "tokenizers", "safetensors")
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in names}}
