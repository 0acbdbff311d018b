"""Recommendation: a user in, the best items that the user has not seen out. What a user had is what is learnt from,
whether or not it was rated (implicit feedback: Hu, Koren and Volinsky 2008)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.errors import InvalidInput
from modelyard.tasks import ranking, recommender_fit
from modelyard.tasks.contract import Array, Columns, Examples, Prepared, TargetKind
from modelyard.tasks.recommender import PreparedRecommender
from modelyard.tasks.recommender_fit import RecommenderOptions
from modelyard.tasks.recommender_task import K, RecommenderTask, figures
from modelyard.types.dataset import Schema
from modelyard.types.report import Metrics


class RecommendationOptions(RecommenderOptions, frozen=True, kw_only=True):
    """`threshold`: of the target's column, the least rating that means that an item is liked. What is rated less
    counts as seen, and is not recommended. None: all that a user had is liked."""

    threshold: float | None = None


class Recommendation(RecommenderTask):
    """See `contract.Task`. A target is not needed; ratings are, for a threshold."""

    name = "recommendation"
    main_metric = f"ndcg@{K}"
    default_net = "matrix_factorization"
    target_kind: TargetKind = "none"
    options = RecommendationOptions

    def fit(
        self, columns: Columns, schema: Schema, options: Mapping[str, Any], folder: Path | None = None
    ) -> dict[str, Any]:
        given = recommender_fit.resolved(options, RecommendationOptions)
        rows = len(next(iter(columns.values())))
        if given.threshold is None:
            liked = np.ones(rows, np.float32)
        elif schema.label is None:
            raise InvalidInput(
                "a threshold needs a column of ratings", came=sorted(columns), allowed="recipe.target"
            )
        else:
            liked = (recommender_fit.ratings(columns[schema.label]) >= given.threshold).astype(np.float32)
        fitted = recommender_fit.fit(columns, given, liked, "implicit", folder)
        return fitted | {"threshold": given.threshold}

    def examples(self, prepared: Prepared, columns: Columns, target: Any, labels: Sequence[str]) -> Examples:
        """Of a split's rows, those that are liked."""
        assert isinstance(prepared, PreparedRecommender)
        user, item = prepared.names
        rows = np.arange(len(columns[user]))
        if target is not None and prepared.threshold is not None:
            rows = np.flatnonzero(recommender_fit.ratings(target) >= prepared.threshold)
        users, items = np.asarray(columns[user])[rows], np.asarray(columns[item])[rows]
        return recommender_fit.examples(prepared, users, items, np.ones(len(rows), np.float32))

    def targets(self, column: Any, labels: Sequence[str]) -> Array:
        """As they are: what is compared is the place of the row's own item."""
        return np.asarray(column)

    def metrics(self, outputs: Mapping[str, Array], targets: Array, labels: Sequence[str]) -> Metrics:
        values = figures(self.ranks(outputs, targets))
        return Metrics(main=self.main_metric, higher_is_better=True, values=values)

    def main(self, outputs: Mapping[str, Array], targets: Array) -> float:
        ranks = self.ranks(outputs, targets)
        return ranking.ndcg(ranks, K) if len(ranks) else 0.0

    def default_recipe(self, net: str) -> dict[str, Any]:
        by_steps: dict[str, dict[str, Any]] = {
            "matrix_factorization": {
                "optimizer": "adam",
                "learning_rate": 0.01,
                "batch_size": 64,
                "epochs": 60,
                "early_stopping": {"patience": 5},
            },
            # The order of items still improves when the loss does not.
            "ncf": {
                "optimizer": "adamw",
                "learning_rate": 0.003,
                "schedule": {"name": "cosine", "warmup": 0.05},
                "weight_decay": 0.1,
                "batch_size": 16,
                "epochs": 24,
            },
        }
        return {"preprocessing": {}, "training": by_steps.get(net, {}), "evaluation": {}}


TASK = Recommendation()
