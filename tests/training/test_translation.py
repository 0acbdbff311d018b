"""Both nets of translation from a recipe to a package that is evaluated and served: what the engine writes by beams
is what a search over the net's own logits finds."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny_corpus
from modelyard import engines, nets, packages, tasks, training
from modelyard.engines.generation import GeneratorOptions
from modelyard.engines.table import open_generator
from modelyard.errors import InvalidInput
from modelyard.evaluation import EvaluationOptions, evaluate
from modelyard.nets import Shape
from modelyard.tasks.options import resolve

pytestmark = pytest.mark.slow

torch = pytest.importorskip("torch")
pytest.importorskip("sacrebleu")

NETS: dict[str, dict[str, Any]] = {
    "seq2seq_transformer": {"layers": 2, "width": 48, "heads": 4, "hidden": 96, "dropout": 0.1},
    "seq2seq_rnn": {"vectors": 48, "units": 48, "attention": 32, "dropout": 0.1},
}


def recipe(net: str, **training_: Any) -> Any:
    return training.parse_recipe(
        {
            "task": "translation",
            "name": "tiny",
            "data": "tiny",
            "target": "es",
            "net": {"name": net, **NETS[net]},
            "preprocessing": {"vocabulary": 340, "max_length": 32},
            "training": {"epochs": 12, "batch_size": 16, "learning_rate": 0.01} | training_,
        }
    )


@pytest.fixture(scope="module", params=list(NETS))
def trained(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The data set, the result and the package's folder."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("translation")
    dataset = tiny_corpus.write(folder / "data", ("en", "es"))
    result = training.train(
        recipe(request.param), dataset, folder / "package", folder / "checkpoints", 1, tiny_corpus.Silent()
    )
    return dataset, result, folder / "package"


def test_its_report_has_bleu_with_its_signature(trained: Any) -> None:
    dataset, result, folder = trained
    assert packages.read(folder).formats == {"onnx-decoder": "decoder/decoder.json"}
    found = evaluate(engines.open_model(folder), dataset, EvaluationOptions(), tiny_corpus.Silent())
    values = found.report.metrics.values
    assert values["bleu"] > 60
    assert found.report.interval.low <= values["bleu"] <= found.report.interval.high
    assert found.report.interval.value == pytest.approx(values["bleu"])
    (exhibit,) = found.exhibits
    assert "tok:13a" in exhibit.note
    assert exhibit.header == ("en", "model", "es")
    assert result.fit.why


def test_beams_are_those_of_a_search_over_the_nets_logits(trained: Any) -> None:
    _, result, folder = trained
    task, manifest = tasks.load("translation"), result.manifest
    prepared, net = task.prepare(manifest.preprocessing, folder), _net(manifest, folder)
    generator = open_generator(folder, manifest, GeneratorOptions(slots=3))
    sentences = [
        "the girl sees a letter.",
        "my mother",
        "the old king paints the doctor and the garden.",
        "Ünïcode",
    ]
    arrays = prepared.decode({"text": sentences})

    async def all_(requests: Any) -> list[str]:
        async def one(request: Any) -> str:
            return "".join([delta.text async for delta in generator.generate(request)])

        return list(await asyncio.gather(*(one(request) for request in requests)))

    for beams, penalty in ((1, 1.0), (4, 1.0), (3, 0.0)):
        said = {"generate_parameters": {"num_beams": beams, "length_penalty": penalty, "max_new_tokens": 20}}
        requests = prepared.requests(arrays, said)
        found = asyncio.run(all_(requests))
        for request, answer in zip(requests, found, strict=True):
            due = _searched(net, request.prompt, manifest.preprocessing, beams, penalty)
            assert answer == prepared._tokenizer.decode(due, skip_special_tokens=True)
    asyncio.run(generator.aclose())


def test_rows_padded_in_a_batch_answer_as_alone(trained: Any) -> None:
    dataset, result, folder = trained
    task = tasks.load("translation")
    prepared, net = task.prepare(result.manifest.preprocessing, folder), _net(result.manifest, folder)
    columns = dataset.columns("test", ["en", "es"])
    examples = task.examples(prepared, {"en": columns["en"]}, columns["es"], ())
    with torch.inference_mode():
        whole = net(*(torch.from_numpy(examples.inputs[name]) for name in ("source", "tokens")))
        for row in (0, 5):
            one = examples.take(np.array([row]))
            alone = net(*(torch.from_numpy(one.inputs[name]) for name in ("source", "tokens")))
            torch.testing.assert_close(whole[row, : alone.shape[1]], alone[0], rtol=1e-4, atol=1e-4)


def test_a_killed_run_goes_on(tmp_path: Path) -> None:
    dataset = tiny_corpus.write(tmp_path / "data", ("en", "es"))
    done = [
        training.train(
            recipe("seq2seq_transformer", epochs=epochs, schedule="constant"),
            dataset,
            tmp_path / f"out-{epochs}",
            tmp_path / f"checkpoints-{epochs}",
            1,
            tiny_corpus.Silent(),
        ).history["train/loss"]
        for epochs in (1, 2)
    ]
    assert done[1][:1] == done[0]


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"src_lang": "de"}, "src_lang: the model knows one; came: de; allowed: en"),
        ({"truncation": "always"}, "truncation"),
        ({"generate_parameters": {"num_beams": 9}}, "num_beams"),
        ({"generate_parameters": {"do_sample": True}}, "do_sample"),
        ({"beams": 3}, "beams"),
        ({}, "text 0 is too long; came: .* tokens; allowed: 32, or truncation"),
    ],
)
def test_what_cannot_be_asked_is_told_why(trained: Any, parameters: Any, match: str) -> None:
    _, result, folder = trained
    prepared = tasks.load("translation").prepare(result.manifest.preprocessing, folder)
    arrays = prepared.decode({"en": ["the girl sees " * 30]})
    with pytest.raises(InvalidInput, match=match):
        prepared.requests(arrays, parameters)
    (request,) = prepared.requests(arrays, {"truncation": "only_first", "src_lang": "en", "tgt_lang": "es"})
    assert len(request.prompt) == 32


def _searched(
    net: Any, source: tuple[int, ...], said: dict[str, Any], beams: int, penalty: float
) -> list[int]:
    """Beam search without a cache or a batch."""
    live: list[tuple[float, list[int]]] = [(0.0, [])]
    whole: list[tuple[float, list[int]]] = []
    for length in range(1, 21):
        found = []
        for score, tokens in live:
            with torch.inference_mode():
                logits = net(torch.tensor([source]), torch.tensor([[said["start"], *tokens]]))[0, -1]
            shares = torch.log_softmax(logits.double(), 0)
            found += [(score + float(s), [*tokens, t]) for t, s in enumerate(shares.tolist())]
        found.sort(key=lambda one: -one[0])
        for score, tokens in found[:beams]:
            if tokens[-1] == said["end"]:
                whole.append((score / length**penalty, tokens[:-1]))
        live = [one for one in found[: 2 * beams] if one[1][-1] != said["end"]][:beams]
        whole = sorted(whole, key=lambda one: -one[0])[:beams]
        if len(whole) == beams and whole[-1][0] >= live[0][0] / length**penalty:
            return whole[0][1]
    whole += [(score / 20**penalty, tokens) for score, tokens in live]
    return max(whole, key=lambda one: one[0])[1]


def _net(manifest: Any, folder: Path) -> Any:
    from safetensors.torch import load_file

    net = nets.load(manifest.net.name)
    tensors = tasks.load(manifest.task).tensors(manifest.preprocessing, ())
    shape = Shape(inputs=tensors.inputs, outputs=tensors.outputs, preprocessing=manifest.preprocessing)
    module = net.build(resolve(net.config, manifest.net.config, "net"), shape)
    module.load_state_dict(load_file(folder / manifest.net.weights))
    return module.eval()
