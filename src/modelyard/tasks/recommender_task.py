"""What ranking and rating share as a Task: everything but what the figures are of."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from modelyard.errors import InvalidInput
from modelyard.tasks import queries, ranking
from modelyard.tasks.base import BaseTask
from modelyard.tasks.contract import Array, Columns, Predict, Prepared
from modelyard.tasks.options import resolve
from modelyard.tasks.recommender import PreparedRecommender
from modelyard.types.dataset import Schema
from modelyard.types.report import Exhibit
from modelyard.types.tensor import Signature, TensorSpec

K: Final = 10
"""Of the figures."""
_KINDS: Final = ("integer", "category", "text")
_SHOWN_USERS: Final = 8
_SHOWN_ITEMS: Final = 6


class RecommenderTask(BaseTask):
    """The half of a Task that asks for items. See `contract.Task`."""

    name = ""

    def check(self, schema: Schema, target: str) -> list[str]:
        """All columns but pictures and sounds: the recipe's options say which are which."""
        there = [f"{column.name} ({column.kind})" for column in schema.columns]
        if sum(column.kind in _KINDS for column in schema.columns if column.name != target) < 2:
            raise InvalidInput(f"{self.name} needs a column of users and one of items", came=there)
        if target and schema.column(target) is None:
            raise InvalidInput("there is no such target column", came=target, allowed=there)
        return [column.name for column in schema.columns if column.kind not in ("image", "audio")]

    def features(self, preprocessing: Mapping[str, Any]) -> list[str]:
        return [str(preprocessing["user"]), str(preprocessing["item"])]

    def signature(self, preprocessing: Mapping[str, Any], labels: Sequence[str]) -> Signature:
        """`query` BYTES [-1], JSON as `queries` says, to the best items, filled up with nothing and 0; `count` of
        them were asked for."""
        most = int(preprocessing["most"])
        outputs = [
            TensorSpec(name="item", datatype="BYTES", shape=(-1, most)),
            TensorSpec(name="score", datatype="FP32", shape=(-1, most)),
            TensorSpec(name="count", datatype="INT64", shape=(-1,)),
            TensorSpec(name="basis", datatype="BYTES", shape=(-1,)),
            TensorSpec(name="rank", datatype="INT64", shape=(-1,)),
        ]
        if preprocessing["titles"]:
            outputs.append(TensorSpec(name="title", datatype="BYTES", shape=(-1, most)))
        query = TensorSpec(name=queries.QUERY, datatype="BYTES", shape=(-1,))
        return Signature(inputs=(query,), outputs=tuple(outputs))

    def tensors(self, preprocessing: Mapping[str, Any], labels: Sequence[str]) -> Signature:
        """See `recommender`."""
        return Signature(
            inputs=(
                TensorSpec(name="user", datatype="INT64", shape=(-1,)),
                TensorSpec(name="history", datatype="INT64", shape=(-1, -1)),
                TensorSpec(name="ratings", datatype="FP32", shape=(-1, -1)),
            ),
            outputs=(
                TensorSpec(name="scores", datatype="FP32", shape=(-1, int(preprocessing["items"]))),
                TensorSpec(name="personal", datatype="FP32", shape=(-1,)),
            ),
        )

    def prepare(self, preprocessing: Mapping[str, Any], folder: Path | None = None) -> PreparedRecommender:
        return PreparedRecommender(preprocessing, folder)

    def sample(self, inputs: Any) -> dict[str, Any]:
        return queries.sample(inputs)

    def encode(
        self, outputs: Mapping[str, Array], labels: Sequence[str], parameters: Mapping[str, Any]
    ) -> list[Any]:
        """[{"item", "title"?, "score", "basis", "rank"?}] a row; `rank` where one item was asked for."""
        resolve(queries.Query, parameters, "parameters")  # the queries were changed by them before
        return [_answer(outputs, row) for row in range(len(outputs["count"]))]

    def ranks(self, outputs: Mapping[str, Array], targets: Array) -> Array:
        """Places of the held-out items among all that a user has not seen, of the rows whose item is liked."""
        ranks = outputs["rank"]
        if "threshold" not in outputs:
            return ranks
        found: Array = ranks[np.asarray(targets, np.float64) >= outputs["threshold"]]
        return found

    def exhibits(
        self, predict: Predict, prepared: Prepared, columns: Columns, labels: Sequence[str]
    ) -> Sequence[Exhibit]:
        """What some users liked, what is recommended to them, and what they took in truth."""
        assert isinstance(prepared, PreparedRecommender)
        user, item = prepared.names
        users, items = (np.asarray(columns[name]).tolist() for name in (user, item))
        taken: dict[Any, Any] = {}
        for one, chosen in zip(users, items, strict=True):
            taken.setdefault(one, chosen)
        shown = list(taken)[:_SHOWN_USERS]
        outputs = predict(prepared.decode({user: shown}))
        rows = tuple(
            (
                str(one),
                " · ".join(prepared.favourites(one, _SHOWN_ITEMS)),
                " · ".join(_called(outputs, row, k) for k in range(min(_SHOWN_ITEMS, outputs["count"][row]))),
                prepared.called(taken[one]),
            )
            for row, one in enumerate(shown)
        )
        header = ("user", "liked, the newest", "recommended", "took in this split")
        note = "Of the split's first users. What they had in the training split is not recommended."
        return [Exhibit(title="Recommendations", note=note, header=header, rows=rows)]


def figures(ranks: Array) -> dict[str, float]:
    """Of held-out items' places. Raises InvalidInput where there is none."""
    if not len(ranks):
        raise InvalidInput("no row of the split is liked: all are rated below the threshold")
    return {
        f"ndcg@{K}": ranking.ndcg(ranks, K),
        f"recall@{K}": ranking.recall(ranks, K),
        "mrr": ranking.reciprocal(ranks),
    }


def _answer(outputs: Mapping[str, Array], row: int) -> list[dict[str, Any]]:
    basis, rank = outputs["basis"][row].decode(), int(outputs["rank"][row])
    found = []
    for k in range(int(outputs["count"][row])):
        said: dict[str, Any] = {"item": outputs["item"][row, k].decode()}
        if "title" in outputs:
            said["title"] = outputs["title"][row, k].decode()
        said |= {"score": float(outputs["score"][row, k]), "basis": basis}
        found.append(said | ({"rank": rank} if rank else {}))
    return found


def _called(outputs: Mapping[str, Array], row: int, k: int) -> str:
    name: bytes = outputs["title" if "title" in outputs else "item"][row, k]
    return name.decode()
