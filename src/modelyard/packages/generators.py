"""What the package of a model that generates says besides its own files: its limits and its chat template."""

import json
from pathlib import Path
from typing import Any, Final

from modelyard.trust.inspection.contract import Inspection
from modelyard.trust.inspection.gguf import TEMPLATE, read_header

TEMPLATE_FILE: Final = "chat_template.jinja"
FOLDER: Final = "huggingface/"
_LONGEST_TEMPLATE: Final = 1 << 20


def generates(found: Inspection) -> bool:
    """Whether an engine opens the files as they are and goes on from texts."""
    if found.task != "text-generation":
        return False
    if found.format == "gguf":
        return True
    names = found.facts.get("architectures") or [""]
    return found.format == "safetensors" and str(names[0]).endswith(("ForCausalLM", "LMHeadModel"))


def format_of(found: Inspection) -> str:
    """The engine's name of the format."""
    return "transformers" if found.format == "safetensors" else found.format


def describe(source: Path, found: Inspection, out: Path) -> dict[str, Any]:
    """The package's preprocessing; a chat template becomes a file of the package in `out`."""
    return _written(out, *(_of_gguf(source) if found.format == "gguf" else _of_folder(source)))


def describe_folder(source: Path, out: Path) -> dict[str, Any]:
    """The same of a Hugging Face folder."""
    return _written(out, *_of_folder(source))


def _written(out: Path, said: dict[str, Any], template: str) -> dict[str, Any]:
    if template:
        (out / TEMPLATE_FILE).write_text(template[:_LONGEST_TEMPLATE], encoding="utf-8")
        said["chat_template"] = TEMPLATE_FILE
    return said


def _of_gguf(source: Path) -> tuple[dict[str, Any], str]:
    path = source if source.is_file() else next(p for p in source.iterdir() if p.suffix == ".gguf")
    header = read_header(path)
    context = header.values.get(f"{header.values.get('general.architecture')}.context_length")
    said: dict[str, Any] = {"context": context if isinstance(context, int) else 0}
    if header.first:
        said["bos_token"] = header.first
    template = header.values.get(TEMPLATE)
    return said, template if isinstance(template, str) else ""


def _of_folder(source: Path) -> tuple[dict[str, Any], str]:
    config = _json(source / "config.json")
    said: dict[str, Any] = {
        "context": int(config.get("max_position_embeddings") or config.get("n_positions") or 0)
    }
    tokenizer = _json(source / "tokenizer_config.json")
    for name in ("bos_token", "eos_token"):
        token = tokenizer.get(name)
        text = token.get("content") if isinstance(token, dict) else token
        if isinstance(text, str):
            said[name] = text
    file = source / TEMPLATE_FILE
    template = file.read_text(encoding="utf-8") if file.is_file() else tokenizer.get("chat_template")
    if isinstance(template, list):  # several, by name
        named = {t.get("name"): t.get("template") for t in template if isinstance(t, dict)}
        template = named.get("default")
    return said, template if isinstance(template, str) else ""


def _json(path: Path) -> dict[str, Any]:
    value = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return value if isinstance(value, dict) else {}
