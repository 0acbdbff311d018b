"""Time-series forecasting: the last values of a series in, the next ones out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from modelyard.errors import InvalidInput
from modelyard.tasks import forecast_inputs, forecast_metrics, forecast_samples
from modelyard.tasks.answers import finite
from modelyard.tasks.base import BaseTask
from modelyard.tasks.contract import Array, Columns, Examples, Predict, Prepared, TargetKind
from modelyard.tasks.forecast_exhibits import exhibits
from modelyard.tasks.forecast_fit import NUMBERS, ForecastOptions
from modelyard.tasks.forecast_fit import fit as fit_forecast
from modelyard.tasks.forecast_inputs import TIMES, PreparedHistories, times_name
from modelyard.tasks.options import resolve
from modelyard.tasks.time_steps import iso
from modelyard.types.dataset import Schema
from modelyard.types.report import Exhibit, Metrics
from modelyard.types.tensor import Signature, TensorSpec


class ForecastParameters(msgspec.Struct, frozen=True, kw_only=True):
    """`horizon`: steps that are answered, up to the trained one."""

    horizon: Annotated[int, msgspec.Meta(ge=1)] | None = None


class TimeSeriesForecasting(BaseTask):
    """See `contract.Task`. Targets are [rows, horizon, 3], see `forecast_metrics`."""

    name = "time-series-forecasting"
    main_metric = forecast_metrics.MAIN
    higher_is_better = False
    default_net = "linear_forecast"
    target_kind: TargetKind = "other"
    options = ForecastOptions
    spans_rows = True

    def check(self, schema: Schema, target: str) -> list[str]:
        """Whatever may be a time, a series' name or a covariate: which of them are, `fit` finds by its
        options."""
        column = schema.column(target)
        there = [f"{c.name} ({c.kind})" for c in schema.columns]
        if column is None:
            raise InvalidInput("there is no such target column", came=target, allowed=there)
        if column.kind not in NUMBERS:
            raise InvalidInput(
                f"{self.name} needs a target of numbers", came=f"{target} ({column.kind})", allowed=NUMBERS
            )
        if target in ("history", "time"):
            raise InvalidInput("a target of this name is taken for something else", came=target)
        usable = (*NUMBERS, "timestamp", "category", "text", "boolean")
        return [c.name for c in schema.columns if c.kind in usable and c.name != target]

    def fit(
        self, columns: Columns, schema: Schema, options: Mapping[str, Any], folder: Path | None = None
    ) -> dict[str, Any]:
        return fit_forecast(columns, schema, options)

    def features(self, preprocessing: Mapping[str, Any]) -> list[str]:
        named = (preprocessing["time"], preprocessing["series"], *preprocessing["channels"][1:])
        return [name for name in named if name is not None]

    def samples(
        self, columns: Columns, split: str, preprocessing: Mapping[str, Any]
    ) -> tuple[dict[str, Array], Array]:
        return forecast_samples.samples(columns, split, preprocessing)

    def examples(self, prepared: Prepared, columns: Columns, target: Any, labels: Sequence[str]) -> Examples:
        """The target's channel of truths, and which of them are known."""
        truth = np.asarray(target)[..., forecast_metrics.TRUTH]
        known = ~np.isnan(truth)
        targets = {"target": np.where(known, truth, 0.0), "known": known}
        return Examples(inputs=prepared.transform(prepared.decode(columns)), targets=targets)

    def signature(self, preprocessing: Mapping[str, Any], labels: Sequence[str]) -> Signature:
        channels, horizon = len(preprocessing["channels"]), preprocessing["horizon"]
        inputs = [TensorSpec(name="history", datatype="FP64", shape=(-1, -1, channels))]
        outputs = [TensorSpec(name="prediction", datatype="FP32", shape=(-1, horizon))]
        if preprocessing["time"]:
            inputs.append(TensorSpec(name="time", datatype="FP64", shape=(-1,)))
            name = times_name(preprocessing)
            outputs.append(TensorSpec(name=name, datatype="FP64", shape=(-1, horizon)))
        return Signature(inputs=tuple(inputs), outputs=tuple(outputs))

    def tensors(self, preprocessing: Mapping[str, Any], labels: Sequence[str]) -> Signature:
        shape = (-1, preprocessing["history"], len(preprocessing["channels"]))
        return Signature(
            inputs=(TensorSpec(name="history", datatype="FP32", shape=shape),),
            outputs=(TensorSpec(name="prediction", datatype="FP32", shape=(-1, preprocessing["horizon"])),),
        )

    def prepare(self, preprocessing: Mapping[str, Any], folder: Path | None = None) -> PreparedHistories:
        return PreparedHistories(preprocessing)

    def sample(self, inputs: Any) -> dict[str, Any]:
        return forecast_inputs.sample(inputs)

    def is_single(self, inputs: Any) -> bool:
        return not forecast_inputs.are_several(inputs)

    def encode(
        self, outputs: Mapping[str, Array], labels: Sequence[str], parameters: Mapping[str, Any]
    ) -> list[Any]:
        """A list of {"timestamp", "value"} a row, the next step first; without times where the caller said
        none."""
        given = resolve(ForecastParameters, parameters, "parameters")
        values = finite(outputs["prediction"])
        if given.horizon is not None and given.horizon > values.shape[1]:
            raise InvalidInput(
                "parameters.horizon is beyond what was trained",
                came=given.horizon,
                allowed=f"1 to {values.shape[1]}",
            )
        shown = values[:, : given.horizon].tolist()
        name = next((name for name in TIMES if name in outputs), None)
        if name is None:
            return [[{"value": value} for value in row] for row in shown]
        write: Any = iso if name == "timestamp" else float
        return [
            [_step(name, write, time, value) for time, value in zip(when, row, strict=False)]
            for when, row in zip(outputs[name].tolist(), shown, strict=True)
        ]

    def targets(self, column: Any, labels: Sequence[str]) -> Array:
        return np.asarray(column, dtype=np.float64)

    def metrics(self, outputs: Mapping[str, Array], targets: Array, labels: Sequence[str]) -> Metrics:
        return forecast_metrics.figures(outputs["prediction"], targets)

    def main(self, outputs: Mapping[str, Array], targets: Array) -> float:
        return forecast_metrics.mase(outputs["prediction"], targets)

    def exhibits(
        self, predict: Predict, prepared: Prepared, columns: Columns, labels: Sequence[str]
    ) -> Sequence[Exhibit]:
        assert isinstance(prepared, PreparedHistories)
        return exhibits(predict, prepared, columns, np.asarray(columns[prepared.channels[0]]))

    def default_recipe(self, net: str) -> dict[str, Any]:
        training = {
            "optimizer": "adamw",
            "learning_rate": 0.002,
            "schedule": {"name": "cosine", "warmup": 0.05},
            "batch_size": 64,
            "weight_decay": 0.01,
            "clip_norm": 1.0,
            "early_stopping": {"patience": 10},
        }
        return {
            "preprocessing": {},
            "training": training if net == "lstm_forecast" else {},
            "evaluation": {},
        }


def _step(name: str, write: Any, time: float, value: float) -> dict[str, Any]:
    """One step of an answer; a time that is not known is left out."""
    return {name: write(time), "value": value} if time == time else {"value": value}


TASK = TimeSeriesForecasting()
