"""Reading files into immutable data set versions, and reading versions back.

`ingest` writes a version's folder (`dataset.json`, `data.parquet`, the profile in three forms);
`open_dataset` reads it. Names are loaded when they are asked for, so that importing this room costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelyard.datasets.dataset import Dataset, open_dataset
    from modelyard.datasets.ingestion import ingest
    from modelyard.datasets.options import BUILTIN, IngestOptions, read_options

__all__ = ["BUILTIN", "Dataset", "IngestOptions", "ingest", "open_dataset", "read_options"]

_HOMES = {
    "BUILTIN": "options",
    "Dataset": "dataset",
    "IngestOptions": "options",
    "ingest": "ingestion",
    "open_dataset": "dataset",
    "read_options": "options",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_HOMES[name]}")
    value = globals()[name] = getattr(module, name)
    return value
