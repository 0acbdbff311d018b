import subprocess
import sys

FORBIDDEN = (
    "torch",
    "sklearn",
    "sqlalchemy",
    "fastapi",
    "onnxruntime",
    "modelyard.store",
    "modelyard.control",
)


def test_the_gateway_loads_nothing_that_it_must_not():
    code = f"""
import sys
import modelyard.gateway.__main__
print([name for name in {FORBIDDEN!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_the_replica_loads_neither_torch_nor_control():
    names = tuple(name for name in FORBIDDEN if name != "onnxruntime")
    code = f"""
import sys
import modelyard.serving.replica
print([name for name in {names!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
