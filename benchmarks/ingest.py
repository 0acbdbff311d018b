"""How long 1 GB of Parquet takes to add, and how much memory.

Makes a seeded Parquet file of at least 1,000,000,000 bytes in a temporary folder, adds it in a fresh
process, and writes seconds and peak RSS to results/ingest.json. Exits with 1 where the peak is not under 1
GB.

    python benchmarks/ingest.py [--bytes N] [--seed N]
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import machine

LIMIT = 1_000_000_000  # bytes of RSS
GROUP_ROWS = 1_000_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bytes", type=int, default=1_000_000_000, help="size of the file at least")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", nargs=2, metavar=("SOURCE", "OUT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        return add(Path(arguments.child[0]), Path(arguments.child[1]))
    with tempfile.TemporaryDirectory(prefix="modelyard-bench-") as folder:
        source = Path(folder) / "source.parquet"
        rows = make(source, arguments.bytes, arguments.seed)
        command = [sys.executable, __file__, "--child", str(source), str(Path(folder) / "version")]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        result = {**found, "limit_rss_bytes": LIMIT, "rows": rows, "source_bytes": source.stat().st_size}
    print(machine.write("ingest", result, seed=arguments.seed).read_text())
    return 0 if found["peak_rss_bytes"] < LIMIT else 1


def make(path: Path, size: int, seed: int) -> int:
    """A table of numbers, categories and texts that do not compress to nothing; its rows."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    generator = np.random.default_rng(seed)
    classes = np.array(["setosa", "versicolor", "virginica"])
    rows, writer = 0, None
    while writer is None or path.stat().st_size < size:
        columns: dict[str, Any] = {f"number_{place}": generator.normal(size=GROUP_ROWS) for place in range(6)}
        columns["integer"] = generator.integers(0, 2**40, GROUP_ROWS)
        columns["text"] = np.char.add("item ", generator.integers(0, 2**40, GROUP_ROWS).astype(str))
        columns["label"] = classes[generator.integers(0, 3, GROUP_ROWS)]
        table = pa.table(columns)
        writer = writer or pq.ParquetWriter(path, table.schema, compression="snappy")
        writer.write_table(table, row_group_size=GROUP_ROWS)
        rows += GROUP_ROWS
    writer.close()
    return rows


def add(source: Path, out: Path) -> int:
    """In the fresh process: add the file, print seconds and the peak of resident memory."""
    from modelyard.datasets import IngestOptions, ingest

    start = time.perf_counter()
    manifest = ingest([source], IngestOptions(), out, Quiet())
    seconds = time.perf_counter() - start
    figures = {"seconds": round(seconds, 1), "peak_rss_bytes": peak_rss(), "split_rows": manifest.split_rows}
    print(json.dumps(figures))
    return 0


class Quiet:
    """A reporter that nobody listens to."""

    def metrics(self, step: int, values: dict[str, float]) -> None: ...

    def progress(self, done: float, total: float, text: str = "") -> None: ...

    def check(self) -> None: ...


def peak_rss() -> int:
    """Bytes. Not getrusage: its peak has that of the process which started this one in it."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:", 1)[1].split()[0]) * 1024


if __name__ == "__main__":
    sys.exit(main())
