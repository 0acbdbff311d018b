"""A text autoencoder from a recipe to a package that rebuilds, interpolates and writes codes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny_corpus
from modelyard import engines, nets, packages, training
from modelyard.evaluation import Bootstrap, EvaluationOptions, evaluate, write_report
from modelyard.nets import Shape
from modelyard.tasks.options import resolve
from modelyard.tasks.text_codes import EDGE, LEVELS

pytestmark = pytest.mark.slow

torch = pytest.importorskip("torch")
pytest.importorskip("tokenizers")

RECIPE = Path(__file__).parents[2] / "examples" / "recipes" / "tweets-vae.yaml"
LATENT = 8
NET = {
    "name": "text_vae", "vectors": 32, "units": 64, "dropout": 0.0, "word_dropout": 0.5, "annealing": 300,
    "free_nats": 0.5,
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The data set, the result and the package's folder."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("text-vae")
    dataset = tiny_corpus.write(folder / "data")
    given = training.parse_recipe(RECIPE.read_text()).to_dict()
    given["training"] |= {"epochs": 80, "batch_size": 16, "learning_rate": 0.005}
    given |= {
        "data": "tiny",
        "net": NET,
        "preprocessing": {"vocabulary": 340, "max_length": 24, "latent": LATENT},
    }
    recipe = training.parse_recipe(given)
    result = training.train(
        recipe, dataset, folder / "package", folder / "checkpoints", 1, tiny_corpus.Silent()
    )
    return dataset, result, folder / "package"


def test_its_curves_have_parts_and_its_code_is_used(trained: Any) -> None:
    _, result, folder = trained
    assert packages.read(folder).formats == {"onnx-decoder": "decoder/decoder.json"}
    last = {name: points[-1][1] for name, points in result.history.items()}
    assert last["validation/loss"] == pytest.approx(last["validation/reconstruction"] + last["validation/kl"])
    assert last["validation/kl"] > 1
    first = result.history["validation/reconstruction"][0][1]
    assert last["validation/reconstruction"] < 0.5 * first


def test_its_report_shows_what_comes_back(trained: Any, tmp_path: Path) -> None:
    dataset, _, folder = trained
    options = EvaluationOptions(bootstrap=Bootstrap(resamples=20))
    found = evaluate(engines.open_model(folder), dataset, options, tiny_corpus.Silent())
    write_report(found.report, tmp_path, found.mistakes, found.exhibits)
    values = found.report.metrics.values
    assert values["words_kept"] > 0.6
    assert values["words_kept"] > values["words_kept_of_others"] + 0.2
    assert "Ways between two texts" in (tmp_path / "report.html").read_text()


def test_ways_between_two_texts_begin_and_end_at_them(trained: Any) -> None:
    _, _, folder = trained
    model = engines.open_model(folder)

    def asked(inputs: Any) -> list[str]:
        outputs = model.predict(model.prepared.decode(model.task.sample(inputs)))
        return [row["generated_text"] for row in model.task.encode(outputs, (), {})]

    one, other = "the girl sees the house.", "my mother forgets an old book."
    way = asked({"text": one, "other": other, "steps": 5})
    assert [way[0], way[-1]] == asked([one, other])


def test_a_code_is_written_as_the_text_that_it_is_of(trained: Any) -> None:
    _, result, folder = trained
    model, module = engines.open_model(folder), _net(result.manifest, folder)
    text = "the girl sees the house."
    (row,) = model.prepared.requests(model.prepared.decode({"text": [text]}), {})
    with torch.inference_mode():
        mean, _ = module.read(torch.tensor([row.prompt]), torch.tensor([len(row.prompt)]))
    arrays = model.prepared.decode({"vector": mean.tolist()})
    (told,) = model.prepared.requests(arrays, {})
    code = module.decoding().encode.told(torch.tensor([told.prompt]))
    assert torch.allclose(code, mean, atol=EDGE / LEVELS * 1.01)
    back, found = (
        model.predict(a)["generated_text"][0] for a in (model.prepared.decode({"text": [text]}), arrays)
    )
    assert found == back


def test_the_divergence_counts_as_annealing_says() -> None:
    module = _module()
    assert [float(module.weight()) for _ in range(3)] == pytest.approx([0, 1 / 300, 2 / 300])
    for _ in range(300):
        module.weight()
    assert float(module.weight()) == 1


def test_free_nats_cost_nothing() -> None:
    module = _module().train()
    module.steps.fill_(1000)
    source = torch.tensor([[7, 8, 9, 2]])
    inputs = {"source": source, "tokens": torch.tensor([[1, 7, 8, 9]])}
    torch.nn.init.zeros_(module.moments.weight)
    torch.nn.init.zeros_(module.moments.bias)
    found = {name: value.item() for name, value in module.loss(inputs, {"next": source}).items()}
    assert found["kl"] == 0
    assert found["loss"] == pytest.approx(found["reconstruction"] + LATENT * 0.5)


def test_the_writer_does_not_see_all_words() -> None:
    module = _module().train()
    tokens = torch.full((50, 20), 9)
    tokens[:, 0] = 1
    hidden = module.hidden(tokens)
    assert (hidden[:, 0] == 1).all()
    assert float((hidden[:, 1:] == 3).float().mean()) == pytest.approx(0.5, abs=0.05)
    assert torch.equal(module.eval().hidden(tokens), tokens)


def _module() -> Any:
    given = {"vocabulary": 30, "source": 60, "context": 25, "latent": LATENT, "pad": 0, "start": 1, "end": 2,
             "unknown": 3, "between": 4, "vector": 5}  # fmt: skip
    net = nets.load("text_vae")
    config = resolve(net.config, {k: v for k, v in NET.items() if k != "name"}, "net")
    torch.manual_seed(0)
    return net.build(config, Shape(inputs=(), outputs=(), preprocessing=given))


def _net(manifest: Any, folder: Path) -> Any:
    """The trained module."""
    from safetensors.torch import load_file

    net = nets.load("text_vae")
    config = resolve(net.config, manifest.net.config, "net")
    shape = Shape(inputs=(), outputs=(), preprocessing=manifest.preprocessing)
    module = net.build(config, shape).eval()
    module.load_state_dict(load_file(folder / manifest.net.weights))
    return module


def test_rows_do_not_know_of_each_other() -> None:
    module = _module().eval()
    torch.manual_seed(0)
    source = torch.randint(6, 30, (3, 9))
    source[0, 5:] = 0
    with torch.inference_mode():
        together, _ = module.read(source, torch.tensor([5, 9, 9]))
        alone, _ = module.read(source[:1, :5], torch.tensor([5]))
    np.testing.assert_allclose(together[:1].numpy(), alone.numpy(), atol=1e-6)
