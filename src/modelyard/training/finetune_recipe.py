"""The recipe of a fine-tuning: a base model, texts, and how the base is trained on. Checked without torch."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec

from modelyard import tasks
from modelyard.errors import InvalidInput, UnknownName
from modelyard.tasks.options import resolve
from modelyard.tasks.text_generation import GenerationOptions
from modelyard.training.early_stop import EarlyStopping
from modelyard.training.recipe import Seed
from modelyard.training.recipe_text import read_yaml
from modelyard.training.schedules import Constant, Cosine

TASK: Final = "text-generation"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_REFERENCE: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}(:[a-z0-9]{1,64}|@[a-z0-9][a-z0-9._-]{0,62})?")
_REQUIRED: Final = ("task", "name", "data", "base")
_RATES: Final = {"lora": 2e-4, "full": 2e-5}

Rank = Annotated[int, msgspec.Meta(ge=1, le=1024)]
Share = Annotated[float, msgspec.Meta(ge=0, lt=1)]
Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]


class FinetuneTraining(msgspec.Struct, frozen=True, kw_only=True):
    """`training` of a base model.

    method           "lora": low-rank matrices beside the base's linear layers (Hu et al. 2022, LoRA), which stay as
                     they are; "full": every weight
    rank, alpha, dropout   of LoRA: inner width of its matrices; what is added is times alpha / rank
    target_modules   names of the linear layers that get them, as q_proj; None: all but the output layer
    merge            whether LoRA's matrices are added into the base's weights; else the version is the base with
                     an adapter beside it
    epochs, steps    passes over the training rows, and the most steps of the optimizer in all; None: no limit
    batch_size       sequences of a forward pass; `accumulation` of them make a step of the optimizer
    learning_rate    None: 0.0002 with LoRA, 0.00002 in full
    schedule         constant, or a cosine with a linear warm-up; see schedules.py
    sequence_length  tokens of a training sequence; longer texts go on in the next, longer conversations are cut
    packing          several short documents share a sequence, none of which sees another
    loss_on          "answers": only what the model is to say itself (what assistants say, completions); None:
                     the answers, where the data has some
    clip_norm        the largest norm of the gradient of a step; None: no limit
    evaluate_every   steps between two looks at the held-out rows; None: after each epoch
    early_stopping   in looks at the held-out rows; the best look's weights are kept
    checkpoint_every steps between two checkpoints, from which a run that was ended goes on; None: a twentieth of
                     all steps
    """

    method: Literal["lora", "full"] = "lora"
    rank: Rank = 16
    alpha: Annotated[float, msgspec.Meta(gt=0, le=10_000)] = 32.0
    dropout: Share = 0.0
    target_modules: tuple[str, ...] | None = None
    merge: bool = False
    epochs: Count = 3
    steps: Count | None = None
    batch_size: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 4
    accumulation: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 1
    learning_rate: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    schedule: Constant | Cosine = Cosine(warmup=0.05)
    sequence_length: Annotated[int, msgspec.Meta(ge=8, le=1_000_000)] = 512
    packing: bool = True
    loss_on: Literal["all", "answers"] | None = None
    clip_norm: Annotated[float, msgspec.Meta(gt=0)] | None = 1.0
    weight_decay: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    evaluate_every: Count | None = None
    early_stopping: EarlyStopping | None = None
    checkpoint_every: Count | None = None
    seed: Seed = 0

    @property
    def rate(self) -> float:
        """The learning rate that is meant."""
        return self.learning_rate if self.learning_rate is not None else _RATES[self.method]


class FinetuneEvaluation(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows the report is of, and the bootstrap's resamples and confidence.

    split      None: test; where the data has no such rows, those that were held out and looked at during training
    documents  most of a split that are looked at, evenly spaced
    """

    split: Literal["validation", "test"] | None = None
    documents: Count = 1000
    bootstrap: Annotated[int, msgspec.Meta(ge=10, le=100_000)] = 1000
    confidence: Annotated[float, msgspec.Meta(ge=0.5, lt=1)] = 0.95


class FinetuneRecipe(msgspec.Struct, frozen=True, kw_only=True):
    """A recipe with every default filled in.

    name           the model that a new version is added to
    data           a data set of JSON lines or tables, as "books" or "books:3"
    base           the model's version that is trained on, as "gemma", "gemma:3" or "gemma@champion"
    preprocessing  which columns are read
    """

    task: Literal["text-generation"]
    name: str
    data: str
    base: str
    preprocessing: GenerationOptions = GenerationOptions()
    training: FinetuneTraining = FinetuneTraining()
    evaluation: FinetuneEvaluation = FinetuneEvaluation()

    def to_dict(self) -> dict[str, Any]:
        """JSON values; `parse_finetune` of it is this recipe again."""
        whole: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self))
        return whole


def is_finetune(recipe: Mapping[str, Any]) -> bool:
    """Whether a recipe, as a user wrote it, is one of these: a recipe without a base trains from nothing."""
    return "base" in recipe


def parse_finetune(source: str | Mapping[str, Any]) -> FinetuneRecipe:
    """A recipe from YAML text or a mapping, its gaps filled.

    Raises UnknownName for a key or task that is not known, with the place and the nearest known one, and
    InvalidInput for what is missing, wrong types and ranges.
    """
    given = dict(read_yaml(source) if isinstance(source, str) else source)
    _check_keys(given)
    if given["task"] != TASK:
        tasks.load(given["task"])
        raise InvalidInput("recipe.base is for fine-tuning", came=given["task"], allowed=f"task: {TASK}")
    training = given.get("training")
    if isinstance(training, Mapping) and isinstance(name := training.get("schedule"), str):
        given["training"] = {**training, "schedule": {"name": name}}
    given = {key: value for key, value in given.items() if value is not None}
    recipe = resolve(FinetuneRecipe, given, "recipe")
    _check_method(recipe.training, given.get("training") or {})
    return recipe


def _check_keys(given: Mapping[str, Any]) -> None:
    known = FinetuneRecipe.__struct_fields__
    for key in given:
        if key not in known:
            raise UnknownName("key", str(key), known, where="recipe")
    for key in _REQUIRED:
        if given.get(key) is None:
            raise InvalidInput(f"recipe.{key} is missing", came=sorted(given), allowed=known)
        if not isinstance(given[key], str):
            raise InvalidInput(f"recipe.{key} must be text", came=given[key])
    if not _NAME.fullmatch(given["name"]):
        raise InvalidInput("recipe.name is not a model's name", came=given["name"], allowed=_NAME.pattern)
    for key in ("data", "base"):
        if not _REFERENCE.fullmatch(given[key]):
            raise InvalidInput(
                f"recipe.{key} names no version", came=given[key], allowed="name, name:3, name@alias"
            )


def _check_method(training: FinetuneTraining, given: Mapping[str, Any]) -> None:
    """What LoRA alone has must not look as if it did something."""
    of_lora = ("rank", "alpha", "dropout", "target_modules", "merge")
    if training.method == "full" and (named := [key for key in of_lora if key in given]):
        whole = {key: getattr(FinetuneTraining(), key) for key in of_lora}
        if any(getattr(training, key) != whole[key] for key in named):
            raise InvalidInput(
                f"recipe.training.{named[0]} is LoRA's", came="method: full", allowed="method: lora"
            )
    if training.target_modules == ():
        raise InvalidInput("recipe.training.target_modules is empty", allowed="null, or names of layers")
