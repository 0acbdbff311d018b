"""A version's model card: the one that someone wrote, or one made of what the platform knows."""

from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy.orm import Session

from modelyard.control.platform import Platform
from modelyard.control.services import documents
from modelyard.control.services.names import read_selector
from modelyard.control.services.references import get_model, get_model_version
from modelyard.control.services.reports import ReportView, reports_of
from modelyard.packages.card import check_card, write_card
from modelyard.store.registry import Model, ModelVersion
from modelyard.types.package import Manifest
from modelyard.types.tensor import Signature

_LIBRARIES: Final = {"onnx": "onnx", "keras": "keras", "savedmodel": "keras", "pt2": "pytorch", "skops": "sklearn",
                     "safetensors": "transformers", "gguf": "gguf", "openvino": "openvino"}  # fmt: skip
_LICENCES: Final = {"unspecified": "unknown"}
_SHOWN: Final = 40  # columns, labels


@dataclass(frozen=True, kw_only=True)
class CardView:
    """`edited`: someone wrote it; else it is made anew of what the platform knows."""

    text: str
    edited: bool


def show(platform: Platform, tenant: str, name: str, version: str) -> CardView:
    """Raises NotFound."""
    with platform.database.read() as session:
        model = get_model(session, tenant, name)
        return of(session, model, get_model_version(session, model, read_selector(version)))


def put(platform: Platform, tenant: str, name: str, version: str, text: str | None) -> CardView:
    """Keep a card in the place of the one that the platform makes; None goes back to that. Raises NotFound, and
    what `packages.card.check_card` does."""
    if text is not None:
        check_card(text)
    with platform.database.write() as session:
        model = get_model(session, tenant, name)
        row = get_model_version(session, model, read_selector(version))
        documents.put_card(session, row, text, platform.now())
        session.flush()
        return of(session, model, row)


def of(session: Session, model: Model, version: ModelVersion) -> CardView:
    written = documents.of(session, version).card
    if written is not None:
        return CardView(text=written, edited=True)
    manifest = msgspec.convert(version.manifest, Manifest)
    found = reports_of(session, version.id)
    return CardView(
        text=write_card(_header(model, version, manifest, found), _body(model, version, manifest, found)),
        edited=False,
    )


def _header(
    model: Model, version: ModelVersion, manifest: Manifest, found: list[ReportView]
) -> dict[str, Any]:
    header: dict[str, Any] = {
        "license": _LICENCES.get(manifest.licence, manifest.licence),
        "library_name": _library(manifest),
        "pipeline_tag": manifest.task,
        "tags": ["modelyard", *sorted(manifest.formats), *([manifest.net.name] if manifest.net else [])],
    }
    if (hub := version.summary.get("hub")) is not None:
        header["base_model"] = [str(hub)]
    datasets = sorted(
        {r.dataset for r in found} | ({manifest.lineage.dataset} if manifest.lineage.dataset else set())
    )
    if datasets:
        header["datasets"] = datasets
    if found:
        header["metrics"] = sorted({r.metrics["main"] for r in found})
        header["model-index"] = [{"name": model.name, "results": [_result(manifest.task, r) for r in found]}]
    return header


def _library(manifest: Manifest) -> str:
    made_by = manifest.net.framework if manifest.net else ""
    if made_by in ("pytorch", "sklearn", "keras"):
        return made_by
    return _LIBRARIES.get(next(iter(manifest.formats), ""), "onnx")


def _result(task: str, report: ReportView) -> dict[str, Any]:
    """An entry of model-index (huggingface.co/docs/hub/model-cards, "Evaluation results")."""
    metrics = [
        {"type": name, "value": value, "name": name}
        for name, value in report.metrics["values"].items()
        if isinstance(value, int | float)
    ]
    dataset = {"type": report.dataset.partition(":")[0], "name": report.dataset, "split": report.split}
    return {"task": {"type": task}, "dataset": dataset, "metrics": metrics}


def _body(model: Model, version: ModelVersion, manifest: Manifest, found: list[ReportView]) -> str:
    parts = [
        f"# {model.name}, version {version.number}\n",
        f"A model for {manifest.task}, kept by Modelyard. Its digest is `{version.digest}`.\n",
        _made_from(manifest, version),
        _interface(manifest),
        _figures(found),
        _limits(manifest, found),
    ]
    return "\n".join(part for part in parts if part)


def _made_from(manifest: Manifest, version: ModelVersion) -> str:
    net, lineage = manifest.net, manifest.lineage
    lines = ["## Where it comes from\n"]
    if net is not None:
        lines.append(f"- net: {net.name}, made with {net.framework}")
    if lineage.dataset is not None:
        lines.append(f"- data: {lineage.dataset} (`{lineage.dataset_digest}`)")
    if version.run_id is not None:
        lines.append(f"- run: {version.run_id}")
    if (hub := version.summary.get("hub")) is not None:
        lines.append(f"- from the Hugging Face hub: {hub} at {version.summary.get('commit')}")
    if lineage.parent is not None:
        lines.append(f"- made from version `{lineage.parent}`")
    lines += [f"- {name} {number}" for name, number in sorted(manifest.environment.items())]
    return "\n".join(lines) + "\n"


def _interface(manifest: Manifest) -> str:
    lines = ["## What it takes and answers\n", _table(manifest.signature)]
    if manifest.labels:
        more = f", ... ({len(manifest.labels)})" if len(manifest.labels) > _SHOWN else ""
        lines.append(f"\nLabels: {', '.join(manifest.labels[:_SHOWN])}{more}")
    return "\n".join(lines) + "\n"


def _table(signature: Signature) -> str:
    rows = ["| | name | datatype | shape |", "|---|---|---|---|"]
    for side, specs in (("takes", signature.inputs), ("answers", signature.outputs)):
        rows += [f"| {side} | {t.name} | {t.datatype} | {list(t.shape)} |" for t in specs[:_SHOWN]]
    return "\n".join(rows)


def _figures(found: list[ReportView]) -> str:
    if not found:
        return ""
    rows = [
        "## How good it is\n",
        "| data | split | rows | figure | value | interval |",
        "|---|---|---|---|---|---|",
    ]
    for report in found:
        interval = report.interval
        between = f"{interval['low']:.4g} to {interval['high']:.4g} ({interval['confidence']:.0%})"
        rows.append(f"| {report.dataset} | {report.split} | {report.rows} | {report.metrics['main']} "
                    f"| {interval['value']:.4g} | {between} |")  # fmt: skip
    return "\n".join(rows) + "\n"


def _limits(manifest: Manifest, found: list[ReportView]) -> str:
    lines = []
    if isinstance(manifest.refusal, str):
        lines.append(f"- It is not deployed here: {manifest.refusal}")
    if not found:
        lines.append("- Nothing here has measured how good it is.")
    lines += [f"- {note}" for note in manifest.notes or ()]
    return "\n".join(["## Notes and limits\n", *lines]) + "\n" if lines else ""
