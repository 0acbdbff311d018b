"""Users' scripts with `mlflow.autolog`, against a whole platform: what they log is served, or says why not."""

import json

import numpy as np
import pytest

from mlflow_client import run_script, stock_client
from stocked import Stocked

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # of the stock client's own

SKLEARN = """
import json, mlflow, warnings
warnings.simplefilter("ignore")
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
mlflow.set_experiment("wines")
mlflow.sklearn.autolog(FORMAT registered_model_name="NAME")
x, y = load_wine(return_X_y=True, as_frame=True)
model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
with mlflow.start_run() as run:
    model.fit(x, y)
print(json.dumps({"run": run.info.run_id, "probabilities": model.predict_proba(x[:3]).tolist()}))
"""

KERAS = """
import json, warnings
warnings.simplefilter("ignore")
import keras, mlflow, numpy as np
from sklearn.datasets import load_digits
mlflow.set_experiment("digits")
mlflow.keras.autolog(registered_model_name="Keras digits")
x, y = load_digits(return_X_y=True)
x = (x / 16).astype("float32")
keras.utils.set_random_seed(0)
model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(16, activation="relu"),
                          keras.layers.Dense(10, activation="softmax")])
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
with mlflow.start_run() as run:
    model.fit(x, y, epochs=2, verbose=0)
print(json.dumps({"run": run.info.run_id, "outputs": model.predict(x[:3], verbose=0).tolist(),
                  "inputs": x[:3].tolist()}))
"""

TORCH = """
import json, warnings
warnings.simplefilter("ignore")
import mlflow, numpy as np, torch
from mlflow.models import infer_signature
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3)).eval()
x = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
y = model(torch.tensor(x)).detach().numpy()
mlflow.set_experiment("torch")
with mlflow.start_run() as run:
    for name, form in (("safe", "pt2"), ("unsafe", "pickle")):
        mlflow.pytorch.log_model(model, name=name, serialization_format=form, input_example=x[:2],
                                 signature=infer_signature(x, y), registered_model_name=f"torch-{name}")
print(json.dumps({"inputs": x[:3].tolist(), "outputs": y[:3].tolist()}))
"""


@pytest.fixture(scope="module")
def platform(tmp_path_factory):
    stocked = Stocked(tmp_path_factory.mktemp("autolog") / "home")
    stocked.yard("up", "--detach", "--port", "0", "--control-port", "0")
    import modelyard

    stocked.client = modelyard.Client(home=stocked.home)
    yield stocked
    stocked.__exit__()


def script(platform, text, **environment):
    """What a script printed last; it speaks to the gateway, as callers do."""
    settings = platform.client.settings
    said = run_script(text, settings.gateway_url, settings.api_key, platform.folder, **environment)
    return json.loads(said.strip().splitlines()[-1])


def version_of(platform, name):
    """The registered version's status and its name here."""
    settings = platform.client.settings
    with stock_client(settings.gateway_url, settings.api_key) as client:
        found = client.get_model_version(name, "1")
        return found.status, found.tags.get("modelyard.version"), found.status_message


def test_a_pipeline_with_skops_is_served_with_its_own_answers(platform):
    from sklearn.datasets import load_wine

    text = SKLEARN.replace("FORMAT", 'serialization_format="skops", log_input_examples=True,').replace(
        "NAME", "Wine kinds"
    )
    said = script(platform, text)
    status, reference, _ = version_of(platform, "Wine kinds")
    assert status == "READY"
    platform.yard("deploy", "wines", reference)
    x = load_wine(as_frame=True).data[:3]
    answers = platform.client.predict("wines", {name: column.tolist() for name, column in x.items()}, top_k=3)
    got = [[next(a["score"] for a in row if a["label"] == str(kind)) for kind in range(3)] for row in answers]
    assert np.allclose(got, said["probabilities"], atol=1e-4)
    run = platform.json("runs", "show", said["run"])
    assert (run["kind"], run["state"]) == ("external", "succeeded")
    assert run["summary"]["training_accuracy_score"] > 0.9


def test_the_same_as_a_pickle_is_refused_with_the_way_to_a_safe_one(platform):
    script(platform, SKLEARN.replace("FORMAT", "").replace("NAME", "pickled-wines"))
    status, reference, message = version_of(platform, "pickled-wines")
    assert (status, reference) == ("READY", "pickled-wines:1")
    done = platform.run("deploy", "no", reference)
    assert done.returncode == 1
    assert "is a pickle" in done.stderr
    assert 'serialization_format="skops"' in done.stderr
    assert message.split(";")[0] in done.stderr.replace("\n", " ")


def test_a_keras_script(platform):
    said = script(platform, KERAS, KERAS_BACKEND="tensorflow")
    status, reference, message = version_of(platform, "Keras digits")
    assert status == "READY", message
    platform.yard("deploy", "keras-digits", reference)
    assert np.allclose(infer(platform, "keras-digits", said["inputs"]), said["outputs"], atol=1e-4)
    metrics = platform.json("runs", "show", said["run"])["metrics"]
    assert [step for step, _ in metrics["accuracy"]] == [0, 1]


def test_pytorch_as_pt2_and_as_a_pickle(platform):
    said = script(platform, TORCH)
    status, reference, message = version_of(platform, "torch-safe")
    assert status == "READY", message
    platform.yard("deploy", "torch-safe", reference)
    assert np.allclose(infer(platform, "torch-safe", said["inputs"]), said["outputs"], atol=1e-4)
    assert "'data/model.pth' is a pickle" in version_of(platform, "torch-unsafe")[2]


def test_files_of_a_run_from_the_command_line(platform):
    run = platform.client.transport.post("/api/v1/runs/external", {"name": "by hand"})["id"]
    settings = platform.client.settings
    with stock_client(settings.url, settings.api_key) as client:
        client.log_text(run, "hello", "notes/a b.txt")
    assert [f["path"] for f in platform.json("runs", "artifacts", run)] == ["notes/a b.txt"]
    out = platform.folder / "saved"
    assert "1 saved" in platform.yard("runs", "artifacts", run, "--out", str(out))
    assert (out / "notes" / "a b.txt").read_text() == "hello"


def infer(platform, name, inputs):
    """By the Open Inference Protocol, as the model's signature names its input."""
    import httpx

    headers = {"Authorization": f"Bearer {platform.client.settings.api_key}"}
    base = platform.client.gateway_url
    with httpx.Client(base_url=base, trust_env=False, timeout=30, headers=headers) as http:
        (spec,) = http.get(f"/v2/models/{name}").json()["inputs"]
        tensor = {"name": spec["name"], "datatype": spec["datatype"], "shape": list(np.shape(inputs)),
                  "data": np.ravel(inputs).tolist()}  # fmt: skip
        answer = http.post(f"/v2/models/{name}/infer", json={"inputs": [tensor]})
    assert answer.status_code == 200, answer.text
    (output,) = answer.json()["outputs"]
    return np.reshape(output["data"], output["shape"])
