"""How much memory a replica takes."""

import os
from pathlib import Path

import msgspec

from modelyard.control.loops.replica_size import Sizes, resident
from modelyard.types.package import FileEntry, Manifest
from modelyard.types.route import Serving
from modelyard.types.tensor import Signature
from small_package import write_package

MIB = 1 << 20
GEMMA = {
    "architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text", "num_hidden_layers": 18,
    "hidden_size": 640, "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 256,
    "intermediate_size": 2048, "vocab_size": 262_144, "max_position_embeddings": 32_768,
}  # fmt: skip
A_TOKEN = 2 * 2 * 256 * 18  # key and value, float16, of one head of each layer


def writer(packages: Path) -> None:
    (packages / "writer/huggingface").mkdir(parents=True)
    (packages / "writer/huggingface/config.json").write_bytes(msgspec.json.encode(GEMMA))
    manifest = Manifest(
        task="text-generation",
        signature=Signature(inputs=(), outputs=()),
        tensors=Signature(inputs=(), outputs=()),
        preprocessing={},
        formats={"transformers": "huggingface/config.json"},
        files={"huggingface/model.safetensors": FileEntry(sha256="0" * 64, size=500 * MIB)},
    )
    (packages / "writer/model.json").write_bytes(msgspec.json.encode(manifest))


def test_a_small_model_is_its_files_and_a_process(tmp_path: Path) -> None:
    write_package(tmp_path / "small")
    found = Sizes(tmp_path, 0).of("small", Serving())
    assert 96 * MIB < found < 97 * MIB


def test_keys_and_values_of_every_slot_are_counted(tmp_path: Path) -> None:
    writer(tmp_path)
    sizes = Sizes(tmp_path, 0)
    base = (500 + 96 + 256) * MIB
    assert sizes.of("writer", Serving(slots=4, context=1000)) == base + 4 * 1000 * A_TOKEN
    assert sizes.of("writer", Serving(slots=1)) == base + 4096 * A_TOKEN


def test_an_engine_that_chooses_its_slots_takes_what_there_is(tmp_path: Path) -> None:
    writer(tmp_path)
    base, each = (500 + 96 + 256) * MIB, 4096 * A_TOKEN
    assert Sizes(tmp_path, 64 << 30).of("writer", Serving()) == base + 16 * each
    assert Sizes(tmp_path, base + 3 * each).of("writer", Serving()) == base + 3 * each
    assert Sizes(tmp_path, 1 << 20).of("writer", Serving()) == base + each  # which does not fit


def test_what_was_measured_goes_before_what_was_estimated(tmp_path: Path) -> None:
    writer(tmp_path)
    sizes = Sizes(tmp_path, 0)
    estimate = sizes.of("writer", Serving(slots=2))
    sizes.measure("writer", Serving(slots=1), os.getpid())
    assert sizes.of("writer", Serving(slots=2)) == estimate  # other slots, another size
    assert 0 < sizes.of("writer", Serving(slots=1)) < 20 << 30
    sizes.measure("writer", Serving(slots=1), 2**22 + 1)  # a process that is gone
    assert sizes.of("writer", Serving(slots=1)) > 0


def test_memory_is_that_of_a_process_and_of_those_below_it() -> None:
    import subprocess
    import sys

    alone = resident(os.getpid())
    code = "x = bytearray(64 << 20); print('.', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdout.read(1)
        assert resident(os.getpid()) > alone + 60 * MIB
        child.stdin.close()
