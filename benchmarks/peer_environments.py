"""The peers that are measured beside us: each has a virtual environment of its own under .bench."""

import subprocess
import sys
from pathlib import Path
from typing import Final

WORK: Final = Path(__file__).resolve().parent.parent / ".bench"
SERVING: Final = ("litserve", "fastapi")
PEERS: Final = {
    "litserve": ["litserve==0.2.19", "onnxruntime==1.32.0", "numpy"],
    "fastapi": ["fastapi", "uvicorn[standard]", "onnxruntime==1.32.0", "numpy"],
    "mlflow": ["mlflow==3.17.2"],
}


def python_of(peer: str) -> Path:
    """The interpreter of a peer's own virtual environment."""
    folder = WORK / "venv" / peer
    if not (folder / "ready").exists():
        print(f"installing {', '.join(PEERS[peer])}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [
            str(folder / "bin" / "python"),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ]
        subprocess.run([*pip, *PEERS[peer]], check=True)
        (folder / "ready").touch()
    return folder / "bin" / "python"
