"""The README's blocks, run as a newcomer would: against a platform of its own, in an empty folder."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent


def block(language: str, number: int = 0) -> str:
    """A block of that language, by its place among them."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)
    assert len(found) > number, f"the README has no {language} block {number}"
    return str(found[number])


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of someone whose platform runs, on free ports; it is stopped at the end."""
    home = tmp_path_factory.mktemp("readme") / "home"
    env = {k: v for k, v in os.environ.items() if not k.startswith("YARD_")}
    env |= {"YARD_HOME": str(home), "PATH": f"{BIN}:{env['PATH']}"}
    up = [BIN / "yard", "up", "--detach", "--port", "0", "--control-port", "0"]
    subprocess.run(up, env=env, check=True, timeout=60)
    yield env
    subprocess.run([BIN / "yard", "down"], env=env, check=True, timeout=60)


def run(command: list[str], env: dict[str, str], folder: Path) -> str:
    done = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_shell_block(newcomer: dict[str, str], tmp_path: Path) -> None:
    answer = run(["sh", "-e", "-c", block("sh")], newcomer, tmp_path)
    said = json.loads(run(["yard", "data", "sample", "digits", "--json"], newcomer, tmp_path))
    true = said["values"][said["label"]]
    assert re.search(rf"^ {true} +0\.9\d+", answer, re.M), answer


@pytest.mark.slow
def test_the_python_block(newcomer: dict[str, str], tmp_path: Path) -> None:
    answer = run([sys.executable, "-c", block("python")], newcomer, tmp_path)
    assert re.search(r"'label': '\d', 'score': 0\.9", answer), answer


@pytest.mark.slow
def test_the_blocks_of_ones_own_script(newcomer: dict[str, str], tmp_path: Path) -> None:
    run(["sh", "-e", "-c", block("sh")], newcomer, tmp_path)  # the data, and scan.png
    (tmp_path / "train.py").write_text(block("python", 1))
    answer = run(["sh", "-e", "-c", block("sh", 1)], newcomer, tmp_path)
    assert re.search(r"accuracy 0\.9\d+", answer), answer
    said = json.loads(run(["yard", "data", "sample", "digits", "--json"], newcomer, tmp_path))
    assert re.search(rf"^ {said['values'][said['label']]} +1", answer, re.M), answer


def test_the_recipe_block() -> None:
    from modelyard.training.recipe import parse_recipe

    recipe = parse_recipe(block("yaml"))
    assert (recipe.task, recipe.net.name, recipe.target) == ("tabular-classification", "mlp", "left")


def test_every_name_that_the_readme_lists_is_there() -> None:
    from modelyard import nets, tasks

    text = (ROOT / "README.md").read_text()
    part = text[text.index("| task | nets | page |") : text.index("A run is a process of its own")]
    listed = set(re.findall(r"`([a-z0-9_-]+)`", part)) - {"base"}
    assert listed == {*tasks.TASKS, *nets.NETS}


def test_every_file_that_the_readme_links_to_is_there() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", (ROOT / "README.md").read_text()):
        assert (ROOT / target).exists(), target
