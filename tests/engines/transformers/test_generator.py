"""The engine over tiny random models: exact whatever it is batched with, and every promise of the contract."""

import asyncio
import json
import re
import threading
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from modelyard.engines.generation import GeneratorOptions
from modelyard.errors import InvalidInput, ModelyardError, Unavailable
from modelyard.types.generation import AudioRequest, Constraint, Delta, Sampling, TextRequest
from tiny_language_model import write_folder

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from modelyard.engines.transformers import create  # noqa: E402

pytestmark = pytest.mark.slow
PROMPTS = (
    "the cat",
    "a dog ran over the wet grass",
    "who",
    "the rain fell on the house all day and",
    "é€𝄞 in",
)


def folder(at: Path, kind: str, seed: int, by: float) -> Path:
    """The tiny model with larger weights, so that its greedy answers are no two alike."""
    write_folder(at, kind, seed=seed)
    model = transformers.AutoModelForCausalLM.from_pretrained(at, dtype=torch.float32)
    with torch.no_grad():
        for weights in model.parameters():
            if weights.ndim > 1:
                weights.mul_(by)
    model.save_pretrained(at)
    return at


@pytest.fixture(scope="module", params=[("llama", 0, 3.0), ("llama", 2, 4.0), ("gpt2", 5, 4.0)])
def place(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The second one ends some of its answers by itself."""
    return folder(tmp_path_factory.mktemp("places") / "huggingface", *request.param)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder(tmp_path_factory.mktemp("one") / "huggingface", "llama", 0, 3.0)


@pytest.fixture(scope="module")
def engine(llama: Path) -> Any:
    made = create(llama / "config.json", GeneratorOptions(slots=4, threads=1))
    yield made
    asyncio.run(made.aclose())


def greedy(prompt: str | tuple[int, ...], tokens: int = 12, **given: Any) -> TextRequest:
    return TextRequest(prompt=prompt, sampling=Sampling(max_tokens=tokens, temperature=0.0, **given))


async def answer(engine: Any, request: TextRequest, after: int = 0) -> list[Delta]:
    """Asked `after` turns of the loop."""
    for _ in range(after):
        await asyncio.sleep(0.002)
    return [piece async for piece in engine.generate(request)]


def ask(engine: Any, request: TextRequest) -> list[Delta]:
    return asyncio.run(answer(engine, request))


def text_of(pieces: list[Delta]) -> str:
    return "".join(piece.text for piece in pieces)


def alone(place: Path, prompt: str, tokens: int, **given: Any) -> str:
    """What transformers' own generate answers."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(place)
    model = transformers.AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32).eval()
    ids = tokenizer(prompt, return_tensors="pt")
    out = model.generate(**ids, do_sample=False, max_new_tokens=tokens, pad_token_id=0, **given)[0].tolist()
    before, whole = out[: ids.input_ids.shape[1]], out
    told = [tokenizer.decode(i, skip_special_tokens=True) for i in (before, whole)]
    return str(told[1][len(told[0]) :])


def test_greedy_answers_are_those_of_generate_however_they_are_batched(place: Path) -> None:
    engine = create(place / "config.json", GeneratorOptions(slots=3, threads=1))
    lengths = (20, 7, 30, 13, 24)
    due = [alone(place, p, n) for p, n in zip(PROMPTS, lengths, strict=True)]

    async def together(order: list[int]) -> dict[int, str]:
        asked = [answer(engine, greedy(PROMPTS[n], lengths[n]), after=2 * k) for k, n in enumerate(order)]
        return dict(zip(order, map(text_of, await asyncio.gather(*asked)), strict=True))

    async def all_orders() -> None:
        for order in ([0, 1, 2, 3, 4], [4, 2, 0, 3, 1], [3, 3, 1]):
            for n, found in (await together(order)).items():
                assert found == due[n]
        await engine.aclose()

    asyncio.run(all_orders())
    assert len(set(due)) == len(due)


def test_sampled_answers_keep_to_their_seed_whoever_is_beside_them(engine: Any) -> None:
    def asked(seed: int) -> TextRequest:
        sampling = Sampling(max_tokens=20, temperature=1.5, top_p=0.9, seed=seed)
        return TextRequest(prompt=PROMPTS[seed % len(PROMPTS)], sampling=sampling)

    single = [text_of(ask(engine, asked(seed))) for seed in range(6)]

    async def together() -> list[str]:
        return [text_of(p) for p in await asyncio.gather(*(answer(engine, asked(seed)) for seed in range(6)))]

    assert asyncio.run(together()) == single
    assert len(set(single)) == 6


def test_usage_and_the_end(engine: Any) -> None:
    pieces = ask(engine, greedy("the cat", 9))
    assert sum(p.tokens for p in pieces) == 9
    assert [p.finish for p in pieces][-1] == "length"
    assert sum(p.finish is not None for p in pieces) == 1
    assert pieces[0].prompt == engine.count("the cat") == 3  # with the token that begins a text
    assert all(p.prompt == 0 for p in pieces[1:])
    assert len(ask(engine, greedy(PROMPTS[3], 20))) > 5  # it streams


def test_the_models_own_end_and_going_past_it(engine: Any) -> None:
    """A bias makes the end the likeliest: the answer is empty then, unless it is to be ignored."""
    pieces = ask(engine, greedy("the cat", 5, logit_bias={2: 100.0}))
    assert (text_of(pieces), pieces[-1].finish, sum(p.tokens for p in pieces)) == ("", "stop", 1)
    pieces = ask(engine, greedy("the cat", 5, logit_bias={2: 100.0}, ignore_eos=True))
    assert (text_of(pieces), pieces[-1].finish, sum(p.tokens for p in pieces)) == ("", "length", 5)


def test_stop_texts_are_not_in_the_answer(engine: Any) -> None:
    whole = text_of(ask(engine, greedy("the cat", 30)))
    for at in range(2, len(whole) - 4, 3):
        stop = whole[at : at + 4]
        pieces = ask(engine, greedy("the cat", 30, stop=(stop, "never there")))
        assert text_of(pieces) == whole[: whole.index(stop)]
        assert pieces[-1].finish == "stop"
    pieces = ask(engine, greedy("the cat", 30, stop=("never there",)))
    assert (text_of(pieces), pieces[-1].finish) == (whole, "length")


def test_logprobs(engine: Any, llama: Path) -> None:
    pieces = ask(engine, greedy("the cat", 8, logprobs=3))
    told = [place for piece in pieces for place in piece.logprobs]
    assert len(told) == 8
    assert b"".join(place.raw for place in told).decode("utf-8", "replace") == text_of(pieces)
    model = transformers.AutoModelForCausalLM.from_pretrained(llama).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(llama)
    logits = model(tokenizer("the cat", return_tensors="pt").input_ids).logits[0, -1]
    values, ids = torch.log_softmax(logits, 0).topk(3)
    assert [t.logprob for t in told[0].top] == pytest.approx(values.tolist(), abs=1e-4)
    assert told[0].logprob == pytest.approx(values[0].item(), abs=1e-4)
    assert told[0].top[0].raw == told[0].raw
    assert all(len(place.top) == 3 for place in told)
    assert int(ids[0]) >= 0


def test_logprobs_are_of_the_tokens_that_are_told(engine: Any) -> None:
    whole = ask(engine, greedy("the cat", 30, logprobs=0))
    text = text_of(whole)
    stop = text[10:14]
    pieces = ask(engine, greedy("the cat", 30, logprobs=0, stop=(stop,)))
    told = b"".join(place.raw for piece in pieces for place in piece.logprobs).decode("utf-8", "replace")
    assert told.startswith(text_of(pieces))
    assert len(told) < len(text)


def test_control_tokens_in_a_text_are_text_unless_it_is_special(engine: Any) -> None:
    plain, special = (
        ask(engine, TextRequest(prompt="<s>the cat</s>", special=s, sampling=Sampling(max_tokens=1)))
        for s in (False, True)
    )
    assert special[0].prompt == 4  # no other beginning
    assert plain[0].prompt > 8


def test_tokens_and_nothing_as_a_prompt(engine: Any) -> None:
    ids = (1, *engine._encoded("the cat", special=True))
    assert text_of(ask(engine, greedy(ids, 6))) == text_of(ask(engine, greedy("the cat", 6)))
    assert ask(engine, greedy((), 2))[0].prompt == 1
    (only,) = ask(engine, greedy("the cat", 0))
    assert (only.finish, only.tokens, only.prompt) == ("length", 0, 3)


@pytest.mark.parametrize(
    ("request_", "match"),
    [
        (greedy("the cat " * 60), "context"),
        (greedy("x" * 10_000_000), "context"),
        (greedy((1,) * 64), "context"),
        (greedy((5, 100_000)), "none of"),
        (greedy((-1,)), "none of"),
        (greedy("a", logit_bias={10**6: 1.0}), "logit_bias"),
        (AudioRequest(audio=b"x"), "takes text"),
    ],
)
def test_what_it_cannot_take_is_refused_before_the_first_piece(
    engine: Any, request_: Any, match: str
) -> None:
    with pytest.raises(InvalidInput, match=match):
        ask(engine, request_)


def test_the_context_ends_an_answer(engine: Any) -> None:
    pieces = ask(engine, TextRequest(prompt=(1,) * 60, sampling=Sampling(temperature=0.0, ignore_eos=True)))
    assert (sum(p.tokens for p in pieces), pieces[-1].finish) == (4, "length")
    assert ask(engine, TextRequest(prompt=(1,) * 63, sampling=Sampling(ignore_eos=True)))[-1].tokens == 1


def test_long_prompts_are_read_in_parts(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from modelyard.engines.transformers.batch import Together

    monkeypatch.setattr(Together, "chunk", 5)
    engine = create(llama / "config.json", GeneratorOptions(slots=2, threads=1))
    prompt = PROMPTS[3] * 2
    assert text_of(ask(engine, greedy(prompt, 10))) == alone(llama, prompt, 10)
    asyncio.run(engine.aclose())


def test_leaving_frees_the_slot_at_the_next_step(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = create(llama / "config.json", GeneratorOptions(slots=1, threads=1))
    step, go, steps = engine._loop._batch.step, threading.Event(), 0

    def counted(tokens: Any) -> Any:
        nonlocal steps
        assert go.wait(10)
        steps += 1
        return step(tokens)

    monkeypatch.setattr(engine._loop._batch, "step", counted)
    letter = engine._tokenizer.token_to_id("a")
    endless = TextRequest(prompt="the", sampling=Sampling(temperature=0.0, logit_bias={letter: 100.0}))

    async def leave() -> None:
        pieces = engine.generate(endless)
        async with aclosing(pieces):  # type: ignore[type-var]
            assert (await anext(pieces)).tokens == 1
        go.set()
        assert text_of(await answer(engine, greedy("the cat", 6))) == alone(llama, "the cat", 6)
        await engine.aclose()

    asyncio.run(leave())
    assert steps <= 1 + 5
    assert not engine._loop._thread.is_alive()


def test_closing_the_engine_ends_what_runs_and_what_comes(llama: Path) -> None:
    engine = create(llama / "config.json", GeneratorOptions(slots=1, threads=1))

    async def close() -> None:
        asked = [
            asyncio.ensure_future(answer(engine, greedy("the cat", 50, ignore_eos=True))) for _ in range(3)
        ]
        await asyncio.sleep(0.02)
        await engine.aclose()
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(f, Unavailable) or f[-1].finish for f in found)
        assert isinstance(found[-1], Unavailable)
        with pytest.raises(Unavailable):
            await answer(engine, greedy("the cat"))

    asyncio.run(close())


def test_what_breaks_ends_its_own_requests_alone(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = create(llama / "config.json", GeneratorOptions(slots=2, threads=1))
    read = engine._loop._batch.read

    def broken(row: Any, ids: Any) -> Any:
        if len(ids) > 12:
            raise RuntimeError("not enough memory")
        return read(row, ids)

    monkeypatch.setattr(engine._loop._batch, "read", broken)

    async def both() -> list[Any]:
        asked = (answer(engine, greedy(p, 10)) for p in ("the cat", "x" * 40))
        return list(await asyncio.gather(*asked, return_exceptions=True))

    good, bad = asyncio.run(both())
    assert text_of(good) == alone(llama, "the cat", 10)
    assert isinstance(bad, Unavailable)
    assert "memory" not in bad.message
    asyncio.run(engine.aclose())


def test_an_adapter_beside_the_model_is_applied(llama: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    import shutil
    import warnings

    shutil.copytree(llama, tmp_path / "huggingface")
    model = transformers.AutoModelForCausalLM.from_pretrained(llama, dtype=torch.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adapted = peft.get_peft_model(
            model, peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
        ).eval()
        adapted.save_pretrained(tmp_path / "adapter")
        ids = transformers.AutoTokenizer.from_pretrained(llama)("the cat", return_tensors="pt")
        due = adapted.generate(**ids, do_sample=False, max_new_tokens=12, pad_token_id=0)[0, 3:].tolist()
    engine = create(tmp_path / "huggingface/config.json", GeneratorOptions(threads=1))
    pieces = ask(engine, greedy("the cat", 12))
    assert text_of(pieces) == engine._decoded(due)
    assert text_of(pieces) != alone(llama, "the cat", 12)
    asyncio.run(engine.aclose())


def test_penalties_answer_as_generate_does(engine: Any, llama: Path) -> None:
    found = text_of(ask(engine, greedy("the cat", 20, repetition_penalty=1.7)))
    assert found == alone(llama, "the cat", 20, repetition_penalty=1.7)
    assert found != alone(llama, "the cat", 20)


SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 6},
        "age": {"type": "integer", "minimum": 0, "maximum": 99},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}  # fmt: skip


def test_constraints_are_kept_by_a_model_that_knows_nothing(engine: Any) -> None:
    pytest.importorskip("llguidance")

    def constrained(kind: Any, value: Any = None, seed: int = 0) -> list[Delta]:
        sampling = Sampling(
            max_tokens=60, temperature=1.0, seed=seed, constraint=Constraint(kind=kind, value=value)
        )
        return ask(engine, TextRequest(prompt="the", sampling=sampling))

    for seed in range(8):
        pieces = constrained("json_schema", SCHEMA, seed)
        assert pieces[-1].finish == "stop"
        value = json.loads(text_of(pieces))
        assert set(value) == {"name", "age"}
        assert 0 <= value["age"] <= 99
        text = text_of(constrained("regex", "[0-9]{3}-[a-f]{2,4}", seed))
        assert re.fullmatch("[0-9]{3}-[a-f]{2,4}", text)
    text = text_of(constrained("json_object"))
    assert text.startswith("{")


@pytest.mark.parametrize(
    "constraint",
    [
        Constraint(kind="regex", value="("),
        Constraint(kind="regex", value=5),
        Constraint(kind="regex", value="(?=a)b"),
        Constraint(kind="regex", value="a" * 100_000),
        Constraint(kind="json_schema", value={"type": "nonsense"}),
        Constraint(kind="json_schema", value={"$ref": "http://127.0.0.1:9/x"}),
        Constraint(kind="json_schema", value={"properties": {f"p{n}": {} for n in range(9000)}}),
    ],
)
def test_constraints_that_cannot_be_followed_are_refused(engine: Any, constraint: Constraint) -> None:
    pytest.importorskip("llguidance")
    with pytest.raises(InvalidInput):
        ask(engine, greedy("the", 4, constraint=constraint))


def test_a_schema_ten_thousand_deep_is_refused(engine: Any) -> None:
    pytest.importorskip("llguidance")
    deep: dict[str, Any] = {}
    for _ in range(10_000):
        deep = {"items": deep}
    with pytest.raises(InvalidInput):
        ask(engine, greedy("the", 4, constraint=Constraint(kind="json_schema", value=deep)))


def test_folders_that_are_no_such_model_are_refused(tmp_path: Path, llama: Path) -> None:
    import shutil

    def opened(**config: Any) -> None:
        place = tmp_path / "huggingface"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(llama, place)
        said = json.loads((place / "config.json").read_text())
        (place / "config.json").write_text(json.dumps({**said, **config}))
        (place / "evil.py").write_text("raise SystemExit('code of a model was imported')\n")
        create(place / "config.json", GeneratorOptions())

    with pytest.raises(InvalidInput, match="no causal language model"):
        opened(model_type="evil", auto_map={"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M"})
    with pytest.raises(InvalidInput, match="no causal language model"):
        opened(model_type="t5", architectures=["T5ForConditionalGeneration"])
    with pytest.raises(ModelyardError):
        opened(hidden_size=40)
    opened()
    (tmp_path / "huggingface/tokenizer.json").unlink()
    with pytest.raises(InvalidInput, match=r"no tokenizer\.json"):
        create(tmp_path / "huggingface/config.json", GeneratorOptions())
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InvalidInput):
        create(tmp_path / "config.json", GeneratorOptions())


def test_pickled_weights_are_not_opened(tmp_path: Path, llama: Path) -> None:
    import shutil

    shutil.copytree(llama, tmp_path / "x")
    model = transformers.AutoModelForCausalLM.from_pretrained(llama)
    torch.save(model.state_dict(), tmp_path / "x/pytorch_model.bin")
    (tmp_path / "x/model.safetensors").unlink()
    with pytest.raises(InvalidInput):
        create(tmp_path / "x/config.json", GeneratorOptions())


def test_a_context_is_the_models_own_at_most(llama: Path) -> None:
    assert create(llama / "config.json", GeneratorOptions(context=32)).abilities.context == 32
    with pytest.raises(InvalidInput, match="1 to 64"):
        create(llama / "config.json", GeneratorOptions(context=65))
