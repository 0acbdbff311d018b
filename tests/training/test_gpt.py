"""The net `gpt` from a recipe to a package that is served, evaluated, and a base of a fine-tuning."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny_corpus
from modelyard import engines, packages, training
from modelyard.engines import replying
from modelyard.engines.generation import GeneratorOptions
from modelyard.engines.table import generator_format, open_generator
from modelyard.errors import Corrupt, ModelyardError, ParityMismatch
from modelyard.evaluation import EvaluationOptions, evaluate
from modelyard.types.generation import Sampling, TextRequest

pytestmark = pytest.mark.slow

torch = pytest.importorskip("torch")

RECIPE: dict[str, Any] = {
    "task": "text-generation",
    "name": "tiny",
    "data": "tiny",
    "net": {"name": "gpt", "layers": 2, "width": 32, "heads": 4, "dropout": 0.1},
    "preprocessing": {"vocabulary": 300, "context": 32},
    "training": {"epochs": 25, "batch_size": 16, "learning_rate": 0.01},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The data set, the result and the package's folder."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("gpt")
    dataset = tiny_corpus.write(folder / "data")
    recipe = training.parse_recipe(RECIPE)
    result = training.train(
        recipe, dataset, folder / "package", folder / "checkpoints", 1, tiny_corpus.Silent()
    )
    return dataset, result, folder / "package"


def answers(generator: Any, requests: list[TextRequest]) -> list[str]:
    async def one(request: TextRequest) -> str:
        return "".join([delta.text async for delta in generator.generate(request)])

    async def all_() -> list[str]:
        return list(await asyncio.gather(*(one(request) for request in requests)))

    return asyncio.run(all_())


def test_the_package(trained: Any) -> None:
    _, result, folder = trained
    manifest = packages.read(folder)
    assert manifest == result.manifest
    assert manifest.formats == {
        "onnx-decoder": "decoder/decoder.json",
        "transformers": "huggingface/config.json",
    }
    assert generator_format(manifest) == "onnx-decoder"
    assert manifest.preprocessing["context"] == 32
    losses = [value for _, value in result.history["validation/loss"]]
    assert losses[-1] < losses[0] / 2
    assert result.fit.why


def test_its_report_has_bits_a_character_beside_those_of_5_grams(trained: Any) -> None:
    dataset, _, folder = trained
    found = evaluate(engines.open_model(folder), dataset, EvaluationOptions(), tiny_corpus.Silent())
    values = found.report.metrics.values
    assert found.report.metrics.main == "bits_per_character"
    assert 0 < values["bits_per_character"] < 1.5
    assert 0 < values["5gram_bits_per_character"] < 1.5
    assert 0 < values["5gram_of_tokens_bits_per_character"] < 2
    assert found.report.interval.low < values["bits_per_character"] < found.report.interval.high


def test_served_answers_are_the_nets_own_and_transformers(trained: Any) -> None:
    """Greedy and by beams, by the decoding engine, the net, and GPT-2 of the Hugging Face folder."""
    transformers = pytest.importorskip("transformers")
    transformers.utils.logging.set_verbosity_error()
    _, result, folder = trained
    place = folder / "huggingface"
    model = transformers.AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(place)
    net = _net(result.manifest, folder)
    generator = open_generator(folder, result.manifest, GeneratorOptions(slots=4))
    for prompt in ("the girl", "my mother paints", "", "a man sees the old book. The"):
        ids = tokenizer(prompt, return_tensors="pt").input_ids
        with torch.inference_mode():
            torch.testing.assert_close(model(ids).logits, net(ids), rtol=1e-4, atol=1e-4)
        for beams, penalty in ((1, 1.0), (3, 1.0), (4, 0.0), (2, 2.0)):
            out = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                num_beams=beams,
                length_penalty=penalty,
                max_new_tokens=12,
                pad_token_id=0,
            )
            due = tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)
            sampling = Sampling(max_tokens=12, temperature=0, num_beams=beams, length_penalty=penalty)
            (found,) = answers(generator, [TextRequest(prompt=prompt, sampling=sampling)])
            assert found == due, (prompt, beams, penalty)
    asyncio.run(generator.aclose())


def test_golden_replies_are_asked_again_when_it_is_opened(trained: Any, tmp_path: Path) -> None:
    _, result, folder = trained
    generator = open_generator(folder, result.manifest, GeneratorOptions())
    asyncio.run(replying.replay(generator, folder, result.manifest))
    replies = packages.replies.read(folder, result.manifest.replies)
    assert len(replies) > 3
    assert all(reply.tokens and len(reply.tokens) == len(reply.logprobs) for reply in replies)
    (tmp_path / "replies.json").write_bytes(
        (folder / "replies.json").read_bytes().replace(b'"tokens":["', b'"tokens":["!', 1)
    )
    with pytest.raises(ParityMismatch):
        asyncio.run(replying.replay(generator, tmp_path, result.manifest))
    (tmp_path / "replies.json").write_bytes(b"{")
    with pytest.raises(Corrupt):
        asyncio.run(replying.replay(generator, tmp_path, result.manifest))
    asyncio.run(generator.aclose())


def test_a_graph_that_answers_otherwise_is_not_packaged(trained: Any, tmp_path: Path) -> None:
    from modelyard.engines.decoder.graphs import open_graphs
    from modelyard.training import decoder_export

    _, result, folder = trained
    net = _net(result.manifest, folder)
    with torch.no_grad():
        net.blocks[0].attention.query.bias.add_(0.3)
    prompt = decoder_export.Prompt(text="", source=(), tokens=(0, 5, 9, 4))
    graphs = open_graphs(folder / "decoder" / "decoder.json", 1)
    with torch.inference_mode(), pytest.raises(ParityMismatch, match="do not answer as the trained net"):
        decoder_export._compare(graphs, net, [prompt], [[7, 8]])


@pytest.mark.slow
def test_its_graphs_are_looked_at_when_another_platform_brings_it(trained: Any, tmp_path: Path) -> None:
    from modelyard.runs.bundles import inspect_package

    _, result, folder = trained
    inspect_package(folder, result.manifest)
    shutil.copytree(folder, tmp_path / "other")
    (tmp_path / "other" / "decoder" / "step.onnx").write_bytes(b"no graph")
    with pytest.raises(ModelyardError):
        inspect_package(tmp_path / "other", result.manifest)


@pytest.mark.slow
def test_it_is_a_base_of_a_fine_tuning(trained: Any, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    from modelyard.training.finetune import Place, finetune
    from modelyard.training.finetune_recipe import parse_finetune

    dataset, _, folder = trained
    recipe = parse_finetune(
        {
            "task": "text-generation",
            "name": "more",
            "data": "tiny",
            "base": "tiny",
            "training": {"epochs": 2, "sequence_length": 32, "learning_rate": 0.005},
        }
    )
    place = Place(base=folder, out=tmp_path / "out", checkpoints=tmp_path / "checkpoints")
    tuned = finetune(recipe, dataset, place, tiny_corpus.Silent())
    assert np.sum(tuned.after) < np.sum(tuned.before)
    assert tuned.manifest.formats == {"transformers": "huggingface/config.json"}


def _net(manifest: Any, folder: Path) -> Any:
    from safetensors.torch import load_file

    from modelyard import nets, tasks
    from modelyard.nets import Shape
    from modelyard.tasks.options import resolve

    net = nets.load(manifest.net.name)
    tensors = tasks.load(manifest.task).tensors(manifest.preprocessing, ())
    shape = Shape(inputs=tensors.inputs, outputs=tensors.outputs, preprocessing=manifest.preprocessing)
    module = net.build(resolve(net.config, manifest.net.config, "net"), shape)
    module.load_state_dict(load_file(folder / manifest.net.weights))
    return module.eval()
