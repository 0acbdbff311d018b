"""Opening a package whose model generates: its engine, its chat template, its golden replies."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from modelyard import packages, tasks
from modelyard.dialects import Served
from modelyard.engines import replying
from modelyard.engines.generation import Generator, GeneratorOptions
from modelyard.engines.table import generator_format, open_generator
from modelyard.serving.templates import TemplateProcess
from modelyard.types.chat import DEFAULT_STOPS, DEFAULT_TEMPLATE
from modelyard.types.package import Manifest
from modelyard.types.replica import Hello


@dataclass(frozen=True, kw_only=True)
class Opened:
    """What a replica serves."""

    hello: Hello
    served: Served
    generator: Generator


class ModelChat:
    """See `dialects.contract.Chat`. `stops` end an answer of a model that was never taught where one ends."""

    def __init__(self, template: TemplateProcess, stops: tuple[str, ...]) -> None:
        self.render = template.render
        self.stops = stops


def open_served(
    folder: Path, manifest: Manifest, options: GeneratorOptions, name: str, version: str
) -> Opened:
    """Open the verified package in `folder`. Raises InvalidInput, MissingExtra, Corrupt, ParityMismatch."""
    generator = open_generator(folder, manifest, options)
    prefill = asyncio.run(_tried(generator, folder, manifest))
    task = tasks.load(manifest.task)
    served = Served(
        name=name,
        version=version,
        signature=manifest.signature,
        labels=manifest.labels,
        task=task,
        prepared=task.prepare(manifest.preprocessing, folder),
        chat=_chat(folder, manifest) if generator.abilities.takes == "text" else None,
        abilities=generator.abilities,
    )
    hello = Hello(
        name=name,
        version=version,
        digest=packages.digest(manifest),
        task=manifest.task,
        platform=generator_format(manifest) or "",
        signature=manifest.signature,
        labels=manifest.labels,
        slots=generator.abilities.slots,
        context=generator.abilities.context,
        prefill=prefill,
    )
    return Opened(hello=hello, served=served, generator=generator)


async def _tried(generator: Generator, folder: Path, manifest: Manifest) -> float:
    if generator.abilities.takes != "text":
        return 0.0
    await replying.replay(generator, folder, manifest)
    return await replying.prefill_rate(generator)


def _chat(folder: Path, manifest: Manifest) -> ModelChat:
    """The model's own template; a plain one for models that have none."""
    known = manifest.preprocessing
    tokens = {name: str(known[name]) for name in ("bos_token", "eos_token") if known.get(name)}
    own = known.get("chat_template")
    if own is None:
        return ModelChat(TemplateProcess(DEFAULT_TEMPLATE, tokens), DEFAULT_STOPS)
    text = (folder / str(own)).read_text(encoding="utf-8")
    return ModelChat(TemplateProcess(text, tokens), ())
