"""The engine of a language model that was brought: what was said, or the fastest on this machine.

The files as they came are one candidate (llama.cpp, transformers); the other is OpenVINO, for which they are
converted. Each is measured in a process of its own, and OpenVINO's must answer as the model itself did.
"""

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from modelyard import environments, packages
from modelyard.conversion import causal
from modelyard.engines import measuring
from modelyard.engines.generation import GeneratorOptions
from modelyard.engines.measuring import Figures
from modelyard.engines.replying import compare
from modelyard.engines.vllm.launch import Launch, read_launch
from modelyard.errors import Cancelled, InvalidInput, MissingExtra, ModelyardError, ParityMismatch, from_dict
from modelyard.files import link_or_copy, remove_tree
from modelyard.packages import replies as golden
from modelyard.runs import apart
from modelyard.runs.context import RunContext
from modelyard.trust.inspection.apart import inspect_sandboxed
from modelyard.trust.sandbox import Limits
from modelyard.types.package import Manifest

OPENVINO: Final = "openvino"
VLLM: Final = "vllm"
_LAUNCH: Final = "vllm.json"
OWN: Final = {"gguf": "llama_cpp", "transformers": "transformers"}
"""Format of files as they came -> the engine that opens them."""
_KEPT: Final = ("transformers",)
"""Formats that stay beside OpenVINO's: they can be trained on."""
_MEMORY: Final = 24 << 30
_CONVERTING: Final = Limits(memory_bytes=_MEMORY, seconds=7200.0)
_MEASURING: Final = Limits(memory_bytes=_MEMORY, seconds=900.0)

Say = Callable[[str], None]


@dataclass(kw_only=True)
class Choice:
    """One import's. `package` is a whole package of the files as they came; `work` an empty folder; `engine` what
    the owner said, or "auto"; `launch` how vLLM is to be started."""

    context: RunContext
    package: Path
    work: Path
    engine: str
    say: Say
    launch: Mapping[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def make(self, manifest: Manifest) -> Manifest:
        """The package with the engine that was chosen. Raises what keeps an engine from being the one that was
        said; of others it becomes a note."""
        format = next(name for name in manifest.formats if name in OWN)
        own = OWN[format]
        if self.engine == VLLM and format == "transformers":
            return self._vllm(manifest)
        if self.launch:
            raise InvalidInput("launch is of vllm, for Hugging Face folders", came=f"{self.engine}, {format}")
        if self.engine in (own, "auto", OPENVINO):
            if self.engine == own:
                return manifest
            try:
                return self._chosen(manifest, format)
            except Cancelled:
                raise
            except ModelyardError as error:
                if self.engine != "auto":
                    raise
                self._note(f"it stays with {own}: {error.message}")
                return self._written(manifest)
        others = (VLLM,) if format == "transformers" else ()
        raise InvalidInput(
            "the engine does not open these files", came=self.engine, allowed=(own, OPENVINO, *others)
        )

    def _vllm(self, manifest: Manifest) -> Manifest:
        """Its files stay as they are; vLLM itself is where the replicas run, so that nothing is measured here."""
        try:
            launch = msgspec.convert(dict(self.launch), Launch, strict=False)  # of a command line: texts
        except msgspec.ValidationError as error:
            raise InvalidInput(f"launch: {error}", allowed=Launch.__struct_fields__) from error
        path = self.package / _LAUNCH
        path.write_bytes(msgspec.json.format(msgspec.json.encode(launch), indent=2) + b"\n")
        read_launch(path, GeneratorOptions())
        self._note("vllm, as you said: it was neither measured nor tried here")
        return self._written(msgspec.structs.replace(manifest, formats={VLLM: _LAUNCH, **manifest.formats}))

    def _chosen(self, manifest: Manifest, format: str) -> Manifest:
        _check_installed()
        candidates = self._own_figures(manifest, format)
        facts = self._convert(manifest, format)
        figures = self._figures(causal.FORMAT, self.work / "converted" / causal.ENTRY)
        _check_parity(facts, figures, candidates)
        best, why = measuring.choose([figures, *candidates])
        for one in (*candidates, figures):
            self._note(one.said())
        self._note(why if self.engine == "auto" else f"{self.engine}, as you said")
        if self.engine == "auto" and best is not figures:
            return self._written(self._with_replies(manifest, facts))
        return self._openvino(manifest, format, facts)

    def _own_figures(self, manifest: Manifest, format: str) -> list[Figures]:
        """Empty where its library is not installed, or the owner has decided without."""
        try:
            return [self._figures(format, self.package / manifest.formats[format])]
        except MissingExtra as error:
            self._note(f"{OWN[format]} could not be measured: {error.message}")
        except Cancelled:
            raise
        except ModelyardError as error:
            if self.engine == "auto":  # files that their own engine does not open are not worth a conversion
                raise
            self._note(f"{OWN[format]} could not be measured: {error.message}")
        return []

    def _figures(self, format: str, entry: Path) -> Figures:
        self._progress(f"measuring {OWN.get(format, OPENVINO)}")
        out = self._folder(f"measured-{format}")
        spec = measuring.Spec(
            format=format,
            entry=str(entry.absolute()),
            result=str((out / causal.RESULT).absolute()),
            prompts=causal.PROMPTS,
        )
        work = apart.Work(
            what="measuring an engine",
            module="modelyard.engines.measuring",
            spec=spec,
            out=out,
            result=causal.RESULT,
            read=(entry.parent.absolute(),),
            limits=_MEASURING,
        )
        result = apart.run(self.context, work, measuring.Result)
        if result.figures is None:
            raise from_dict(result.error or {})
        return result.figures

    def _convert(self, manifest: Manifest, format: str) -> causal.Facts:
        self._progress("preparing the conversion to OpenVINO")
        home = Path(self.context.spec.environments)
        python = environments.ensure(home, causal.REQUIREMENTS, self._heard)
        self._progress("converting to OpenVINO")
        entry = (self.package / manifest.formats[format]).absolute()
        out = self._folder("converted")
        spec = causal.Spec(
            source=str(entry if format == "gguf" else entry.parent),
            format=format,
            out=str(out.absolute()),
        )
        work = apart.Work(
            what="the conversion",
            module="modelyard.conversion.causal_process",
            spec=spec,
            out=out,
            result=causal.RESULT,
            read=(entry.parent,),
            python=python,
            limits=_CONVERTING,
        )
        result = apart.run(self.context, work, causal.Result)
        if result.facts is None:
            raise from_dict(result.error or {})
        inspect_sandboxed(out / causal.ENTRY, causal.ENTRY)
        if result.facts.differing:
            self._note(f"OpenVINO's tokenizer reads {result.facts.differing} of {result.facts.odd} odd texts in "
                       "another way; texts are read by tokenizer.json")  # fmt: skip
        return result.facts

    def _openvino(self, manifest: Manifest, format: str, facts: causal.Facts) -> Manifest:
        made = self.work / "converted" / causal.FOLDER
        for path in sorted(p for p in made.rglob("*") if p.is_file()):
            target = self.package / causal.FOLDER / path.relative_to(made)
            target.parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(path, target)
        kept = {name: entry for name, entry in manifest.formats.items() if name in _KEPT}
        if format not in _KEPT:
            (self.package / manifest.formats[format]).unlink()
        given = msgspec.structs.replace(manifest, formats={causal.FORMAT: causal.ENTRY, **kept})
        return self._written(self._with_replies(given, facts))

    def _with_replies(self, manifest: Manifest, facts: causal.Facts) -> Manifest:
        """Both engines were held against these, whichever it is."""
        told = golden.write(self.package, facts.replies, causal.TOLERANCE)
        return msgspec.structs.replace(manifest, replies=told)

    def _written(self, manifest: Manifest) -> Manifest:
        known = dict(manifest.files)
        notes = (*(manifest.notes or ()), *self.notes)
        return packages.write(self.package, msgspec.structs.replace(manifest, notes=notes), known=known)

    def _folder(self, name: str) -> Path:
        folder = self.work / name
        remove_tree(folder)
        folder.mkdir(parents=True)
        return folder

    def _heard(self, line: str) -> None:
        print(line, flush=True)
        self.context.reporter.check()

    def _progress(self, text: str) -> None:
        self.context.reporter.progress(2, 3, text)
        self.context.reporter.check()

    def _note(self, text: str) -> None:
        self.notes.append(text)
        self.say(text)


def _check_installed() -> None:
    for library in ("openvino_genai", "openvino_tokenizers", "tokenizers"):
        if importlib.util.find_spec(library) is None:
            raise MissingExtra(library, "openvino-llm")


def _check_parity(facts: causal.Facts, figures: Figures, candidates: list[Figures]) -> None:
    """Raises ParityMismatch where OpenVINO answers in another way than the model itself, or than another engine."""
    if not facts.replies:
        raise ParityMismatch("the model is sure of no answer that OpenVINO's could be held against")
    sure = {reply.prompt: reply for reply in facts.replies}
    for one in (figures, *candidates):
        for reply in one.replies:
            if reply.prompt in sure:
                compare(sure[reply.prompt], reply, causal.TOLERANCE)
