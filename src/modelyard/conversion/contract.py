"""What a framework makes of a model, and what its owner says of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import msgspec
from msgspec import Struct

from modelyard.packages.golden import Array, GoldenSet
from modelyard.types.dataset import Schema
from modelyard.types.package import Lineage, NetRef
from modelyard.types.tensor import Signature

Answers = Literal["probabilities", "logits", "probability", "logit", "label", "value", "unknown"]
"""What a model's output is. "probability" and "logit" are of one column: a binary classifier's positive class."""


class Options(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the owner says; what is None is inferred, and the package's notes say what from.

    task       a task's name; inferred from the data set that the model was made with, else "tensors"
    labels     the classes, in the order of the model's answers
    scale      images: pixels 0..255 are divided by it before the model sees them (255 for a model of 0..1)
    mean, std  images: subtracted from pixels 0..255 and divided by, one value or one a channel
    layout     images: how the model takes them, where its shape does not say
    columns    tables: names of the columns that a matrix is made of, in order
    answers    what the model's output is, where its values do not say
    free_axes  PyTorch: input -> axes besides the first one that may have any length
    engine     language models: what serves them; "auto" measures on this machine
    launch     of vllm: the keys of its vllm.json, as tensor_parallel
    """

    task: str | None = None
    labels: tuple[str, ...] = ()
    scale: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    layout: Literal["NHWC", "NCHW", "NHW", "flat"] | None = None
    columns: tuple[str, ...] = ()
    answers: Answers | None = None
    free_axes: dict[str, tuple[Annotated[int, msgspec.Meta(ge=1)], ...]] = {}
    engine: Literal["auto", "llama_cpp", "openvino", "transformers", "vllm"] = "auto"
    launch: dict[str, Any] = {}
    licence: str = "unspecified"


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What is known of the data that a model was made with, where it is.

    rows     the first rows of the data set's test split as `arrays()` gave them, to recognise an example by
    targets  of these rows, as `arrays()` gave them
    """

    schema: Schema | None = None
    class_names: tuple[str, ...] = ()
    rows: Array | None = None
    targets: Array | None = None


@dataclass(frozen=True, kw_only=True)
class Job:
    """`example` is a batch in the framework's own terms: arrays, tensors, a table, a dict or tuple of them.
    `work` is an empty folder for what is made on the way."""

    options: Options
    example: Any
    origin: Origin
    work: Path


Save = Callable[[Path], str]
"""Writes the model into a folder; the name of its entry file there. Raises whatever its library does."""


@dataclass(frozen=True, kw_only=True)
class Form:
    """One way to write the model. `format` is a key of `engines.ENGINES`. `tensors` and `golden` stand in the place
    of the subject's where this form takes other dtypes."""

    format: str
    save: Save
    tensors: Signature | None = None
    golden: Sequence[GoldenSet] | None = None


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A model as its framework's file sees it.

    tensors    the engine's, of every form
    golden     inputs with the framework's own answers, a set for each length
    forms      in the order of preference; the first that answers as the framework does is kept
    classes    what the model itself calls its classes, as text (scikit-learn)
    columns    what the model itself calls its columns (a table's), in order; `kinds` as a schema's
    answers    what the first output is, where the framework knows
    libraries  distributions whose versions the package states
    """

    tensors: Signature
    golden: Sequence[GoldenSet]
    forms: Sequence[Form]
    net: NetRef
    classes: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    answers: Answers = "unknown"
    task: str | None = None
    preprocessing: dict[str, Any] = field(default_factory=dict)
    libraries: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A model whose files are kept as they came: an engine opens them themselves, or none does, and `refusal` says
    why it cannot be deployed and what can.

    signature  what callers would send and get, as far as it is known
    form       how its files come into the package, and what they are
    preprocessing   of a model that generates (see packages/generators.py)
    """

    task: str
    signature: Signature
    form: Form
    refusal: str | None
    net: NetRef
    labels: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    preprocessing: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Framework(Protocol):
    """A module of conversion/: one file a framework."""

    def subject(self, model: Any, job: Job) -> Subject | Stored:
        """Raises InvalidInput where the model or the example cannot be used, MissingExtra."""
        ...


class Loader(Protocol):
    """A module of conversion/ that also reads files: `load(path) -> model` for `subject`."""

    def load(self, path: Path) -> Any:
        """Raises InvalidInput, NotAllowedFormat, MissingExtra."""
        ...


@dataclass(frozen=True, kw_only=True)
class Context:
    """Who asks for a package, and what for. `say` is given what the owner should read, a line at a time. `keep`:
    whether a model that no engine runs becomes a package too; who keeps the files himself wants no copy of them."""

    keep: bool = True
    lineage: Lineage = field(default_factory=Lineage)
    requirements: str | None = None
    say: Callable[[str], None] = print
