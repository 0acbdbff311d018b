"""The room costs nothing until it is used."""

import subprocess
import sys


def test_importing_the_room_loads_no_library():
    code = (
        "import sys, modelyard.datasets as d; d.IngestOptions; "
        "print([m for m in ('pyarrow', 'numpy', 'PIL') if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout.strip() == "[]"


def test_reading_and_adding_need_no_framework():
    code = (
        "import sys; from modelyard.datasets import ingest, open_dataset; "
        "print([m for m in ('torch', 'sklearn', 'matplotlib') if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout.strip() == "[]"
