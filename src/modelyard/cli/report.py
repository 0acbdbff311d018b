"""A report in a terminal."""

from typing import Any

from modelyard.cli.output import facts, table


def report_faces(report: dict[str, Any], version: str) -> list[Any]:
    """The headline with its interval, the verdict on the training curves, the figures, the classes."""
    metrics, interval = report["metrics"], report["interval"]
    main = f"{metrics['main']} {interval['value']:.4g}"
    sure = (
        f"{interval['confidence']:.0%} of resamples lie from {interval['low']:.4g} to {interval['high']:.4g}"
    )
    fit = report.get("fit") or {}
    head = [
        ("model", version),
        ("data", f"{report['dataset']}, split {report['split']}, {report['rows']:,} rows"),
        ("main figure", f"{main} ({sure})"),
        ("fit", f"{fit['verdict']}: {fit['why']}" if fit else None),
    ]
    values = [(name, value) for name, value in metrics["values"].items() if value is not None]
    faces = [facts(head), table(("figure", "value"), values, "")]
    if metrics["per_class"]:
        rows = [
            (name, *(row.get(k) for k in ("precision", "recall", "f1")), f"{row.get('support', 0):.0f}")
            for name, row in metrics["per_class"].items()
        ]
        faces.append(table(("class", "precision", "recall", "f1", "rows"), rows, ""))
    return [*faces, *(f"note: {note}" for note in report.get("notes", ()))]
