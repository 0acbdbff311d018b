"""A model's folder as Hugging Face lays it out: config.json, *.safetensors, a tokenizer, a card.

`auto_map` and every .py are left out: no code of a model is ever imported. Weights that are pickles are refused.
"""

import re
from pathlib import Path
from typing import Any, Final

from modelyard.errors import NotAllowedFormat
from modelyard.trust.inspection import safetensors
from modelyard.trust.inspection.bounded import head_of, read_object
from modelyard.trust.inspection.contract import Inspection

_CONFIG_BYTES: Final = 4 << 20
_KEPT: Final = re.compile(
    r"[\w./-]*\.safetensors|[\w./-]*\.json|[\w./-]*\.jinja|[\w./-]*(vocab|merges)[\w.-]*\.txt|[\w./-]*\.model|README\.md|LICENSE(\.\w+)?"
)
_HEADS: Final = (
    ("WhisperForConditionalGeneration", "automatic-speech-recognition"),
    ("ForSequenceClassification", "text-classification"),
    ("ForTokenClassification", "token-classification"),
    ("ForQuestionAnswering", "question-answering"),
    ("ForMaskedLM", "fill-mask"),
    ("ForCausalLM", "text-generation"),
    ("LMHeadModel", "text-generation"),
    ("ForImageClassification", "image-classification"),
    ("ForObjectDetection", "object-detection"),
    ("ForConditionalGeneration", "text-generation"),
    ("ForSpeechSeq2Seq", "automatic-speech-recognition"),
    ("ForCTC", "automatic-speech-recognition"),
    ("Model", "feature-extraction"),
)
"""The end of an architecture's name -> task."""


def inspect(folder: Path, name: str, files: list[str]) -> Inspection:
    """`files` are the names of what lies in the folder. Raises Corrupt, NotAllowedFormat for weights in pickles."""
    weights = sorted(f for f in files if f.endswith(".safetensors"))
    if not weights:
        raise NotAllowedFormat(
            f"{name!r} has a config.json and no weights in safetensors",
            allowed="model.save_pretrained(folder), which writes safetensors",
        )
    config = read_object(
        head_of(folder / "config.json", _CONFIG_BYTES + 1), "config.json", limit=_CONFIG_BYTES
    )
    found = [safetensors.inspect(folder / f, f) for f in weights]
    architectures = [str(a)[:100] for a in config.get("architectures") or () if isinstance(a, str)]
    task = _task(architectures, files)
    kept = tuple(f for f in sorted(files) if _KEPT.fullmatch(f))
    return Inspection(
        format="safetensors",
        keep=kept,
        facts={
            "architectures": architectures,
            "model_type": str(config.get("model_type", ""))[:100],
            "tensors": sum(i.facts["tensors"] for i in found),
            "parameters": sum(i.facts["parameters"] for i in found),
            "dtypes": sorted({d for i in found for d in i.facts["dtypes"]}),
            "labels": _labels(config),
        },
        task=task,
        why=f"config.json names {', '.join(architectures) or config.get('model_type') or 'no architecture'}"[
            :200
        ],
        notes=_notes(config, files),
    )


def without_code(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration as it may be read: no entry that names code to import."""
    return {k: v for k, v in config.items() if k not in ("auto_map", "custom_pipelines")}


def _task(architectures: list[str], files: list[str]) -> str | None:
    if "modules.json" in files:
        return "feature-extraction"
    for architecture in architectures:
        for end, task in _HEADS:
            if architecture.endswith(end):
                return task
    return None


def _labels(config: dict[str, Any]) -> list[str]:
    labels = config.get("id2label")
    return [str(v)[:100] for v in list(labels.values())[:200]] if isinstance(labels, dict) else []


def _notes(config: dict[str, Any], files: list[str]) -> tuple[str, ...]:
    notes = []
    if "auto_map" in config:
        notes.append("config.json names code to import (auto_map): it was ignored")
    code = [f for f in files if f.endswith((".py", ".pyc", ".so"))]
    if code:
        notes.append(f"left out and never imported: {', '.join(code[:5])}{' ...' if len(code) > 5 else ''}")
    return tuple(notes)
