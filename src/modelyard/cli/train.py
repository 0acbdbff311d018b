"""`yard train`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from modelyard.cli.output import Json, show
from modelyard.cli.pairs import pairs
from modelyard.cli.platform import client
from modelyard.cli.runs import faces, started
from modelyard.cli.waiting import NoWait, watching
from modelyard.client.recipe import value_of
from modelyard.errors import InvalidInput

RecipePath = Annotated[Path | None, typer.Argument(metavar="RECIPE.yaml", show_default=False)]
Task = Annotated[
    str | None,
    typer.Option(
        show_default=False,
        help="image-classification, object-detection, text-to-image, unconditional-image-generation, "
        "text-classification, feature-extraction, text-generation (with --set base=MODEL, fine-tuning), "
        "translation, text-autoencoding, automatic-speech-recognition, audio-classification, recommendation, "
        "rating-prediction, time-series-forecasting, tabular-classification, tabular-regression.",
    ),
]
Data = Annotated[str | None, typer.Option(show_default=False, help="A data set: NAME or NAME:VERSION.")]
Net = Annotated[
    str | None,
    typer.Option(
        show_default=False,
        help="Without it, the task's own. Images: cnn, resnet, vit, efficientnet_lite, yolo, ssd, vae, gan. "
        "Texts: embedding_bag, lstm, transformer_encoder, minilm, tfidf_logistic_regression, tfidf_svm, word2vec, "
        "glove, gpt, seq2seq_transformer, seq2seq_rnn, text_vae. Sounds: crnn, cnn. Recommendation: "
        "matrix_factorization, ncf, item_knn, user_knn, popularity. Series: seasonal_naive, linear_forecast, "
        "lstm_forecast. Tables: mlp, linear_regression, polynomial_regression, logistic_regression, svm, "
        "decision_tree, random_forest, gradient_boosting, histogram_gradient_boosting, k_nearest_neighbors, "
        "naive_bayes.",
    ),
]
Name = Annotated[str | None, typer.Option(show_default=False, help="The model that gets a new version.")]
Target = Annotated[
    str | None, typer.Option(show_default=False, help="The column to predict; without it, the data's label.")
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", show_default=False, help="Any key of the recipe, as training.epochs=5"
    ),
]


def train(
    recipe: RecipePath = None,
    task: Task = None,
    data: Data = None,
    net: Net = None,
    name: Name = None,
    target: Target = None,
    set_: Set = None,
    no_wait: NoWait = False,
    as_json: Json = False,
) -> None:
    """Train a model by a recipe, or by --task, --data, --net and --name; both may be given."""
    keys: dict[str, Any] = {"task": task, "data": data, "net": net, "name": name, "target": target}
    keys = {k: v for k, v in keys.items() if v is not None}
    keys |= {k: value_of(v) for k, v in pairs(set_ or [], "--set").items()}
    if recipe is None and not keys:
        raise InvalidInput("nothing to train", allowed="a recipe's file, or --task, --data, --net and --name")
    with watching(as_json) as watcher:
        run = client().train(recipe, wait=False, **keys)
        if not no_wait:
            run = run.wait(watch=watcher.watch)
    if no_wait:
        started(run, as_json)
    else:
        model = (run.outputs.get("model") or {}).get("name")
        following = f"Next: yard models report {model}, or yard deploy {model} {model}"
        show(run.raw, as_json, *faces(run), following)
