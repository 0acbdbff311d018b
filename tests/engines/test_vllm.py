"""The vllm engine before a stand-in that speaks vLLM's API as a child process (`vllm_stand_in.py`)."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from modelyard.engines.generation import GeneratorOptions
from modelyard.engines.vllm import Vllm, create
from modelyard.errors import InvalidInput, MissingExtra, Unavailable
from modelyard.types.generation import AudioRequest, Constraint, Delta, Sampling, TextRequest
from waiting import wait_until

STAND_IN = [sys.executable, str(Path(__file__).with_name("vllm_stand_in.py"))]
SPECIAL = ("<s>", "</s>")


class Package:
    """A package's folder; `say` writes its launch file, `behave` what the stand-in does wrong."""

    def __init__(self, folder: Path) -> None:
        self.ended = threading.Event()
        self.entry, self.model = folder / "vllm.json", folder / "huggingface"
        self.model.mkdir(parents=True)
        (self.model / "config.json").write_text(json.dumps({"max_position_embeddings": 256}))
        tokenizer().save(str(self.model / "tokenizer.json"))
        self.say()

    def say(self, **launch: Any) -> None:
        self.entry.write_text(json.dumps({"startup_seconds": 60} | launch))

    def behave(self, **how: Any) -> None:
        (self.model / "behaviour.json").write_text(json.dumps(how))

    def open(self, **options: Any) -> Vllm:
        return create(
            self.entry, GeneratorOptions(**options), command=STAND_IN, grace=5.0, ended=self.ended.set
        )


def tokenizer() -> Any:
    """A token for each byte; <s> begins a text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(list(SPECIAL))
    first = [("<s>", made.token_to_id("<s>"))]
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=first)
    return made


@pytest.fixture
def package(tmp_path: Path) -> Package:
    return Package(tmp_path / "package")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vllm]:
    """One that behaves, for all that do no harm."""
    generator = Package(tmp_path_factory.mktemp("vllm") / "package").open(slots=8)
    yield generator
    asyncio.run(generator.aclose())


async def deltas(
    generator: Vllm, prompt: str | tuple[int, ...], special: bool = False, **said: Any
) -> list[Delta]:
    request = TextRequest(prompt=prompt, special=special, sampling=Sampling(**said))
    return [delta async for delta in generator.generate(request)]


def ask(generator: Vllm, prompt: str | tuple[int, ...], special: bool = False, **said: Any) -> list[Delta]:
    async def bounded() -> list[Delta]:
        async with asyncio.timeout(30):
            return await deltas(generator, prompt, special, **said)

    return asyncio.run(bounded())


def seen(generator: Vllm) -> dict[str, Any]:
    transport = httpx.HTTPTransport(uds=str(generator._child.socket))
    with httpx.Client(transport=transport) as client:
        found: dict[str, Any] = client.get("http://localhost/seen").json()
        return found


def text(pieces: list[Delta]) -> str:
    return "".join(piece.text for piece in pieces)


def test_an_answer_comes_piece_by_piece_with_its_usage(served: Vllm) -> None:
    pieces = ask(served, "hello", special=True, max_tokens=12)
    assert text(pieces) == "hellohellohe"
    assert len(pieces) == 12
    assert [piece.tokens for piece in pieces] == [1] * 12
    assert [piece.finish for piece in pieces] == [None] * 11 + ["length"]
    assert (pieces[-1].prompt, pieces[-1].cached) == (5, 0)


def test_a_prompt_that_was_computed_is_cached(served: Vllm) -> None:
    ask(served, "z" * 40, special=True, max_tokens=1)
    again = ask(served, "z" * 40 + "!", special=True, max_tokens=1)
    assert (again[-1].prompt, again[-1].cached) == (41, 32)  # whole blocks of 16


def test_a_text_begins_as_the_model_wants_and_holds_no_control_token(served: Vllm) -> None:
    made = tokenizer()
    assert ask(served, "a<s>", max_tokens=1)[-1].prompt == 5
    assert seen(served)["bodies"][-1]["prompt"] == [
        made.token_to_id("<s>"),
        *(made.token_to_id(c) for c in "a<s>"),
    ]
    assert ask(served, "<s>a", special=True, max_tokens=1)[-1].prompt == 2
    assert seen(served)["bodies"][-1]["prompt"] == [made.token_to_id("<s>"), made.token_to_id("a")]
    assert served.count("abc") == 4


def test_a_vocabulary_that_holds_a_control_token_as_a_word(tmp_path: Path) -> None:
    from modelyard.engines.vllm.tokens import Tokens

    words = [("<unk>", 0.0), ("<s>", -1.0), *((letter, -2.0) for letter in "ab<s>")]
    made = Tokenizer(models.Unigram([*dict(words).items()], unk_id=0))
    made.add_special_tokens(["<unk>", "<s>"])
    made.save(str(tmp_path / "tokenizer.json"))
    tokens = Tokens(tmp_path / "tokenizer.json")
    names = [made.id_to_token(i) for i in tokens.ids("a<s>bc", special=False)]
    assert names == ["a", "<", "s", ">", "b", "<unk>"]
    assert made.token_to_id("<s>") in tokens.ids("a<s>b", special=True)


def test_characters_come_whole(served: Vllm) -> None:
    pieces = ask(served, "aé€", special=True, max_tokens=6)
    assert text(pieces) == "aé€"
    assert [piece.text for piece in pieces] == ["a", "", "é", "", "", "€"]
    assert sum(piece.tokens for piece in pieces) == 6


def test_a_stop_ends_the_answer_and_is_not_in_it(served: Vllm) -> None:
    pieces = ask(served, "one two", special=True, max_tokens=100, stop=(" t",))
    assert (text(pieces), pieces[-1].finish) == ("one", "stop")


def test_logprobs_are_ordered_and_bounded(served: Vllm) -> None:
    (piece,) = ask(served, "x", special=True, max_tokens=1, logprobs=2)
    (place,) = piece.logprobs
    assert (place.token, place.logprob, place.raw) == ("x", -2.5, b"x")
    assert [(one.token, one.logprob) for one in place.top] == [("A", -0.5), ("B", -1.5)]
    (piece,) = ask(served, "x", special=True, max_tokens=1, logprobs=0)
    assert piece.logprobs[0].top == ()
    assert ask(served, "x", special=True, max_tokens=1)[0].logprobs == ()


def test_every_part_of_the_sampling_has_its_name(served: Vllm) -> None:
    sampling = {
        "max_tokens": 3, "temperature": 0.5, "top_p": 0.9, "top_k": 7, "min_p": 0.1, "seed": 11,
        "presence_penalty": 0.2, "frequency_penalty": 0.3, "repetition_penalty": 1.1, "ignore_eos": True,
    }  # fmt: skip
    ask(served, "x", special=True, **sampling, stop=("q",), logit_bias={5: -100.0}, logprobs=1)
    body = seen(served)["bodies"][-1]
    assert {name: body[name] for name in sampling} == sampling
    assert (body["stop"], body["logit_bias"], body["logprobs"]) == (["q"], {"5": -100.0}, 1)
    assert body["stream_options"] == {"include_usage": True, "continuous_usage_stats": True}


def test_what_is_not_asked_is_not_said_but_the_length_is(served: Vllm) -> None:
    pieces = ask(served, "xyz", special=True)
    assert len(pieces) == 256 - 3
    body = seen(served)["bodies"][-1]
    assert body["max_tokens"] == 253  # without it vLLM takes 16
    assert not {"seed", "stop", "logit_bias", "logprobs", "structured_outputs"} & body.keys()


@pytest.mark.parametrize(
    ("constraint", "said"),
    [
        (Constraint(kind="json_object"), {"json_object": True}),
        (Constraint(kind="json_schema", value={"type": "object"}), {"json": {"type": "object"}}),
        (Constraint(kind="regex", value="a+"), {"regex": "a+"}),
    ],
)
def test_constraints_are_structured_outputs(
    served: Vllm, constraint: Constraint, said: dict[str, Any]
) -> None:
    ask(served, "x", special=True, max_tokens=1, constraint=constraint)
    assert seen(served)["bodies"][-1]["structured_outputs"] == said


def test_what_vllm_refuses_is_the_requests_mistake(served: Vllm) -> None:
    with pytest.raises(InvalidInput, match="out of vocabulary"):
        ask(served, (1, 100_000), max_tokens=1)
    with pytest.raises(InvalidInput, match="temperature must be in"):
        ask(served, "x", max_tokens=1, temperature=3.0)
    with pytest.raises(InvalidInput, match="takes text"):
        asyncio.run(anext(served.generate(AudioRequest(audio=b""))))


@pytest.mark.parametrize(
    ("prompt", "words"), [("x" * 256, "context"), ((1,) * 300, "context"), ((), "no token")]
)
def test_a_prompt_without_room_is_refused_before_it_is_sent(
    served: Vllm, prompt: str | tuple[int, ...], words: str
) -> None:
    before = len(seen(served)["bodies"])
    with pytest.raises(InvalidInput, match=words):
        ask(served, prompt, special=True)
    assert len(seen(served)["bodies"]) == before


def test_many_at_a_time_do_not_mix(served: Vllm) -> None:
    async def all_of_them() -> list[str]:
        asked = (deltas(served, f"<{k:02d}>", special=True, max_tokens=40) for k in range(16))
        return [text(pieces) for pieces in await asyncio.gather(*asked)]

    assert asyncio.run(all_of_them()) == [f"<{k:02d}>" * 10 for k in range(16)]


def test_its_arguments_and_environment(served: Vllm) -> None:
    found = seen(served)
    arguments = found["arguments"]
    assert arguments["max_num_seqs"] == served.abilities.slots == 8
    assert arguments["max_model_len"] == served.abilities.context == 256  # the model's own
    assert (arguments["load_format"], arguments["generation_config"]) == ("safetensors", "vllm")
    assert arguments["distributed_executor_backend"] is None
    assert len(found["environment"]["VLLM_API_KEY"]) > 30
    assert found["environment"]["VLLM_NO_USAGE_STATS"] == "1"
    assert served._child.key not in " ".join(psutil.Process(served._child._guard.pid).cmdline())  # type: ignore[union-attr]


def test_without_the_key_nothing_is_answered(served: Vllm) -> None:
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(served._child.socket))) as client:
        answer = client.post("http://localhost/v1/completions", json={"prompt": "x"})
    assert answer.status_code == 401
    assert oct(served._child.socket.parent.stat().st_mode)[-3:] == "700"


def test_closing_an_answer_ends_its_work(package: Package) -> None:
    package.behave(pause=0.005)
    generator = package.open()

    async def first_of_many() -> None:
        async with aclosing(generator.generate(TextRequest(prompt="abc"))) as pieces:
            async for _ in pieces:
                return

    try:
        asyncio.run(first_of_many())
        wait_until(lambda: seen(generator)["aborted"] == 1)
    finally:
        asyncio.run(generator.aclose())


def test_a_crash_in_the_middle_of_an_answer(package: Package) -> None:
    package.behave(crashes_at=2)
    generator = package.open()
    try:
        with pytest.raises(Unavailable, match="broke off"):
            ask(generator, "abc", special=True)
        wait_until(lambda: generator._child.ended)
        assert package.ended.wait(20)
        with pytest.raises(Unavailable, match="does not run any more"):
            ask(generator, "abc", special=True)
    finally:
        asyncio.run(generator.aclose())


def test_a_server_that_is_asked_to_end_has_not_ended_by_itself(package: Package) -> None:
    asyncio.run(package.open().aclose())
    assert not package.ended.wait(0.5)


def test_a_replica_whose_server_ends_is_ended_too(package: Package) -> None:
    package.behave(crashes_at=1)
    program = (
        "import signal, threading; from pathlib import Path\n"
        "from modelyard.engines.generation import GeneratorOptions; from modelyard.engines.vllm import create\n"
        "asked = threading.Event(); signal.signal(signal.SIGTERM, lambda *_: asked.set())\n"
        f"made = create(Path({str(package.entry)!r}), GeneratorOptions(), command={STAND_IN!r})\n"
        "import os; os.kill(made._child._guard.pid, signal.SIGTERM)\n"
        "print(asked.wait(30), flush=True); made._child.stop()"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=90)
    assert said.stdout.strip() == "True", said.stderr


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ({"failing": True}, "vLLM failed; came: status 500"),
        ({"fails_at": 1}, "vLLM failed; came: status 500"),
        ({"ends_early": 1}, "without a reason"),
    ],
)
def test_a_failure_is_told_without_vllms_insides(
    package: Package, behaviour: dict[str, Any], words: str
) -> None:
    package.behave(**behaviour)
    generator = package.open()
    try:
        with pytest.raises(Unavailable, match=words) as caught:
            ask(generator, "abc", special=True)
        assert "/opt" not in caught.value.message
    finally:
        asyncio.run(generator.aclose())


def test_one_that_does_not_start(package: Package) -> None:
    package.behave(breaks_at_start=True)
    with pytest.raises(Unavailable, match="while it loaded the model; the log says why; came: status 3"):
        package.open()


@pytest.mark.slow
def test_one_that_does_not_get_ready(package: Package) -> None:
    package.behave(healthy=False, worker=str(package.model / "pids"))
    package.say(startup_seconds=3.0)
    with pytest.raises(Unavailable, match="did not load the model in time"):
        package.open()
    assert_gone(package)


@pytest.mark.parametrize("behaviour", [{}, {"stubborn": True}])
def test_its_end_ends_all_that_it_started(package: Package, behaviour: dict[str, Any]) -> None:
    package.behave(worker=str(package.model / "pids"), **behaviour)
    generator = create(
        package.entry, GeneratorOptions(), command=STAND_IN, grace=0.5, ended=package.ended.set
    )
    folder = generator._child.socket.parent
    assert len(alive(package)) == 2
    asyncio.run(generator.aclose())
    assert_gone(package)
    assert not folder.exists()
    asyncio.run(generator.aclose())  # twice does no harm


def test_a_replica_that_is_killed_leaves_nothing(package: Package) -> None:
    package.behave(worker=str(package.model / "pids"))
    program = (
        "import sys, signal; from pathlib import Path; from modelyard.engines.generation import GeneratorOptions\n"
        "from modelyard.engines.vllm import create\n"
        f"made = create(Path({str(package.entry)!r}), GeneratorOptions(), command={STAND_IN!r})\n"
        "print(made._child.socket.parent, flush=True); signal.pause()"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as replica:
        assert replica.stdout
        folder = Path(replica.stdout.readline().strip())
        assert folder.is_dir()
        assert len(alive(package)) == 2
        replica.kill()
        wait_until(lambda: not alive(package) and not folder.exists())


def test_a_guard_that_is_killed_takes_the_server_along(package: Package) -> None:
    generator = package.open()
    guard = generator._child._guard
    assert guard
    (server,) = psutil.Process(guard.pid).children()
    guard.kill()
    try:
        wait_until(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE)
    finally:
        asyncio.run(generator.aclose())


def alive(package: Package) -> list[int]:
    """Of the server and its worker; the dead that nobody has reaped are dead."""
    found = []
    for pid in map(int, (package.model / "pids").read_text().split()):
        with suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
    return found


def assert_gone(package: Package) -> None:
    wait_until(lambda: not alive(package), 5)


def test_an_installed_vllm_is_started_by_its_own_command(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`vllm serve` is the module vllm.entrypoints.cli.main, as its console script says."""
    folder = tmp_path / "site" / "vllm" / "entrypoints" / "cli"
    folder.mkdir(parents=True)
    words = "import runpy, sys", "assert sys.argv.pop(1) == 'serve'"
    (folder / "main.py").write_text(
        "\n".join([*words, f"runpy.run_path({STAND_IN[1]!r}, run_name='__main__')"])
    )
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    generator = create(package.entry, GeneratorOptions(slots=2))
    try:
        assert text(ask(generator, "abc", special=True, max_tokens=5)) == "abcab"
    finally:
        asyncio.run(generator.aclose())
    package.say(hosts=2)
    with pytest.raises(MissingExtra, match="ray"):
        create(package.entry, GeneratorOptions())


def test_without_vllm_its_extra_is_named(package: Package) -> None:
    with pytest.raises(MissingExtra, match=r"modelyard\[vllm\]"):
        create(package.entry, GeneratorOptions())


def test_without_a_tokenizer_it_is_refused(package: Package) -> None:
    (package.model / "tokenizer.json").write_text("{}")
    with pytest.raises(InvalidInput, match=r"tokenizer\.json cannot be read"):
        package.open()
    os.unlink(package.model / "tokenizer.json")
    with pytest.raises(InvalidInput, match=r"needs the model's tokenizer\.json"):
        package.open()
