"""A model into a package: the first form of it that answers as its framework does."""

import logging
import platform
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from modelyard import engines, packages
from modelyard.conversion import table
from modelyard.conversion.adapting import Adapted, adapt
from modelyard.conversion.contract import Context, Form, Framework, Job, Options, Origin, Stored, Subject
from modelyard.conversion.reasons import reason
from modelyard.engines import parity
from modelyard.engines.table import open_engine
from modelyard.errors import InvalidInput, MissingExtra, ModelyardError, NotAllowedFormat, ParityMismatch
from modelyard.packages import golden
from modelyard.types.package import Golden, Manifest

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Packaged:
    """A package that was written. `notes` are its manifest's."""

    manifest: Manifest
    format: str
    notes: tuple[str, ...]


def package(
    model: Any,
    out: Path,
    options: Options | None = None,
    *,
    example: Any = None,
    origin: Origin | None = None,
    context: Context | None = None,
) -> Packaged:
    """Write the package of a live model into the new folder `out`.

    Args:
        model: see `table.FRAMEWORKS`.
        example: a batch that the model can be asked, in its framework's own terms; PyTorch and scikit-learn models
            need one.

    Raises:
        InvalidInput: no model, an example that does not fit it, a task that it cannot do.
        ParityMismatch: no form of it answers as its framework does.
        MissingExtra: a library is not there.
        NotAllowedFormat: no engine runs it, and the context does not keep it.
    """
    framework = table.framework_of(model)
    return _package(
        framework, model, out, options or Options(), example, origin or Origin(), context or Context()
    )


def package_file(
    path: Path,
    format: str,
    out: Path,
    options: Options | None = None,
    *,
    origin: Origin | None = None,
    context: Context | None = None,
) -> Packaged:
    """The same of a file, or a folder, of a format in `table.FORMATS`. Nothing here inspects it: that is
    `modelyard.trust.inspection`'s, before. Raises as `package` does."""
    module = table.loader_of(format)
    return _package(
        module, module.load(path), out, options or Options(), None, origin or Origin(), context or Context()
    )


def _package(framework: Framework, model: Any, out: Path, options: Options, example: Any, origin: Origin,
             context: Context) -> Packaged:  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="modelyard-conversion-") as work:
        job = Job(options=options, example=example, origin=origin, work=Path(work))
        subject = framework.subject(model, job)
        if isinstance(subject, Stored) and subject.refusal is not None and not context.keep:
            raise NotAllowedFormat(subject.refusal)
        if isinstance(subject, Stored):
            return _store(subject, out, options, context)
        adapted = adapt(subject, job)
        return _Attempts(subject, adapted, options, context).first(Path(work), out)


class _Attempts:
    """Tries the forms of one subject, one after the other."""

    def __init__(self, subject: Subject, adapted: Adapted, options: Options, context: Context) -> None:
        self._subject, self._adapted, self._options, self._context = subject, adapted, options, context
        self._refused: list[tuple[str, str]] = []  # format and why
        self._last: Exception | None = None

    def first(self, work: Path, out: Path) -> Packaged:
        for number, form in enumerate(self._subject.forms):
            folder = work / f"form-{number}"
            folder.mkdir()
            try:
                manifest = self._try(form, folder)
            except Exception as error:  # exporters raise whatever they stumble over
                self._note(form, error)
                continue
            return self._finish(form, manifest, folder, out)
        raise self._failure()

    def _try(self, form: Form, folder: Path) -> Manifest:
        kept: Golden | None = None
        if sets := form.golden or self._subject.golden:
            kept = golden.write_sets(folder, sets)
        manifest = self._manifest(form, form.save(folder), kept)
        engine = open_engine(folder, manifest, engines.EngineOptions())
        parity.replay(engine, folder, manifest)
        return manifest

    def _note(self, form: Form, error: Exception) -> None:
        self._last = error
        _log.debug("%s failed", form.format, exc_info=error)
        self._refused.append((form.format, f"not as {form.format}: {reason(error)}"))

    def _finish(self, form: Form, manifest: Manifest, folder: Path, out: Path) -> Packaged:
        refused = [why for format, why in self._refused if format != form.format]
        notes = (*self._subject.notes, *self._adapted.notes, *refused)
        if notes:
            manifest = msgspec.structs.replace(manifest, notes=notes)
        if form.format != "onnx" and self._context.requirements is not None:
            manifest = msgspec.structs.replace(manifest, requirements=self._context.requirements)
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(folder, out)
        for note in notes:
            self._context.say(note)
        written = packages.write(out, manifest)
        engines.open_model(out, verify=False, replay=False)  # the task takes what it is given
        return Packaged(manifest=written, format=form.format, notes=notes)

    def _failure(self) -> ModelyardError:
        why = "; ".join(why for _, why in self._refused)
        if isinstance(self._last, MissingExtra) and len(self._refused) == 1:
            return self._last
        if isinstance(self._last, ParityMismatch):
            return ParityMismatch(f"no form of the model answers as it does itself: {why}")
        return InvalidInput(f"the model cannot be packaged: {why}")

    def _manifest(self, form: Form, entry: str, kept: Golden | None) -> Manifest:
        adapted, subject = self._adapted, self._subject
        return Manifest(
            task=adapted.task,
            signature=adapted.signature,
            tensors=form.tensors or subject.tensors,
            preprocessing=adapted.preprocessing,
            labels=adapted.labels,
            formats={form.format: entry},
            net=subject.net,
            golden=kept,
            lineage=self._context.lineage,
            licence=self._options.licence,
            environment=_environment(subject.libraries),
            adapter=adapted.adapter,
        )


def _store(stored: Stored, out: Path, options: Options, context: Context) -> Packaged:
    """The files go straight to where they stay: they may be hard links, which do not cross disks."""
    out.mkdir(parents=True)
    try:
        entry = stored.form.save(out)
        manifest = Manifest(
            task=stored.task,
            signature=stored.signature,
            tensors=stored.signature,
            labels=stored.labels,
            formats={stored.form.format: entry},
            net=stored.net,
            lineage=context.lineage,
            licence=options.licence,
            environment=_environment(stored.libraries),
            preprocessing=stored.preprocessing,
            refusal=msgspec.UNSET if stored.refusal is None else stored.refusal,
        )
        if stored.notes:
            manifest = msgspec.structs.replace(manifest, notes=stored.notes)
        written = packages.write(out, manifest)
    except BaseException:
        shutil.rmtree(out)
        raise
    if stored.refusal is not None:
        context.say(f"stored, and not deployable: {stored.refusal}")
    return Packaged(manifest=written, format=stored.form.format, notes=stored.notes)


def _environment(libraries: Sequence[str]) -> dict[str, str]:
    """Versions of what made the package, of those that are installed under their usual name."""
    found = {"python": platform.python_version()}
    for name in ("modelyard", "numpy", "onnxruntime", *libraries):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
