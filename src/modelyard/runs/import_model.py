"""import: a model that was made elsewhere into a version.

Its files are inspected in a sandbox of one use, what does not belong to the model is left out, and it is
converted in another sandbox to what an engine opens. What cannot be converted is stored and says why it is not
deployed.
"""

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from modelyard import packages
from modelyard.conversion.contract import Options
from modelyard.errors import InvalidInput, ModelyardError, NotFound, TooLarge, from_dict
from modelyard.files import link_or_copy, remove_tree, write_atomic
from modelyard.packages import generators
from modelyard.packages.card import licence_of
from modelyard.runs import bundles, fastest, hub, keeping
from modelyard.runs.bundles import inspect_package
from modelyard.runs.context import RunContext
from modelyard.runs.converting import PACKAGE_NAME, RESULT_NAME, Result, Spec
from modelyard.trust import sandbox
from modelyard.trust.inspection import huggingface
from modelyard.trust.inspection.apart import inspect_sandboxed
from modelyard.trust.inspection.contract import Inspection
from modelyard.trust.leavings import check_plain, read_plain
from modelyard.types.package import MANIFEST_NAME, FileEntry, Lineage, Manifest, encode_manifest
from modelyard.types.run import RunOutcome

_log = logging.getLogger(__name__)
_KEPT_IF_NOT_CONVERTED: Final = ("safetensors",)
_WITHOUT_CODE: Final = ("onnx", "gguf", "safetensors")
"""Formats whose files are data alone: they are opened without a sandbox where there is none."""
_SUFFIXES: Final = {"onnx": ".onnx", "keras": ".keras", "skops": ".skops", "pt2": ".pt2", "gguf": ".gguf",
                    "safetensors": ".safetensors"}  # fmt: skip
"""Of formats that are one file."""
_MEMORY: Final = 16 << 30
_RESULT_BYTES: Final = 1 << 20
_SECONDS: Final = 3600.0
_LOOK: Final = 0.2


class Params(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    name      of the model that gets the version
    sources   names of files below inputs/sources/
    digests   of these, where they are uploads: they were hashed when they came
    hub       "ORG/NAME" of the Hugging Face hub, in the place of sources; `revision` a branch, tag or commit
    format    which format, where the files hold more than one
    options   what the owner says of the model
    """

    name: str
    sources: tuple[str, ...] = ()
    digests: dict[str, str] = {}
    hub: str | None = None
    revision: str | None = None
    format: str | None = None
    options: Options = Options()


def run(context: RunContext) -> RunOutcome:
    """Write outputs/package/. Raises what the inspection, the hub and `conversion.package_file` do."""
    return _Import(context).run()


class _Import:
    """One import, from its source to its package."""

    def __init__(self, context: RunContext) -> None:
        self._context, self._params = context, context.params(Params)
        self._work = context.attempt / "work"
        self._licence = self._params.options.licence
        remove_tree(self._work)  # of an attempt that was cut off
        self._work.mkdir(parents=True)

    def run(self) -> RunOutcome:
        source, commit = self._source()
        self._progress(1, "inspecting")
        unpacked = self._work / "unpacked"
        unpacked.mkdir()
        found = inspect_sandboxed(source, self._name(source), unpack=unpacked, wanted=self._params.format)
        if any(unpacked.iterdir()):
            source = unpacked
        if found.format == "bundle":
            return bundles.take(self._context, source)
        self._say(f"format: {found.format}: {found.why}")
        for note in found.notes:
            self._say(note)
        model = self._clean(source, found)
        manifest = self._make(model, found)
        return RunOutcome(
            state="succeeded",
            outputs={"package": PACKAGE_NAME},
            summary=self._summary(found, manifest, commit),
        )

    def _source(self) -> tuple[Path, str | None]:
        """The file, or the folder of them, and the commit of a download."""
        if self._params.hub is not None:
            self._progress(0, f"downloading {self._params.hub}")
            return hub.download(self._context, self._params.hub, self._params.revision)
        folder = self._context.input("sources")
        if len(self._params.sources) == 1 and (folder / self._params.sources[0]).is_file():
            return folder / self._params.sources[0], None
        return folder, None

    def _name(self, source: Path) -> str:
        return self._params.hub or (source.name if source.is_file() else self._params.name)

    def _clean(self, source: Path, found: Inspection) -> Path:
        """The model's own files, alone in a folder; a single file by itself."""
        base = source / found.entry if found.entry else source
        kept = found.keep
        if base.is_file():
            base, kept = base.parent, (base.name,)
        clean = self._work / "model"
        for name in kept:
            target = clean / (name if len(kept) > 1 else _suffixed(name, found.format))
            target.parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(base / name, target)
        if self._licence == Options().licence:
            self._licence = _licence(base, found) or self._licence
        if found.format == "safetensors":
            _drop_code(clean)
        return clean

    def _make(self, model: Path, found: Inspection) -> Manifest:
        if self._params.options.engine != "auto" and not generators.generates(found):
            raise InvalidInput(
                "an engine is chosen for language models alone",
                came=self._params.options.engine,
                allowed="auto",
            )
        if keeping.at_once(found):
            return self._with_engine(self._keep(model, found, None))
        try:
            return self._convert(model, found)
        except ModelyardError as error:
            if found.format not in _KEPT_IF_NOT_CONVERTED or error.code == "cancelled":
                raise
            self._say(f"stored as it is: {error.message}")
            remove_tree(self._context.outputs / PACKAGE_NAME)
            return self._keep(model, found, error)

    def _keep(self, model: Path, found: Inspection, error: ModelyardError | None) -> Manifest:
        self._progress(2, "storing")
        known = dict(self._hashed(model))
        said = keeping.Said(
            task=self._params.options.task or found.task or "tensors",
            licence=self._licence,
            refusal=keeping.refusal_of(found, error),
            lineage=Lineage(run=self._context.spec.id),
            known=known,
        )
        return keeping.keep(model, found, self._context.outputs / PACKAGE_NAME, said)

    def _with_engine(self, manifest: Manifest) -> Manifest:
        """Of a language model: served by the engine that was said, or by the fastest here."""
        if manifest.refusal is not msgspec.UNSET or not set(fastest.OWN) & manifest.formats.keys():
            return manifest
        choice = fastest.Choice(
            context=self._context,
            package=self._context.outputs / PACKAGE_NAME,
            work=self._work / "engines",
            engine=self._params.options.engine,
            launch=self._params.options.launch,
            say=self._say,
        )
        return choice.make(manifest)

    def _hashed(self, model: Path) -> Iterator[tuple[str, FileEntry]]:
        """Files that are uploads themselves, whose digests are known."""
        for name, digest in self._params.digests.items():
            kept, came = model / name, self._context.folder / "inputs/sources" / name
            if kept.is_file() and came.is_file() and kept.samefile(came):
                yield name, FileEntry(sha256=digest, size=kept.stat().st_size)

    def _convert(self, model: Path, found: Inspection) -> Manifest:
        self._progress(2, "converting")
        if found.format not in _WITHOUT_CODE:
            sandbox.demand(self._context.spec.allow_unsandboxed)
        out = self._work / "converted"
        out.mkdir(exist_ok=True)
        result = self._converted(self._spec(model, found, out), out)
        if result.error is not None:
            raise from_dict(result.error)
        for note in result.notes:
            self._say(note)
        return self._take(out / PACKAGE_NAME, found, result.notes)

    def _spec(self, model: Path, found: Inspection, out: Path) -> Path:
        names = [p for p in model.iterdir()] if found.format not in ("savedmodel", "safetensors") else []
        path = _entry(names, found.format) if names else model
        spec = Spec(
            path=str(path.absolute()),
            format=found.format,
            out=str(out.absolute()),
            options=msgspec.structs.replace(self._params.options, licence=self._licence),
            guess=found.task,
            lineage=Lineage(run=self._context.spec.id),
        )
        file = self._work / "spec.json"
        file.write_bytes(msgspec.json.encode(spec))
        return file

    def _converted(self, spec: Path, out: Path) -> Result:
        """What the process in the sandbox said as its last act."""
        model = self._work / "model"
        env = {
            "TMPDIR": str(out),
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "OMP_WAIT_POLICY": "PASSIVE",
            "HF_HUB_OFFLINE": "1",
        }
        limits = sandbox.Limits(memory_bytes=_MEMORY, seconds=_SECONDS)
        home = self._context.folder.parent.parent
        box = sandbox.Sandbox(hide=(home,), read=(model, spec), write=(out,), cwd=out, env=env, limits=limits)
        argv = [sys.executable, "-m", "modelyard.runs.converting", str(spec)]
        watch = sandbox.Watch(
            sandbox.start(argv, box, stdout=sys.stdout.fileno(), stderr=subprocess.STDOUT), box
        )
        try:
            while (ended := watch.wait(_LOOK)) is None:
                self._context.reporter.check()
        finally:
            watch.end()
        if ended.passed is not None:
            raise TooLarge("the conversion needed more than it may use", came=ended.passed.message)
        check_plain(out)  # a link or a pipe that was left would lead us elsewhere, or nowhere
        try:
            return msgspec.json.decode(read_plain(out / RESULT_NAME, _RESULT_BYTES), type=Result)
        except (NotFound, msgspec.MsgspecError):
            raise InvalidInput(
                "the conversion came to no end; the run's log says more", came=f"status {ended.code}"
            ) from None

    def _take(self, folder: Path, found: Inspection, said: tuple[str, ...]) -> Manifest:
        """The package, with what this run alone can say. What the sandbox wrote is inspected as what came was."""
        manifest = packages.read(folder, verify=False)
        notes = tuple(dict.fromkeys((found.why, *found.notes, *said, *(manifest.notes or ()))))
        true = msgspec.structs.replace(
            manifest, lineage=Lineage(run=self._context.spec.id), licence=self._licence, notes=notes,
            refusal=msgspec.UNSET, requirements=msgspec.UNSET,
        )  # fmt: skip
        write_atomic(folder / MANIFEST_NAME, encode_manifest(true))
        inspect_package(folder, true)
        folder.rename(self._context.outputs / PACKAGE_NAME)
        return true

    def _summary(self, found: Inspection, manifest: Manifest, commit: str | None) -> dict[str, Any]:
        guessed = self._params.options.task is None
        summary = {
            "format": found.format,
            "served_as": sorted(manifest.formats),
            "task": manifest.task,
            "why": list(manifest.notes or ())
            if guessed
            else ["the task is as you said", *(manifest.notes or ())],
            "facts": found.facts,
            "bytes": found.bytes,
            "files": found.files,
            "licence": manifest.licence,
        }
        if isinstance(manifest.refusal, str):
            summary["refusal"] = manifest.refusal
        if self._params.hub is not None:
            summary |= {"hub": self._params.hub, "commit": commit}
        return summary

    def _progress(self, done: float, text: str) -> None:
        self._context.reporter.progress(done, 3, text)
        self._context.reporter.check()

    def _say(self, text: str) -> None:
        _log.info("%s", text)


def _suffixed(name: str, format: str) -> str:
    """Frameworks go by a file's name."""
    suffix = _SUFFIXES.get(format, "")
    return name if name.lower().endswith(suffix) else f"{name}{suffix}"


def _entry(names: list[Path], format: str) -> Path:
    suffix = {"onnx": ".onnx", "openvino": ".xml"}.get(format)
    files = [p for p in names if suffix is None or p.suffix == suffix] or names
    return files[0]


def _licence(base: Path, found: Inspection) -> str | None:
    """What the card beside the model says, or the model's own header."""
    card = base / "README.md"
    if card.is_file() and (said := licence_of(card.read_bytes()[: 1 << 20])) is not None:
        return said
    named = found.facts.get("general.license")
    return named[:100] if isinstance(named, str) and named.isprintable() else None


def _drop_code(folder: Path) -> None:
    """Configurations without the entries that name code to import."""
    for path in folder.rglob("*.json"):
        if path.name not in (
            "config.json",
            "tokenizer_config.json",
            "processor_config.json",
            "preprocessor_config.json",
        ):
            continue
        config = msgspec.json.decode(path.read_bytes())
        if isinstance(config, dict) and (clean := huggingface.without_code(config)) != config:
            path.unlink()  # it is a link to what came
            path.write_bytes(msgspec.json.encode(clean))
