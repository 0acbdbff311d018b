"""Commands as processes, without a platform: usage, errors, statuses, JSON."""

import io
import json
import os
import re
import socket
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture
def yard(tmp_path):
    """Runs `yard` with a home of its own: (status, standard output, standard error)."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("YARD_")}
    environment |= {"YARD_HOME": str(tmp_path / "home"), "COLUMNS": "200"}

    def run(*arguments, **extra):
        argv = [sys.executable, "-m", "modelyard.cli", *arguments]
        done = subprocess.run(argv, env=environment | extra, capture_output=True, text=True, timeout=60)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture
def taken():
    """A port that someone listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        yield s.getsockname()[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["dat"], "Did you mean 'data'"),
        (["data", "ad"], "Did you mean 'add'"),
        (["up", "--prot", "1"], "--port"),
        (["up", "--port", "x"], "--port"),
        (["up", "--port", "70000"], "--port"),
        (["deploy", "a"], "MODEL"),
    ],
)
def test_wrong_usage_is_status_2_and_names_the_nearest(yard, arguments, said):
    status, out, err = yard(*arguments)
    assert (status, out) == (2, "")
    assert said in err
    assert "--help" in err


def test_wrong_usage_is_json_where_json_was_asked_for(yard):
    status, out, err = yard("runs", "lst", "--json")
    assert (status, out) == (2, "")
    assert json.loads(err)["error"]["code"] == "usage"


def test_every_command_has_json_and_help(yard):
    from modelyard.cli.app import app

    commands = [([c.callback.__name__], c.callback) for c in app.registered_commands]
    for group in app.registered_groups:
        commands += [([group.name, c.name or c.callback.__name__], c.callback)
                     for c in group.typer_instance.registered_commands]  # fmt: skip
    assert len(commands) >= 26
    for path, callback in commands:
        assert "as_json" in callback.__annotations__, path
        assert callback.__doc__, path
    status, out, _ = yard("up", "--help")
    assert status == 0
    assert "--control-port" in out


def test_without_a_platform_commands_say_how_to_start_one(yard):
    status, out, err = yard("data", "list", YARD_URL="http://127.0.0.1:9")
    assert (status, out) == (1, "")
    assert "yard up" in err
    status, _, err = yard("data", "list", "--json", YARD_URL="http://127.0.0.1:9")
    assert json.loads(err)["error"]["code"] == "unavailable"


def test_status_and_down_of_nothing(yard):
    status, out, _ = yard("status", "--json")
    assert status == 1
    assert json.loads(out)["running"] is False
    assert yard("down")[:2] == (0, "Modelyard was not running.\n")


@pytest.mark.parametrize("option", ["--port", "--control-port"])
@pytest.mark.parametrize("detach", [[], ["--detach"]])
def test_a_taken_port_names_its_option_its_holder_and_another(yard, taken, tmp_path, option, detach):
    other = "--control-port" if option == "--port" else "--port"
    status, out, err = yard("up", option, str(taken), other, "0", *detach)
    assert (status, out) == (1, "")
    assert f"port {taken} ({option}) is taken by" in err
    assert f"(process {os.getpid()})" in err
    assert f"yard up {option} " in err
    assert not (tmp_path / "home").exists()


def test_ports_must_differ_and_hosts_must_be_ours(yard):
    assert "must differ" in yard("up", "--port", "4321", "--control-port", "4321")[2]
    assert "cannot listen" in yard("up", "--host", "203.0.113.7")[2]
    assert "cannot listen" in yard("up", "--host", "no.such.host.invalid")[2]


def test_doctor_finds_a_taken_port_and_says_what_to_do(yard, taken, tmp_path):
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    (home / "config.json").write_text(json.dumps({"port": taken}))
    status, out, _ = yard("doctor", "--json")
    found = {f["check"]: f for f in json.loads(out)["findings"]}
    assert status == 1
    port = found[f"port {taken}"]
    assert port["level"] == "blocks"
    assert str(os.getpid()) in port["found"]
    assert port["remedy"].startswith("yard up --port ")
    assert found["home"]["level"] == "note"
    assert found["home"]["remedy"] == f"chmod 700 {home}"
    assert found["onnxruntime"]["level"] == "ok"


def test_doctor_without_an_extra_gives_its_pip_line(yard, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as u\nfound = u.find_spec\n"
        "u.find_spec = lambda n, *a: None if n == 'torch' else found(n, *a)\n"
    )
    (tmp_path / "home").mkdir(mode=0o700)
    (tmp_path / "home" / "config.json").write_text('{"port": 18766, "control_port": 18767}')
    status, out, _ = yard("doctor", PYTHONPATH=str(tmp_path))
    assert status == 0  # the platform works without it
    assert "pip install 'modelyard[torch]'" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train"], "nothing to train"),
        (["train", "missing.yaml"], "cannot be read"),
        (["train", "--set", "x"], "NAME=VALUE"),
        (["predict", "m", "missing.png"], "neither a file nor JSON"),
        (["predict", "m", "{"], "no JSON"),
        (["data", "add", "d", "missing.csv"], "no such file"),
        (["data", "add", "d", "x.csv", "--fractions", "train=a"], "NAME=NUMBER"),
        (["keys", "create", "k", "--expires-in", "soon"], "length of time"),
        (["deploy", "d", "m:"], "not a version"),
    ],
)
def test_bad_input_is_status_1_with_what_came(yard, arguments, said):
    status, out, err = yard(*arguments)
    assert (status, out) == (1, "")
    assert said in err


@pytest.mark.parametrize("arguments", [[], ["data"], ["models"]])
def test_a_group_alone_is_answered_with_its_help(yard, arguments):
    status, out, err = yard(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("Usage: yard")
    assert "error" not in err


def test_the_help_of_train_names_every_task_that_a_recipe_trains_and_every_net(yard):
    from modelyard import nets, tasks

    said = " ".join(re.sub(r"-\n\s*", "-", yard("train", "--help")[1]).split())
    trained = [name for name in tasks.TASKS if tasks.load(name).default_net]
    for name in (*trained, *nets.NETS):
        assert re.search(rf"[ ,]{name}[ ,.;]", said), name


def test_figures_of_data_are_counts():
    from modelyard.cli.output import figures

    summary = {"rows": 10000, "columns": 1, "split_rows": {"train": 8000}, "digest": "ab"}
    assert figures(summary) == "10,000 rows, 1 column"


def test_a_table_that_is_too_wide_is_folded_and_its_ids_stay_whole():
    from rich.console import Console

    from modelyard.cli.output import table

    console = Console(width=80, file=io.StringIO())
    console.print(table(("id", "name", "text"), [("run_" + "0" * 26, "word " * 12, "x" * 90)], ""))
    said = console.file.getvalue()
    assert "run_" + "0" * 26 in said
    assert said.count("x") - 1 == 90  # the head has one, and nothing is cut
    assert max(map(len, said.splitlines())) <= 80
