"""Engines execute packages: one file an engine, one line in ENGINES; `open_model` verifies and replays."""

from modelyard.engines.contract import Engine, EngineOptions
from modelyard.engines.judge import Judge, open_judge
from modelyard.engines.model import Model, open_model
from modelyard.engines.table import ENGINES, open_engine

__all__ = [
    "ENGINES",
    "Engine",
    "EngineOptions",
    "Judge",
    "Model",
    "open_engine",
    "open_judge",
    "open_model",
]
