"""The notebook under examples/, run in a real kernel against a running platform."""

import os
from pathlib import Path

import pytest

from stocked import Stocked

pytestmark = pytest.mark.slow
NOTEBOOK = Path(__file__).parent.parent / "examples" / "notebook.ipynb"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_notebook_runs_and_its_objects_show_themselves(
    stocked: Stocked, monkeypatch: pytest.MonkeyPatch
) -> None:
    nbclient = pytest.importorskip("nbclient")
    import nbformat

    for name in [n for n in os.environ if n.startswith("YARD_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("YARD_HOME", str(stocked.home.root))
    monkeypatch.setenv("XDG_CACHE_HOME", str(stocked.folder / "cache"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    shown = [
        [o["data"].get("text/html", "") for o in cell.outputs if "data" in o] for cell in notebook.cells[1:]
    ]
    assert "data set wine:1" in shown[0][0]
    assert "notebook-forest" in shown[2][0]
    assert "served as" in shown[2][0]
    assert "Deployment" in shown[3][0]
    run = stocked.client.runs.show(_run_id(shown[5][0]))
    assert (run.kind, run.state) == ("external", "succeeded")
    assert run.metrics()["accuracy"][-1][0] == 50
    manifest = stocked.client.models.version("notebook-forest")["manifest"]
    assert manifest["lineage"]["run"] == run.id
    assert manifest["lineage"]["dataset"] == "wine:1"


def _run_id(html: str) -> str:
    return "run_" + html.partition("run_")[2][:26]
