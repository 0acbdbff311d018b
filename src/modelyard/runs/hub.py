"""Downloads from the Hugging Face hub, by its own library: weights in safe formats, configurations, tokenizers, the
card. No Python file, no pickle, no remote code.

HF_ENDPOINT, HF_HUB_OFFLINE (the library's cache is used then) and HF_TOKEN are the platform's own environment.
"""

import logging
import os
import re
import shutil
from pathlib import Path, PurePosixPath
from typing import Any, Final

from modelyard.errors import (
    Forbidden,
    InvalidInput,
    MissingExtra,
    ModelyardError,
    NotAllowedFormat,
    NotFound,
    Unavailable,
)
from modelyard.runs.context import RunContext
from modelyard.trust.inspection.archives import check_name

_log = logging.getLogger(__name__)
_REPOSITORY: Final = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}")
_BESIDE: Final = ("*.json", "*.jinja", "*vocab*.txt", "merges.txt", "*.model", "README.md", "LICENSE*")
_WEIGHTS: Final = ("*.safetensors", "*.onnx", "*.gguf", "*.keras", "*.skops", "*.pt2", "*.xml")
_PICKLES: Final = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".joblib", ".msgpack")
_TIMEOUT: Final = 30.0


def download(context: RunContext, name: str, revision: str | None) -> tuple[Path, str | None]:
    """The folder with the model's files, and the commit that they are of. An attempt goes on where the last one
    stopped.

    Args:
        name: "ORG/NAME", or "ORG/NAME/FILE" for one file of several.

    Raises:
        NotFound, Forbidden: no such model or revision; a gated one.
        NotAllowedFormat: its weights are pickles alone. Unavailable: the hub does not answer, or is not to be
        asked.
    """
    repository, file = split(name)
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"  # read when the library is loaded
    try:
        import huggingface_hub
        from huggingface_hub import constants
    except ImportError as error:
        raise MissingExtra("huggingface_hub", "hub") from error
    folder = context.checkpoints / "hub"
    try:
        if constants.HF_HUB_OFFLINE:
            return _from_cache(repository, file, revision, folder), None
        return _fetch(context, huggingface_hub, (repository, file, revision), folder)
    except ModelyardError:
        raise
    except Exception as error:  # the library's and its HTTP client's
        raise _said(error, repository, revision) from error


def split(name: str) -> tuple[str, str | None]:
    """ "ORG/NAME" and, where one is named, a file of it. Raises InvalidInput."""
    parts = name.split("/", 2)
    repository = "/".join(parts[:2])
    if not _REPOSITORY.fullmatch(repository) or ".." in repository:
        raise InvalidInput("not a model of the hub", came=name, allowed="ORG/NAME, ORG/NAME/FILE")
    if len(parts) == 3:
        check_name(parts[2], repository)
        return repository, parts[2]
    return repository, None


def chosen(files: list[str], only: str | None, repository: str) -> list[str]:
    """Which files of a model are fetched. Raises NotAllowedFormat and NotFound."""
    if only is not None:
        if only not in files:
            raise NotFound(f"{repository} has no such file", came=only, allowed=sorted(files)[:20])
        return [only]
    for pattern in _WEIGHTS:
        weights = [f for f in files if _fits(f, (pattern,)) and "/" not in f] or [
            f for f in files if _fits(f, (pattern,))
        ]
        if not weights:
            continue
        if pattern in ("*.gguf", "*.onnx") and len(weights) > 1:
            raise InvalidInput(
                f"{repository} has several models", came=sorted(weights)[:10], allowed=f"hf:{repository}/FILE"
            )
        return sorted({*weights, *(f for f in files if _fits(f, _BESIDE) and "/" not in f)})
    pickles = [f for f in files if f.endswith(_PICKLES)]
    if pickles:
        raise NotAllowedFormat(
            f"the weights of {repository} are pickles, which can run code and are not fetched",
            came=sorted(pickles)[:5],
            allowed="a revision or a model with *.safetensors",
        )
    raise NotAllowedFormat(f"{repository} has no weights of a format that is known", allowed=_WEIGHTS)


def _fits(file: str, patterns: tuple[str, ...]) -> bool:
    return any(PurePosixPath(file.rpartition("/")[2]).match(p) for p in patterns)


def _fetch(
    context: RunContext, library: Any, what: tuple[str, str | None, str | None], folder: Path
) -> tuple[Path, str]:
    repository, only, revision = what
    token = os.environ.get("HF_TOKEN") or False
    info = library.HfApi(token=token).model_info(
        repository, revision=revision, files_metadata=True, timeout=_TIMEOUT
    )
    sizes = {s.rfilename: s.size or 0 for s in info.siblings or ()}
    files = chosen(list(sizes), only, repository)
    total, done = sum(sizes[f] for f in files) or 1, 0
    _log.info("%s at %s: %d files, %.1f MB", repository, info.sha, len(files), total / 1e6)
    for file in files:
        check_name(file, repository)
        context.reporter.progress(done / total, 3, f"downloading {file}")
        context.reporter.check()
        library.hf_hub_download(repository, file, revision=info.sha, local_dir=folder, token=token)
        done += sizes[file]
    return folder, str(info.sha)


def _from_cache(repository: str, only: str | None, revision: str | None, folder: Path) -> Path:
    """What the library's cache holds, without asking anyone. Its files are links; here they are copies."""
    import huggingface_hub

    snapshot = Path(huggingface_hub.snapshot_download(repository, revision=revision, local_files_only=True))
    files = [p.relative_to(snapshot).as_posix() for p in snapshot.rglob("*") if p.is_file()]
    shutil.rmtree(folder, ignore_errors=True)
    for file in chosen(files, only, repository):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(snapshot / file, folder / file)
    return folder


def _said(error: Exception, repository: str, revision: str | None) -> ModelyardError:
    kind = type(error).__name__
    _log.warning("the hub: %s: %s", kind, error)
    if kind == "GatedRepoError":
        return Forbidden(
            f"{repository} is gated: accept its terms on the hub, and start the platform with HF_TOKEN"
        )
    if kind == "RevisionNotFoundError":
        return NotFound(f"{repository} has no such revision on the hub", came=revision)
    if kind in ("RepositoryNotFoundError", "EntryNotFoundError", "RemoteEntryNotFoundError"):
        return NotFound(f"there is no model {repository!r} on the hub, or it is private")
    if kind == "LocalEntryNotFoundError" and os.environ.get("HF_HUB_OFFLINE"):
        return Unavailable(f"{repository} is not in the cache, and HF_HUB_OFFLINE forbids to ask the hub")
    return Unavailable("the hub does not answer as it should", came=kind)
