"""One row of a data set, to look at or to try a deployment with."""

import base64
from dataclasses import dataclass
from typing import Any

import msgspec

from modelyard.control.platform import Platform
from modelyard.control.services.datasets import files_of
from modelyard.control.services.files import open_stored
from modelyard.control.services.names import read_selector
from modelyard.control.services.references import get_dataset, get_dataset_version
from modelyard.datasets.row import read_row
from modelyard.types.dataset import DatasetManifest


@dataclass(frozen=True, kw_only=True)
class SampleView:
    """`values` by column; those of the columns in `encoded` are files in base64."""

    dataset: str
    version: int
    split: str
    row: int
    label: str | None
    values: dict[str, Any]
    encoded: list[str]


def show_sample(
    platform: Platform, tenant: str, reference: tuple[str, str], split: str, index: int
) -> SampleView:
    """Row `index` of a split of `reference`, a data set's name and version. Raises NotFound and
    InvalidInput."""
    name, version = reference
    with platform.database.read() as session:
        row = get_dataset_version(session, get_dataset(session, tenant, name), read_selector(version))
    manifest = msgspec.convert(row.manifest, DatasetManifest)
    parquet = open_stored(platform, files_of(row), manifest.data).path
    found = read_row(parquet, manifest, split, index)
    encoded = [k for k, v in found.items() if isinstance(v, bytes)]
    values = {k: base64.b64encode(v).decode() if isinstance(v, bytes) else v for k, v in found.items()}
    return SampleView(dataset=name, version=row.number, split=split, row=index, label=manifest.schema.label,
                      values=values, encoded=encoded)  # fmt: skip
