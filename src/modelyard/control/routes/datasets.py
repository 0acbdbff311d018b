"""Data sets and their versions."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse
from pydantic import Field

from modelyard.control.routes import files
from modelyard.control.routes.request import Body, Here, IdempotencyKey, Paging, Tenant, once
from modelyard.control.services import datasets, runs, samples
from modelyard.control.services.datasets import DatasetVersionView, DatasetView
from modelyard.control.services.pages import Page
from modelyard.control.services.runs import RunView
from modelyard.control.services.samples import SampleView
from modelyard.errors import InvalidInput

router = APIRouter(prefix="/api/v1/datasets", tags=["datasets"])


class NewDataset(Body):
    """Of `uploads`, or of the data set that is `builtin`."""

    name: str
    builtin: str | None = None
    uploads: list[str] = Field(default_factory=list)
    options: dict[str, Any] = Field(default_factory=dict)


@router.get("")
def index(platform: Here, tenant: Tenant, page: Paging) -> Page[DatasetView]:
    return datasets.list_datasets(platform, tenant, page)


@router.post("", status_code=202)
def create(request: Request, platform: Here, tenant: Tenant, body: NewDataset,
           idempotency_key: IdempotencyKey = None) -> RunView:  # fmt: skip
    """Queue the run that makes a version."""
    options = dict(body.options)
    if body.builtin is not None and options.setdefault("builtin", body.builtin) != body.builtin:
        raise InvalidInput("two built-in names", came=f"{body.builtin}, {options['builtin']}", allowed="one")
    sent_once = once(request, idempotency_key, body)
    return runs.submit_dataset(platform, tenant, body.name, body.uploads, options, sent_once)


@router.get("/{name}")
def show(platform: Here, tenant: Tenant, name: str) -> DatasetView:
    return datasets.show(platform, tenant, name)


@router.get("/{name}/versions/{version}")
def show_version(platform: Here, tenant: Tenant, name: str, version: str) -> DatasetVersionView:
    return datasets.show_version(platform, tenant, name, version)


@router.delete("/{name}/versions/{version}", status_code=204)
def delete_version(platform: Here, tenant: Tenant, name: str, version: str) -> None:
    datasets.delete_version(platform, tenant, name, version)


@router.get("/{name}/versions/{version}/sample")
def show_sample(platform: Here, tenant: Tenant, name: str, version: str, split: str = "test",
                row: Annotated[int, Query(ge=0)] = 0) -> SampleView:  # fmt: skip
    """One row of a split, to look at or to ask a deployment with."""
    return samples.show_sample(platform, tenant, (name, version), split, row)


@router.get("/{name}/versions/{version}/files/{file:path}")
def show_file(platform: Here, tenant: Tenant, name: str, version: str, file: str) -> FileResponse:
    return files.answer(datasets.open_file(platform, tenant, name, version, file))
