"""From a model's own tensors to a task: what callers send, how it becomes the model's input, what its answers
mean."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType

from modelyard import tasks
from modelyard.conversion import pixels
from modelyard.conversion.contract import Answers, Job, Subject
from modelyard.errors import InvalidInput
from modelyard.packages.golden import Array
from modelyard.types.dataset import Schema
from modelyard.types.package import Adapter, InputAdapter, OutputAdapter
from modelyard.types.tensor import Signature, TensorSpec

IMAGES: Final = "image-classification"
CLASSES: Final = "tabular-classification"
NUMBERS: Final = "tabular-regression"
TENSORS: Final = "tensors"
_TEXTS: Final = ("text-classification", "feature-extraction")


@dataclass(frozen=True, kw_only=True)
class Adapted:
    """What the manifest says of a task. See `types.package.Manifest`."""

    task: str
    signature: Signature
    preprocessing: dict[str, Any]
    labels: tuple[str, ...] = ()
    adapter: Adapter | UnsetType = UNSET
    notes: tuple[str, ...] = ()


def adapt(subject: Subject, job: Job) -> Adapted:
    """Raises InvalidInput where the model cannot do the task, or where something has to be said that cannot be
    seen."""
    task, why = _task(subject, job)
    tasks.load(task)
    if task not in _ADAPTERS:
        raise InvalidInput("no model can be brought for this task yet", came=task, allowed=sorted(_ADAPTERS))
    adapted = _ADAPTERS[task](subject, job, task)
    return adapted if not why else _noted(adapted, f"task {task}: {why}")


def _noted(adapted: Adapted, note: str) -> Adapted:
    return Adapted(**{**adapted.__dict__, "notes": (note, *adapted.notes)})


def _task(subject: Subject, job: Job) -> tuple[str, str]:
    """The task, and why where nobody said it."""
    if job.options.task is not None:
        return job.options.task, ""
    if subject.task is not None:
        return subject.task, "the model's own"
    inferred = _task_of(job.origin.schema, subject)
    if inferred is not None:
        return inferred, "inferred from the data set"
    return TENSORS, "nothing says what the model is for; callers send and get its own tensors"


def _task_of(schema: Schema | None, subject: Subject) -> str | None:
    label = schema.column(schema.label) if schema is not None and schema.label is not None else None
    if schema is None or label is None or len(_free(subject.tensors.inputs)) > 0:
        return None
    if any(c.kind == "image" for c in schema.columns):
        return IMAGES if len(subject.tensors.inputs) == 1 else None
    if any(c.kind in ("text", "audio") for c in schema.columns) or not _is_table(subject):
        return None
    return CLASSES if label.kind in ("category", "boolean", "integer") else NUMBERS


def _free(inputs: Sequence[TensorSpec]) -> list[TensorSpec]:
    return [t for t in inputs if -1 in t.shape[1:]]


def _is_table(subject: Subject) -> bool:
    return bool(subject.columns) or (
        len(subject.tensors.inputs) == 1 and len(subject.tensors.inputs[0].shape) == 2
    )


def _tensors(subject: Subject, job: Job, task: str) -> Adapted:
    preprocessing: dict[str, Any] = msgspec.to_builtins(subject.tensors)
    return Adapted(
        task=task, signature=subject.tensors, preprocessing=preprocessing, labels=job.options.labels
    )


def _images(subject: Subject, job: Job, task: str) -> Adapted:
    found = pixels.find(subject, job)
    preprocessing = {"column": "image", "mode": found.mode, "size": list(found.size)}
    feed = InputAdapter(
        name=subject.tensors.inputs[0].name,
        sources=("image",),
        layout=found.layout,
        mean=found.mean,
        std=found.std,
    )
    return _classifier(subject, job, task, preprocessing, (feed,), found.notes)


def _table(subject: Subject, job: Job, task: str) -> Adapted:
    columns = _columns(subject, job)
    preprocessing = _untouched(columns, job.origin.schema)
    inputs = subject.tensors.inputs
    feeds: tuple[InputAdapter, ...]
    if len(inputs) == 1 and inputs[0].shape[-1] == len(columns) and not subject.kinds:
        feeds = (InputAdapter(name=inputs[0].name, sources=tuple(columns), layout="columns"),)
    else:
        feeds = tuple(
            InputAdapter(name=t.name, sources=(name,), layout="column")
            for t, name in zip(inputs, columns, strict=True)
        )
    if task == CLASSES:
        return _classifier(subject, job, task, preprocessing, feeds, ())
    output = _only_output(subject, task)
    if _width(_golden_output(subject)) != 1:
        raise InvalidInput(f"{task} needs a model that answers one number a row", came=list(output.shape))
    answer = OutputAdapter(name="prediction", source=output.name, activation="flat")
    return Adapted(
        task=task,
        signature=tasks.load(task).signature(preprocessing, ()),
        preprocessing=preprocessing,
        adapter=Adapter(inputs=feeds, outputs=(answer,)),
    )


def _columns(subject: Subject, job: Job) -> dict[str, str]:
    """Column -> kind, in the order of the model's features. Raises InvalidInput."""
    if subject.columns:
        return dict(zip(subject.columns, subject.kinds or ("number",) * len(subject.columns), strict=True))
    inputs = subject.tensors.inputs
    if len(inputs) != 1 or len(inputs[0].shape) != 2:
        raise InvalidInput(
            "a table needs a model of one input [rows, features]",
            came=[list(t.shape) for t in inputs],
            allowed="task='tensors' for other shapes",
        )
    width = inputs[0].shape[1]
    names = job.options.columns or _feature_names(job.origin.schema)
    if job.options.columns and len(names) != width:
        raise InvalidInput("columns are not as many as the model's features", came=len(names), allowed=width)
    if len(names) != width:
        names = tuple(f"x{k}" for k in range(width))
    return dict.fromkeys(names, "number")


def _feature_names(schema: Schema | None) -> tuple[str, ...]:
    if schema is None:
        return ()
    return tuple(c.name for c in schema.columns if c.name != schema.label)


def _untouched(columns: dict[str, str], schema: Schema | None) -> dict[str, Any]:
    """A table's preprocessing that decodes and changes nothing: the model has its own."""
    numbers = [name for name, kind in columns.items() if kind != "category"]
    count = len(numbers)
    known = [c.name for c in schema.columns] if schema is not None else []
    return {
        "columns": [{"name": name, "kind": kind} for name, kind in columns.items()],
        "unused": [name for name in known if name not in columns],
        "numbers": {
            "names": numbers,
            "fill": [0.0] * count,
            "center": [0.0] * count,
            "scale": [1.0] * count,
            "indicator": [False] * count,
        },
        "timestamps": {"names": [], "center": [], "scale": []},
        "categories": [
            {"name": name, "values": [], "missing": False}
            for name, kind in columns.items()
            if kind == "category"
        ],
    }


def _texts(subject: Subject, job: Job, task: str) -> Adapted:
    """The framework's file has brought the tokenizer and named the tensors as the task does; what is left is what
    the classes are called."""
    if subject.task != task:
        raise InvalidInput(
            f"this model cannot do {task}",
            came=subject.task or "a model without a tokenizer",
            allowed="a Hugging Face model with its tokenizer: log_model(model, tokenizer=tokenizer)",
        )
    labels: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    if task == "text-classification":
        labels, said = _labels(subject, job, _width(_golden_output(subject)))
    return Adapted(
        task=task,
        signature=tasks.load(task).signature(subject.preprocessing, labels),
        preprocessing=subject.preprocessing,
        labels=labels,
        notes=said,
    )


def _classifier(subject: Subject, job: Job, task: str, preprocessing: dict[str, Any],
                feeds: tuple[InputAdapter, ...], notes: tuple[str, ...]) -> Adapted:  # fmt: skip
    output = _only_output(subject, task)
    kind = answers_of(subject, job)
    width = _width(_golden_output(subject)) if kind != "label" else len(subject.classes)
    count = 2 if kind in ("probability", "logit") else width
    if count < 2:
        raise InvalidInput(f"{task} needs a model that answers for 2 or more classes", came=count)
    labels, said = _labels(subject, job, count)
    answer = OutputAdapter(
        name="probabilities",
        source=output.name,
        activation=_ACTIVATIONS[kind],
        classes=subject.classes if kind == "label" else (),
    )
    if kind == "label":
        said += ("the model gives no probabilities: the class that it predicts has score 1",)
    return Adapted(
        task=task,
        signature=tasks.load(task).signature(preprocessing, labels),
        preprocessing=preprocessing,
        labels=labels,
        adapter=Adapter(inputs=feeds, outputs=(answer,)),
        notes=(*notes, *said),
    )


_ACTIVATIONS: Final[dict[Answers, Any]] = {
    "probabilities": "none",
    "logits": "softmax",
    "probability": "binary",
    "logit": "sigmoid",
    "label": "label",
}


def answers_of(subject: Subject, job: Job) -> Answers:
    """What the model's output is: as said, as its framework knows, or as its golden answers look."""
    said: Answers = job.options.answers or subject.answers
    if said in ("value", "unknown"):
        said = _looks(_golden_output(subject))
    return said


def _looks(answers: Array) -> Answers:
    inside = bool(((answers >= 0) & (answers <= 1)).all())
    if _width(answers) == 1:
        return "probability" if inside else "logit"
    sums = answers.reshape(len(answers), -1).sum(axis=1)
    return "probabilities" if inside and bool(np.allclose(sums, 1, atol=1e-3)) else "logits"


def _labels(subject: Subject, job: Job, count: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Labels of the model's answers, in order, and what has to be said of them."""
    given = job.options.labels
    if given:
        if len(given) != count or len(set(given)) != count:
            raise InvalidInput(
                "labels are not as many as the model's classes", came=len(given), allowed=count
            )
        return given, ()
    names = job.origin.class_names
    if subject.classes:
        return tuple(_named(c, names) for c in subject.classes), ()
    if len(names) == count:
        return names, ()
    return tuple(map(str, range(count))), ("nobody named the classes: they are called by their numbers",)


def _named(value: str, names: tuple[str, ...]) -> str:
    """A class as the data set calls it: `arrays()` gives classes as their numbers."""
    if value in names or not value.isdigit() or int(value) >= len(names):
        return value
    return names[int(value)]


def _only_output(subject: Subject, task: str) -> TensorSpec:
    if len(subject.tensors.outputs) != 1:
        raise InvalidInput(
            f"{task} needs a model of one output",
            came=[t.name for t in subject.tensors.outputs],
            allowed="task='tensors' for more",
        )
    return subject.tensors.outputs[0]


def _golden_output(subject: Subject) -> Array:
    return next(iter(subject.golden[0][1].values()))


def _width(answers: Array) -> int:
    return 1 if answers.ndim == 1 else int(np.prod(answers.shape[1:]))


_ADAPTERS: Final[dict[str, Callable[[Subject, Job, str], Adapted]]] = {
    TENSORS: _tensors,
    IMAGES: _images,
    CLASSES: _table,
    NUMBERS: _table,
    **dict.fromkeys(_TEXTS, _texts),
}
