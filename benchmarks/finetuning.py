"""What fine-tuning does to held-out perplexity. Writes results/finetuning.json.

Run: python benchmarks/finetuning.py BASE AUSTEN [--only gemma|gpt]

BASE is Gemma 3 270M as a Hugging Face folder (a GGUF's, dequantised); AUSTEN a folder of examples/data/austen.py.
Two trainings: LoRA on Gemma by examples/recipes/austen-gemma.yaml, and a small GPT of random weights, in full.
"""

import argparse
import asyncio
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import machine

from modelyard import datasets, packages, tasks
from modelyard.engines import replying
from modelyard.engines.generation import GeneratorOptions
from modelyard.engines.table import open_generator
from modelyard.packages import replies
from modelyard.runs.context import RunContext
from modelyard.runs.finetune import run
from modelyard.types.package import Manifest
from modelyard.types.run import RunSpec

SEED = 0
RECIPES = Path(__file__).parent.parent / "examples" / "recipes"
GPT: dict[str, Any] = {
    "task": "text-generation",
    "name": "austen-gpt",
    "data": "austen",
    "base": "gpt",
    "training": {
        "method": "full",
        "epochs": 1,
        "steps": 400,
        "batch_size": 8,
        "learning_rate": 0.002,
        "sequence_length": 128,
        "schedule": {"name": "cosine", "warmup": 0.1},
        "evaluate_every": 100,
        "seed": SEED,
    },
    "evaluation": {"split": "test", "documents": 200},
}


class Said:
    """A reporter that prints a line every ten seconds."""

    def __init__(self) -> None:
        self._last = 0.0

    def metrics(self, step: int, values: dict[str, float]) -> None:
        pass

    def progress(self, done: float, total: float, text: str = "") -> None:
        if time.monotonic() - self._last > 10:
            self._last = time.monotonic()
            print(f"  {text}", flush=True)

    def check(self) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("base", type=Path)
    parser.add_argument("austen", type=Path)
    parser.add_argument("--only", choices=("gemma", "gpt"))
    given = parser.parse_args()
    path = machine.RESULTS / "finetuning.json"
    results = json.loads(path.read_text())["results"] if given.only and path.exists() else {}
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        lines = sorted(given.austen.glob("*.jsonl"))
        datasets.ingest(lines, datasets.IngestOptions(), work / "data", Said())
        if given.only != "gpt":
            _package(work / "gemma", lambda to: shutil.copytree(given.base, to))
            results["gemma-3-270m, LoRA"] = measured(work, "gemma", _recipe("austen-gemma.yaml"))
        if given.only != "gemma":
            _package(work / "gpt", lambda to: small_gpt(to, given.austen / "train.jsonl"))
            results["small GPT, in full"] = measured(work, "gpt", GPT)
    print("written:", machine.write("finetuning", {"results": results}, seed=SEED))


def measured(work: Path, base: str, recipe: dict[str, Any]) -> dict[str, Any]:
    """One training as its run kind does it, and what its report says."""
    folder = work / f"run-{base}"
    (folder / "inputs").mkdir(parents=True)
    shutil.copytree(work / base, folder / "inputs" / "base")
    shutil.copytree(work / "data", folder / "inputs" / "dataset")
    spec = RunSpec(id="run", attempt=1, kind="finetune", tenant="default", params={"recipe": recipe})
    context = RunContext(spec=spec, folder=folder, reporter=Said())
    context.outputs.mkdir(parents=True)
    outcome = run(context)
    report = json.loads((context.outputs / "report" / "report.json").read_text())
    print(base, json.dumps(outcome.summary))
    package = context.outputs / "package"
    return figures(report, outcome.summary) | {
        "seconds": outcome.summary["seconds"],
        "parity": packages.read(package, verify=False).notes,
        "served": asyncio.run(served(package)),
    }


async def served(package: Path) -> dict[str, Any]:
    """The trainer's greedy continuations beside those of the engine that serves the package."""
    manifest = packages.read(package, verify=False)
    assert isinstance(manifest.replies, replies.Replies)
    golden = replies.read(package, manifest.replies)
    generator = open_generator(package, manifest, GeneratorOptions(slots=1))
    try:
        found = await replying.replies_of(generator, [reply.prompt for reply in golden])
    finally:
        await generator.aclose()
    texts = [("".join(a.tokens), "".join(b.tokens)) for a, b in zip(golden, found, strict=True)]
    told = [zip(g.logprobs, f.logprobs, strict=False) for g, f in zip(golden, found, strict=True)]
    errors = [abs(own - engine) for pairs in told for own, engine in pairs]
    return {
        "replies": len(golden),
        "equal": sum(own.startswith(answer) for own, answer in texts),
        "largest_logprob_error": max(errors),
        "engine": generator.abilities.name,
    }


def figures(report: dict[str, Any], summary: dict[str, Any]) -> dict[str, Any]:
    """Of a report, those that say whether it learnt."""
    values = report["metrics"]["values"]
    return {
        "perplexity_before": values["perplexity_before"],
        "perplexity_after": values["perplexity"],
        "interval": [report["interval"]["low"], report["interval"]["high"]],
        "tokens": values["tokens"],
        "documents": report["rows"],
        "steps": summary["steps"],
        "validation": report["history"]["validation/perplexity"],
        "training": report["recipe"]["training"],
    }


def small_gpt(folder: Path, lines: Path) -> None:
    """4 layers of width 128, learnt positions, 4,096 byte pairs of the training novels, random weights."""
    import torch
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=4096, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet)
    made.train_from_iterator((json.loads(line)["text"] for line in lines.open()), trainer)
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )
    torch.manual_seed(SEED)
    config = transformers.GPT2Config(
        vocab_size=4096, n_embd=128, n_layer=4, n_head=4, n_positions=256, bos_token_id=0, eos_token_id=1
    )
    transformers.GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _package(folder: Path, write: Any) -> Manifest:
    write(folder / "huggingface")
    signature = tasks.load("text-generation").signature({}, ())
    formats = {"transformers": "huggingface/config.json"}
    manifest = Manifest(
        task="text-generation",
        signature=signature,
        tensors=signature,
        preprocessing={"context": 8192},
        formats=formats,
    )
    return packages.write(folder, manifest)


def _recipe(name: str) -> dict[str, Any]:
    from modelyard.training.recipe_text import read_yaml

    return dict(read_yaml((RECIPES / name).read_text()))


if __name__ == "__main__":
    main()
