"""docs/large-models.md: the plans that it quotes are the calculator's, and what it reckons from them is right."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from modelyard.cli.app import run
from modelyard.engines.table import GENERATORS
from modelyard.engines.vllm.launch import Launch

TEXT = (Path(__file__).parent.parent / "docs" / "large-models.md").read_text()
FLAT = re.sub(r"\s+", " ", TEXT)
QUOTED = re.findall(r"^```console\n\$ (yard plan [^\n]*)\n(.*?)^```$", TEXT, re.M | re.S)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.M | re.S)


def figures(capsys: pytest.CaptureFixture[str], command: str) -> dict[str, Any]:
    assert run([*command.split()[1:], "--json"]) == 0
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    return said


@pytest.mark.parametrize(("command", "output"), QUOTED)
def test_a_quoted_plan_is_what_is_printed(
    capsys: pytest.CaptureFixture[str], command: str, output: str
) -> None:
    assert run(command.split()[1:]) == 0
    assert capsys.readouterr().out == output


def test_what_is_reckoned_from_the_first_plan(capsys: pytest.CaptureFixture[str]) -> None:
    plan = figures(capsys, QUOTED[0][0])
    cost, prompt, answer = plan["cost"], plan["prompt"], plan["answer"]
    assert plan["cache_token"] == 327_680
    read = (plan["weights"] + plan["cache_stream"] * 64) / 8 / 3.35e12
    assert f"= {read * 1e3:.1f} ms" in FLAT
    sent = plan["network"]["moved"]
    assert f"{sent / 1e6:.1f} MB a token and GPU" in FLAT
    assert f"that is {sent * prompt / 1e9:.0f} GB for {prompt:,} tokens" in FLAT
    mixed, alone = f"{cost['million_all']:.2f}", f"{cost['million_answer']:.2f}"
    assert f"Of these answers' {mixed} a million tokens, {alone} are" in FLAT
    ratio, price = prompt / answer, round(cost["million_prompt"], 3)
    cached = round(cost["million_answer"], 2) + 0.1 * ratio * price
    assert f"{alone} + 0.1 x {ratio:g} x {price} = {cached:.2f}" in FLAT


def test_what_is_reckoned_of_two_hosts(capsys: pytest.CaptureFixture[str]) -> None:
    (command,) = (command for command, _ in QUOTED if "h100x16" in command)
    plan = figures(capsys, command)
    passed, steps = plan["network"]["passed"], round(1 / plan["decode"]["seconds"])
    assert f"{passed / 1e3:.0f} KB a token: 64 streams at {steps} steps" in FLAT
    assert f"some {64 * steps * passed / 1e6:.0f} MB/s" in FLAT
    moved = plan["network"]["moved"]
    assert f"each GPU sends {moved / 1e6:.0f} MB a token, {moved / passed:.0f} times as much" in FLAT


def test_the_launch_file_is_one_and_its_keys_are_told() -> None:
    (text,) = blocks("json")
    launch = msgspec.json.decode(text, type=Launch)
    assert (launch.tensor_parallel, launch.pipeline_parallel, launch.hosts) == (8, 2, 2)
    table = TEXT[TEXT.index("| key | what | default |") : TEXT.index("The replica starts `vllm serve`")]
    told = re.findall(
        r"`([a-z_]+)`", "".join(line.split("|")[1] for line in table.splitlines() if "|" in line)
    )
    assert set(told) == set(Launch.__struct_fields__)


def test_every_engine_that_generates_is_in_the_table() -> None:
    table = TEXT[TEXT.index("| engine | opens | when |") : TEXT.index("A package names the one")]
    told = set(re.findall(r"^\| `([a-z_]+)`", table, re.M))
    assert told == {module.rpartition(".")[2].removesuffix("_genai") for module in GENERATORS.values()}


def test_the_examples_are_python() -> None:
    assert len(blocks("python")) == 2
    for text in blocks("python"):
        compile(text, "large-models.md", "exec")
