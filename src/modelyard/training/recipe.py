"""The recipe: task, data, net, training and evaluation in one place. Checked without any training
framework."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec

from modelyard import nets, tasks
from modelyard.errors import InvalidInput, UnknownName
from modelyard.tasks import several
from modelyard.tasks.options import resolve
from modelyard.training import augment
from modelyard.training.class_weights import ClassWeights
from modelyard.training.early_stop import EarlyStopping
from modelyard.training.pruning import Pruning
from modelyard.training.recipe_text import read_yaml
from modelyard.training.schedules import Constant, Schedule
from modelyard.types.dataset import Schema

Seed = Annotated[int, msgspec.Meta(ge=0, lt=2**32)]
Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "float32", "bfloat16"]
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_REFERENCE: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}(:[a-z0-9]{1,64}|@[a-z0-9][a-z0-9._-]{0,62})?")
_REQUIRED: Final = ("task", "name", "data")


class NetChoice(msgspec.Struct, frozen=True, kw_only=True):
    """A net and its whole configuration (JSON values)."""

    name: str
    config: dict[str, Any] = {}


class GradientTraining(msgspec.Struct, frozen=True, kw_only=True):
    """`training` of nets that are trained in epochs.

    schedule         see schedules.py; its name alone will do
    accumulation     batches whose gradients make one step together
    epochs           None: as many as 3,000 steps need, but 7 to 60
    stop_at_loss     end when an epoch's training loss is at most this
    weight_decay     for adamw decoupled (Loshchilov and Hutter 2019), else an L2 penalty
    clip_norm        the largest norm of the gradient of a step; None: no limit
    label_smoothing  the share of a label that is spread over all classes
    class_weights    what an error on a class counts: "balanced", or label -> weight
    ema              decay of the weights' exponential moving average, which is then what is measured and kept
    augmentation     see augment/; changes of the training rows, drawn anew in each epoch
    pruning          see pruning.py
    precision        of products while training; "auto": bfloat16 on CUDA, else float32
    device           "auto": CUDA where there is one
    """

    optimizer: Literal["sgd", "adam", "adamw"] = "adamw"
    learning_rate: Annotated[float, msgspec.Meta(gt=0, le=100)] = 0.001
    momentum: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.9
    beta1: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.9
    schedule: Schedule = Constant()
    batch_size: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 64
    accumulation: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1
    epochs: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None = None
    early_stopping: EarlyStopping | None = None
    stop_at_loss: Annotated[float, msgspec.Meta(ge=0)] | None = None
    weight_decay: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    clip_norm: Annotated[float, msgspec.Meta(gt=0)] | None = None
    label_smoothing: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0
    class_weights: ClassWeights | None = None
    ema: Annotated[float, msgspec.Meta(gt=0, lt=1)] | None = None
    augmentation: augment.Augmentation | None = None
    pruning: Pruning | None = None
    precision: Precision = "auto"
    device: Device = "auto"
    seed: Seed = 0


class EstimatorTraining(msgspec.Struct, frozen=True, kw_only=True):
    """`training` of estimators that are fitted in one go."""

    seed: Seed = 0


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """Which split is measured, and the bootstrap's resamples and confidence."""

    split: Literal["train", "validation", "test"] = "test"
    bootstrap: Annotated[int, msgspec.Meta(ge=10, le=100_000)] = 1000
    confidence: Annotated[float, msgspec.Meta(ge=0.5, lt=1)] = 0.95


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """A recipe with every default filled in.

    name           the model that a new version is added to
    data           a data set, as "digits", "digits:3" or "digits:sha256-prefix"
    target         the column to predict, or several; None: the data set's label
    preprocessing  the task's options, whole
    """

    task: str
    name: str
    data: str
    target: str | tuple[str, ...] | None = None
    net: NetChoice
    preprocessing: dict[str, Any]
    training: GradientTraining | EstimatorTraining
    evaluation: Evaluation = Evaluation()

    def to_dict(self) -> dict[str, Any]:
        """JSON values; `parse_recipe` of it is this recipe again."""
        whole: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self))
        whole["net"] = {"name": self.net.name, **self.net.config}
        return whole


TRAINING: Final[dict[str, type[GradientTraining] | type[EstimatorTraining]]] = {
    "pytorch": GradientTraining,
    "closed-form": EstimatorTraining,
    "sklearn": EstimatorTraining,
}
"""Framework -> what `training` may say."""


def parse_recipe(source: str | Mapping[str, Any]) -> Recipe:
    """A recipe from YAML text or a mapping, its gaps filled from the task's defaults.

    Raises UnknownName for a key, task, net or schedule that is not known, with the place and the nearest
    known one, and InvalidInput for wrong types and ranges, or a net that does not take the task.
    """
    given = dict(read_yaml(source) if isinstance(source, str) else source)
    _check_sections(given)
    task = tasks.load(given["task"])
    if not task.default_net:
        raise InvalidInput(
            f"no net is trained for the task {task.name!r}: its models are brought",
            allowed="yard run SCRIPT.py, yard models import; for text-generation also a recipe with a base",
        )
    chosen = _named(given.get("net") or task.default_net, "recipe.net")
    net = nets.load_for(chosen["name"], task.name)
    config = {k: v for k, v in chosen.items() if k != "name"}
    defaults = task.default_recipe(net.name)
    sections = {
        s: {**defaults.get(s, {}), **_section(given, s)} for s in ("preprocessing", "training", "evaluation")
    }
    if "schedule" in sections["training"]:
        sections["training"]["schedule"] = _named(
            sections["training"]["schedule"], "recipe.training.schedule"
        )
    if sections["training"].get("augmentation") is not None:
        sections["training"]["augmentation"] = augment.named(
            sections["training"]["augmentation"], task.augmentation, "recipe.training.augmentation"
        )
    training = TRAINING[net.framework]
    _check_training_keys(training, _section(given, "training"), net.name)
    return Recipe(
        task=task.name,
        name=given["name"],
        data=given["data"],
        target=_target(given.get("target"), task),
        net=NetChoice(name=net.name, config=_whole(net.config, config, "recipe.net")),
        preprocessing=_whole(task.options, sections["preprocessing"], "recipe.preprocessing"),
        training=resolve(training, sections["training"], "recipe.training"),
        evaluation=resolve(Evaluation, sections["evaluation"], "recipe.evaluation"),
    )


def columns_of(recipe: Recipe, schema: Schema) -> tuple[list[str], str | tuple[str, ...]]:
    """Names of the feature columns and of the target, or targets, that the recipe means in data of this schema; ""
    where a task needs none and there is none.

    Raises InvalidInput where there is no target or the columns do not fit the task.
    """
    task = tasks.load(recipe.task)
    if isinstance(recipe.target, tuple):
        every = [task.check(schema, name) for name in recipe.target]
        names = [name for name in every[0] if name not in recipe.target]
        if not names:
            raise InvalidInput("no feature column is left besides the targets", came=list(recipe.target))
        return names, recipe.target
    target = recipe.target or schema.label
    if task.target_kind == "none":
        return task.check(schema, target or ""), target or ""
    if target is None:
        there = [f"{column.name} ({column.kind})" for column in schema.columns]
        raise InvalidInput("the data set has no label; recipe.target must name a column", allowed=there)
    return task.check(schema, target), target


def _check_sections(given: Mapping[str, Any]) -> None:
    for key in given:
        if key not in Recipe.__struct_fields__:
            raise UnknownName("key", str(key), Recipe.__struct_fields__, where="recipe")
    for key in _REQUIRED:
        if given.get(key) is None:
            raise InvalidInput(
                f"recipe.{key} is missing", came=sorted(given), allowed=Recipe.__struct_fields__
            )
    for key in _REQUIRED:
        if not isinstance(given.get(key), str | None):
            raise InvalidInput(f"recipe.{key} must be text", came=given[key])
    if not _NAME.fullmatch(given["name"]):
        raise InvalidInput("recipe.name is not a model's name", came=given["name"], allowed=_NAME.pattern)
    if not _REFERENCE.fullmatch(given["data"]):
        raise InvalidInput(
            "recipe.data is not a data set", came=given["data"], allowed="name, name:3, name@alias"
        )


def _target(given: object, task: tasks.Task) -> str | tuple[str, ...] | None:
    """A column's name, or several where the task takes them."""
    if given is None or isinstance(given, str):
        return given
    if not isinstance(given, list | tuple) or not all(isinstance(name, str) for name in given):
        raise InvalidInput("recipe.target must be text, or a list of it", came=given)
    if len(given) == 1:
        return str(given[0])
    if not getattr(task, "takes_several_targets", False):
        raise InvalidInput(f"{task.name} predicts one column", came=list(given), allowed="one recipe.target")
    several.check(given)
    return tuple(given)


def _named(value: object, where: str) -> dict[str, Any]:
    """A name alone, or a mapping with `name` and more."""
    if isinstance(value, str):
        return {"name": value}
    if isinstance(value, Mapping) and isinstance(value.get("name"), str):
        return dict(value)
    raise InvalidInput(f"{where} needs a name", came=value, allowed='"name", or {name: ..., ...}')


def _section(given: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = given.get(name)
    if value is not None and not isinstance(value, Mapping):
        raise InvalidInput(f"recipe.{name} must be a mapping", came=value)
    return dict(value or {})


def _check_training_keys(struct: type[Any], given: Mapping[str, Any], net: str) -> None:
    """A key that other nets have deserves a better answer than "unknown"."""
    for key in given:
        if key not in struct.__struct_fields__ and key in GradientTraining.__struct_fields__:
            what = f"recipe.training.{key} does not apply: net {net!r} is fitted in one go"
            raise InvalidInput(what, came=given[key], allowed=struct.__struct_fields__)


def _whole(struct: type[msgspec.Struct], given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Options with every default, as JSON values."""
    whole: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(resolve(struct, given, where)))
    return whole
