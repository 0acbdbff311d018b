"""What a request for a run means: its parameters checked, its references resolved, what its outputs become.

One function a kind, one line in `_PLANNERS`. Kinds are loaded when they are asked for.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from modelyard.control.services.models import check_task
from modelyard.control.services.names import check_name, read_reference
from modelyard.control.services.references import (
    find_model,
    get_dataset,
    get_dataset_version,
    get_model,
    get_model_version,
)
from modelyard.control.services.uploads import get_upload
from modelyard.errors import InvalidInput, NotFound, UnknownName
from modelyard.runs import KINDS, batch_lines, read_params
from modelyard.store.openai import ApiFile
from modelyard.store.registry import Model, ModelVersion
from modelyard.store.work import Dataset, DatasetVersion
from modelyard.types.dataset import DatasetManifest
from modelyard.types.package import Manifest
from modelyard.types.run import BATCH

SOURCES = "sources"
_LARGEST_SOURCES = 1000


@dataclass(frozen=True, kw_only=True)
class Input:
    """A version at inputs/NAME/, or (kind "upload") a file at inputs/sources/NAME."""

    name: str
    kind: str
    version_id: str
    reference: str
    digest: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`params` is what the run's process is told; `publish` is of store.work.Run. `kind` is the one that does the
    work, where it is not the one that was asked for."""

    kind: str | None = None
    params: dict[str, Any]
    inputs: list[Input] = field(default_factory=list)
    publish: dict[str, str] = field(default_factory=dict)


def plan(session: Session, tenant: str, kind: str, params: Mapping[str, Any]) -> Plan:
    """Raises UnknownName, InvalidInput, NotFound and Conflict, before anything is queued."""
    if kind not in _PLANNERS:
        raise UnknownName("run kind", kind, KINDS)
    return _PLANNERS[kind](session, tenant, params)


def plan_dataset(session: Session, tenant: str, name: str, uploads: list[str],
                 options: Mapping[str, Any]) -> Plan:  # fmt: skip
    """A `prepare` run over uploads, or over the built-in name in `options`."""
    check_name("data set", name)
    if bool(uploads) == (options.get("builtin") is not None):
        raise InvalidInput("a data set is made of uploads or of a built-in name", allowed="one of them")
    if len(uploads) > _LARGEST_SOURCES:
        raise InvalidInput(
            "too many uploads", came=len(uploads), allowed=f"{_LARGEST_SOURCES}; pack them in a zip"
        )
    inputs = [_source(session, tenant, upload) for upload in uploads]
    names = [i.name for i in inputs]
    if len(set(names)) != len(names):
        raise InvalidInput("two uploads have the same file name", came=sorted(names))
    return plan_files(name, inputs, options)


def plan_files(name: str, inputs: list[Input], options: Mapping[str, Any]) -> Plan:
    """A `prepare` run over files of different names (services/sources.py). Raises what `read_options` does."""
    from modelyard.datasets import read_options

    read_options(options)
    params = {"name": name, "sources": [i.name for i in inputs], "options": dict(options)}
    return Plan(params=_checked("prepare", params), inputs=inputs, publish={"dataset": name})


def plan_import(
    session: Session, tenant: str, name: str, inputs: list[Input], options: Mapping[str, Any]
) -> Plan:
    """An `import` run over uploads and artifacts (`inputs`, see services/sources.py), or over a model of the hub.

    `options` are the kind's parameters `hub`, `revision` and `format`, and those of `conversion.Options`.
    """
    check_name("model", name)
    if bool(inputs) == (options.get("hub") is not None):
        raise InvalidInput("a model is made of files or of a name on the hub", allowed="one of them")
    names = [i.name for i in inputs]
    if len(set(names)) != len(names) or len(names) > _LARGEST_SOURCES:
        raise InvalidInput("two files have the same name, or there are too many", came=sorted(names)[:10])
    known = ("hub", "revision", "format")
    own = {key: options[key] for key in known if options.get(key) is not None}
    rest = {key: value for key, value in options.items() if key not in known and value is not None}
    digests = {i.name: i.digest for i in inputs}
    given = {"name": name, "sources": names, "digests": digests, "options": rest, **own}
    check_task_of(session, tenant, name, rest)
    return Plan(params=_checked("import", given), inputs=inputs, publish={"model": name})


def check_task_of(session: Session, tenant: str, name: str, options: Mapping[str, Any]) -> None:
    """Raises Conflict where the model is there for another task than the one that is said."""
    if isinstance(task := options.get("task"), str):
        check_task(find_model(session, tenant, name), task)


def _plan_import(session: Session, tenant: str, params: Mapping[str, Any]) -> Plan:
    raise InvalidInput(
        "models are imported at their own address", came="import", allowed="POST /api/v1/models/imports"
    )


def plan_batch(file: ApiFile, endpoint: str, expires_at: float) -> Plan:
    """A `batch` run over a file that a caller keeps; the run keeps its bytes too."""
    given = {"endpoint": endpoint, "expires_at": expires_at}
    source = Input(
        name=batch_lines.INPUT, kind="artifact", version_id=file.id, reference=file.id, digest=file.sha256
    )
    return Plan(params=_checked(BATCH, given), inputs=[source])


def _plan_batch(session: Session, tenant: str, params: Mapping[str, Any]) -> Plan:
    raise InvalidInput("batches are made at their own address", came=BATCH, allowed="POST /v1/batches")


def _plan_prepare(session: Session, tenant: str, params: Mapping[str, Any]) -> Plan:
    raise InvalidInput(
        "data sets are made at their own address", came="prepare", allowed="POST /api/v1/datasets"
    )


def _plan_train(session: Session, tenant: str, params: Mapping[str, Any]) -> Plan:
    """`params` is the recipe. One with a base is for another kind to follow."""
    from modelyard.training.finetune_recipe import is_finetune
    from modelyard.training.recipe import columns_of, parse_recipe

    if is_finetune(params):
        return _plan_finetune(session, tenant, params)
    recipe = parse_recipe(params)
    check_task(find_model(session, tenant, recipe.name), recipe.task)
    row, version = _find_dataset(session, tenant, recipe.data)
    columns_of(recipe, msgspec.convert(version.manifest, DatasetManifest).schema)
    dataset = _input_of(row, version)
    given = {"recipe": recipe.to_dict(), "dataset": dataset.reference}
    return Plan(params=_checked("train", given), inputs=[dataset], publish={"model": recipe.name})


def _plan_finetune(session: Session, tenant: str, params: Mapping[str, Any]) -> Plan:
    """`params` is the recipe. Its run has two inputs: `dataset` and `base`, a version's package."""
    from modelyard.tasks.text_generation import columns_of
    from modelyard.training.finetune_base import check_base
    from modelyard.training.finetune_recipe import parse_finetune

    recipe = parse_finetune(params)
    check_task(find_model(session, tenant, recipe.name), recipe.task)
    row, data = _find_dataset(session, tenant, recipe.data)
    columns_of(msgspec.convert(data.manifest, DatasetManifest).schema, recipe.preprocessing)
    base = _package_input(session, tenant, recipe.base, "base")
    version = session.get_one(ModelVersion, base.version_id)
    check_base(msgspec.convert(version.manifest, Manifest), recipe.base)
    dataset = _input_of(row, data)
    given = {"recipe": recipe.to_dict(), "dataset": dataset.reference, "base": base.reference}
    return Plan(
        kind="finetune",
        params=_checked("finetune", given),
        inputs=[dataset, base],
        publish={"model": recipe.name},
    )


def _plan_evaluate(session: Session, tenant: str, params: Mapping[str, Any]) -> Plan:
    """`params`: model, a reference; data, a reference, by default what the model was trained with; split;
    seed."""
    known = ("model", "data", "split", "seed")
    for key in params:
        if key not in known:
            raise UnknownName("key", key, known, where="params")
    package = _package_input(session, tenant, _text(params, "model"), "package")
    if params.get("data") is None:
        dataset = _trained_with(session, tenant, session.get_one(ModelVersion, package.version_id))
    else:
        dataset = _dataset_input(session, tenant, _text(params, "data"))
    rest = {key: value for key, value in params.items() if key in ("split", "seed")}
    given = {"model": package.reference, "dataset": dataset.reference, **rest}
    return Plan(
        params=_checked("evaluate", given), inputs=[package, dataset], publish={"version": package.version_id}
    )


def _plan_script(session: Session, tenant: str, params: Mapping[str, Any]) -> Plan:
    """`params`: those of the kind, with `data` as a list of references and `uploads`, ids of the script's files."""
    given = dict(params)
    uploads, references = _texts(given, "uploads"), _texts(given, "data")
    if not uploads:
        raise InvalidInput("a script is needed", allowed="params.uploads, ids of uploaded files")
    sources = [_source(session, tenant, upload) for upload in uploads]
    names = [i.name for i in sources]
    if len(set(names)) != len(names):
        raise InvalidInput("two files of the script have the same name", came=sorted(names))
    script = given.setdefault("script", names[0])
    if script not in names:
        raise InvalidInput("the script is not among its files", came=script, allowed=names)
    found = [_find_dataset(session, tenant, reference) for reference in references]
    given["data"] = {dataset.name: f"{dataset.name}:{version.number}" for dataset, version in found}
    if len(given["data"]) != len(found):
        raise InvalidInput("a data set is named twice", came=references)
    checked = _checked("script", given)
    if checked["requirements"]:
        from modelyard.environments import check

        check(checked["requirements"])
    inputs = [dataclasses.replace(_input_of(*pair), name=f"data.{pair[0].name}") for pair in found]
    return Plan(params=checked, inputs=[*sources, *inputs])


_PLANNERS: dict[str, Callable[[Session, str, Mapping[str, Any]], Plan]] = {
    "prepare": _plan_prepare,
    "train": _plan_train,
    "finetune": _plan_finetune,
    "evaluate": _plan_evaluate,
    "script": _plan_script,
    "import": _plan_import,
    BATCH: _plan_batch,
}


def _checked(kind: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """The kind's parameters with every default, as JSON values."""
    whole: dict[str, Any] = msgspec.to_builtins(read_params(kind, params))
    return whole


def _text(params: Mapping[str, Any], key: str) -> str:
    value = params.get(key)
    if not isinstance(value, str):
        raise InvalidInput(f"params.{key} must be text", came=value, allowed="name, name:3, name@alias")
    return value


def _texts(params: dict[str, Any], key: str) -> list[str]:
    """A list of texts, taken out of `params`."""
    value = params.pop(key, [])
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise InvalidInput(f"params.{key} must be a list of texts", came=value)
    return value


def upload_input(session: Session, tenant: str, upload_id: str) -> Input:
    """An upload as a run's source. Raises NotFound."""
    return _source(session, tenant, upload_id)


def _source(session: Session, tenant: str, upload_id: str) -> Input:
    upload = get_upload(session, tenant, upload_id)
    return Input(
        name=upload.filename, kind="upload", version_id=upload.id, reference=upload.id, digest=upload.sha256
    )


def _dataset_input(session: Session, tenant: str, reference: str) -> Input:
    return _input_of(*_find_dataset(session, tenant, reference))


def _find_dataset(session: Session, tenant: str, reference: str) -> tuple[Dataset, DatasetVersion]:
    name, selector = read_reference(reference)
    dataset = get_dataset(session, tenant, name)
    return dataset, get_dataset_version(session, dataset, selector)


def _input_of(dataset: Dataset, version: DatasetVersion) -> Input:
    return Input(
        name="dataset",
        kind="dataset",
        version_id=version.id,
        reference=f"{dataset.name}:{version.number}",
        digest=version.digest,
    )


def _find_version(session: Session, tenant: str, reference: str) -> tuple[Model, ModelVersion]:
    name, selector = read_reference(reference)
    model = get_model(session, tenant, name)
    return model, get_model_version(session, model, selector)


def _package_input(session: Session, tenant: str, reference: str, name: str) -> Input:
    model, version = _find_version(session, tenant, reference)
    return Input(
        name=name,
        kind="model",
        version_id=version.id,
        reference=f"{model.name}:{version.number}",
        digest=version.digest,
    )


def _trained_with(session: Session, tenant: str, version: ModelVersion) -> Input:
    query = select(Dataset, DatasetVersion).join(DatasetVersion, DatasetVersion.dataset_id == Dataset.id)
    mine = DatasetVersion.tenant == tenant, DatasetVersion.digest == version.dataset_digest
    row = session.execute(query.where(*mine).order_by(DatasetVersion.id).limit(1)).first()
    if row is None:
        raise NotFound("what this version was trained with is gone; name the data to evaluate it on")
    return _input_of(row[0], row[1])
