"""profile.txt: the profile for a terminal."""

from collections.abc import Sequence

from modelyard.types.dataset import SPLITS, ColumnProfile, DatasetManifest, Profile

_BARS = " ▁▂▃▄▅▆▇█"
_WIDTH = 20
_CLASSES = 30
_NAME = 32


def render_text(profile: Profile, manifest: DatasetManifest) -> str:
    """Plain text of at most about 110 columns, without escape codes."""
    splits = ", ".join(f"{split} {manifest.split_rows[split]:,}" for split in SPLITS)
    label = (
        f", label {printable(manifest.schema.label)}" if manifest.schema.label is not None else ", no label"
    )
    lines = [f"{profile.rows:,} rows, {len(profile.columns)} columns{label}", f"splits: {splits}", ""]
    lines += _table(
        ["column", "kind", "missing", "distinct", "range or most frequent", ""],
        [_row(column) for column in profile.columns],
    )
    if profile.class_balance:
        lines += ["", *_balance(profile)]
    repeated = f"{profile.duplicates:,}{' (estimated)' if profile.sampled else ''}"
    lines += ["", f"rows that repeat an earlier one: {repeated}"]
    lines += [
        f"rows that stand in {pair.replace('/', ' and in ')}: {n:,}" for pair, n in profile.leaked.items()
    ]
    if profile.warnings:
        lines += ["", "look at:", *(f"  - {printable(text, 500)}" for text in profile.warnings)]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def number(value: float | None) -> str:
    """Four significant digits, or all digits of a whole number below a million."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value == int(value) and abs(value) < 1e6 else f"{value:,.4g}"


def printable(text: str, limit: int = _NAME) -> str:
    """Text without control characters, cut to `limit`."""
    clean = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return clean if len(clean) <= limit else clean[: limit - 3] + "..."


def summary(column: ColumnProfile) -> str:
    """Ranges of numbers and times, sizes of images, the most frequent strings."""
    if column.kind == "image":
        extra = column.extra
        if not extra:
            return ""
        sizes = list(extra["sizes"])
        size = sizes[0] if extra["different_sizes"] == 1 else f"{extra['different_sizes']} sizes"
        pixels = f"pixels {number(column.minimum)} to {number(column.maximum)}"
        return f"{size}, {', '.join(extra['modes'])}, {pixels}"
    if column.kind == "audio" and column.extra:
        span = f"{number(column.minimum)} to {number(column.maximum)} s"
        return f"{span}, {column.extra['seconds'] / 60:.1f} min of {column.extra['looked_at']:,} files"
    if column.minimum is not None:
        return f"{number(column.minimum)} to {number(column.maximum)}, mean {number(column.mean)}"
    if "first" in column.extra:
        return f"{column.extra['first'][:19]} to {column.extra['last'][:19]}"
    if column.top:
        return ", ".join(f"{printable(value, 20)} {count:,}" for value, count in column.top[:3])
    return f"{column.extra['shortest']} to {column.extra['longest']} characters" if column.extra else ""


def _row(column: ColumnProfile) -> list[str]:
    distinct = f"{'' if column.distinct_is_exact else '~'}{column.distinct:,}"
    return [
        printable(column.name),
        column.kind,
        f"{column.missing:,}",
        distinct,
        summary(column)[:44],
        _spark(column),
    ]


def _spark(column: ColumnProfile) -> str:
    if column.histogram is None:
        return ""
    counts = column.histogram["counts"]
    step = -(-len(counts) // _WIDTH)
    joined = [sum(counts[start : start + step]) for start in range(0, len(counts), step)]
    most = max(joined) or 1
    return "".join(_BARS[-(-int(count * 8) // int(most))] for count in joined)


def _balance(profile: Profile) -> list[str]:
    names = list(profile.class_balance["train"])
    rows = [
        [printable(name), *(f"{profile.class_balance[split].get(name, 0):,}" for split in SPLITS)]
        for name in names[:_CLASSES]
    ]
    more = [f"... and {len(names) - _CLASSES} more classes"] if len(names) > _CLASSES else []
    return _table(["class", *SPLITS], rows) + more


def _table(header: list[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(header[i]), *(len(row[i]) for row in rows)) for i in range(len(header))]
    right = {i for i in range(len(header)) if header[i] in ("missing", "distinct", *SPLITS)}
    return [
        "  ".join(
            cell.rjust(widths[i]) if i in right else cell.ljust(widths[i]) for i, cell in enumerate(row)
        )
        for row in [header, ["-" * width for width in widths], *rows]
    ]
