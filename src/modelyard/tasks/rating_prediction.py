"""Rating prediction: a user and an item in, the rating that the user would give out; or the items whose ratings
would be the highest. Ratings are learnt from (explicit feedback)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from modelyard.errors import InvalidInput
from modelyard.tasks import metrics, recommender_fit
from modelyard.tasks.answers import number_targets
from modelyard.tasks.contract import Array, Columns, Examples, Prepared, TargetKind
from modelyard.tasks.recommender import PreparedRecommender
from modelyard.tasks.recommender_fit import RecommenderOptions
from modelyard.tasks.recommender_task import RecommenderTask, figures
from modelyard.types.dataset import Schema
from modelyard.types.report import Metrics


class RatingPrediction(RecommenderTask):
    """See `contract.Task`."""

    name = "rating-prediction"
    main_metric = "rmse"
    higher_is_better = False
    default_net = "matrix_factorization"
    target_kind: TargetKind = "other"  # a row of training is a user with all ratings, not one number
    options = RecommenderOptions

    def check(self, schema: Schema, target: str) -> list[str]:
        names = super().check(schema, target)
        column = schema.column(target)
        if column is not None and column.kind not in ("number", "integer"):
            raise InvalidInput(
                f"{self.name} needs a target of ratings",
                came=f"{target} ({column.kind})",
                allowed="number, integer",
            )
        return names

    def fit(
        self, columns: Columns, schema: Schema, options: Mapping[str, Any], folder: Path | None = None
    ) -> dict[str, Any]:
        given = recommender_fit.resolved(options, RecommenderOptions)
        ratings = recommender_fit.ratings(columns[schema.label or ""])
        return recommender_fit.fit(columns, given, ratings, "explicit", folder)

    def examples(self, prepared: Prepared, columns: Columns, target: Any, labels: Sequence[str]) -> Examples:
        assert isinstance(prepared, PreparedRecommender)
        user, item = prepared.names
        return recommender_fit.examples(
            prepared, columns[user], columns[item], recommender_fit.ratings(target)
        )

    def targets(self, column: Any, labels: Sequence[str]) -> npt.NDArray[Any]:
        return number_targets(column)

    def metrics(self, outputs: Mapping[str, Array], targets: Array, labels: Sequence[str]) -> Metrics:
        """Those of a regression, and of each row's item among all that its user has not seen."""
        found = metrics.regression(outputs["prediction"], targets)
        return Metrics(
            main=found.main,
            higher_is_better=False,
            values=found.values | figures(self.ranks(outputs, targets)),
            curves=found.curves,
        )

    def main(self, outputs: Mapping[str, Array], targets: Array) -> float:
        return metrics.rmse(outputs["prediction"], targets)

    def default_recipe(self, net: str) -> dict[str, Any]:
        training = {
            "optimizer": "adam",
            "learning_rate": 0.005,
            "batch_size": 32,
            "early_stopping": {"patience": 5},
        }
        return {
            "preprocessing": {},
            "training": training if net == "matrix_factorization" else {},
            "evaluation": {},
        }


TASK = RatingPrediction()
