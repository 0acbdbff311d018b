"""The decoding engine over a tiny net: what it answers is what the net itself does, whatever is beside it."""

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from modelyard.engines.generation import GeneratorOptions
from modelyard.errors import InvalidInput
from modelyard.types.decoder import DecoderFile
from modelyard.types.generation import AudioRequest, Constraint, Delta, Sampling, TextRequest

torch = pytest.importorskip("torch")

from modelyard.engines.decoder import create  # noqa: E402
from modelyard.nets.gpt_module import GptModule, Sizes  # noqa: E402
from modelyard.tasks import subwords  # noqa: E402
from modelyard.tasks.contract import Examples  # noqa: E402
from modelyard.training import decoder_export  # noqa: E402

PROMPTS = ("the cat", "a dog ran over the wet grass", "who", "rain", "é𝄞 in the")
TEXTS = ("the cat sat on the mat and looked at the rain", "a dog ran over the wet grass to the old house")


def module(context: int = 48) -> Any:
    """With weights so large that its greedy answers are no two alike."""
    torch.manual_seed(3)
    sizes = Sizes(layers=2, width=32, heads=4, dropout=0.0, vocabulary=300, context=context, start=0)
    made = GptModule(sizes).eval()
    with torch.no_grad():
        for weights in made.parameters():
            if weights.ndim > 1:
                weights.mul_(8.0)
    return made


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("decoder")
    tokenizer = subwords.fit(TEXTS, 300, ("<|endoftext|>",), folder, "<|endoftext|> $A")
    ids = np.array([tokenizer.encode(text).ids[:12] for text in TEXTS])
    decoder_export.write(module(), folder, [Examples(inputs={"input_ids": ids})])
    return folder / "decoder" / "decoder.json"


@pytest.fixture(scope="module")
def engine(place: Path) -> Any:
    made = create(place, GeneratorOptions(slots=3))
    yield made
    asyncio.run(made.aclose())


def greedy(prompt: str | tuple[int, ...], tokens: int = 12, **given: Any) -> TextRequest:
    return TextRequest(prompt=prompt, sampling=Sampling(max_tokens=tokens, temperature=0.0, **given))


async def answer(engine: Any, request: TextRequest, after: int = 0) -> list[Delta]:
    for _ in range(after):
        await asyncio.sleep(0.001)
    return [piece async for piece in engine.generate(request)]


def ask(engine: Any, request: TextRequest) -> list[Delta]:
    return asyncio.run(answer(engine, request))


def text_of(pieces: list[Delta]) -> str:
    return "".join(piece.text for piece in pieces)


def alone(engine: Any, prompt: str, tokens: int) -> str:
    """What the net says, each token computed anew."""
    net = module()
    ids = engine._encoded(prompt, special=False)
    answer: list[int] = []
    with torch.inference_mode():
        while len(answer) < tokens:
            answer.append(int(net(torch.tensor([[*ids, *answer]]))[0, -1].argmax()))
            if answer[-1] == 0:
                return str(engine._decoded(answer[:-1]))
    return str(engine._decoded(answer))


def test_greedy_answers_are_the_nets_own_however_they_are_batched(engine: Any) -> None:
    lengths = (20, 7, 16, 13, 24)
    due = [alone(engine, p, n) for p, n in zip(PROMPTS, lengths, strict=True)]

    async def together(order: list[int]) -> dict[int, str]:
        asked = [answer(engine, greedy(PROMPTS[n], lengths[n]), after=2 * k) for k, n in enumerate(order)]
        return dict(zip(order, map(text_of, await asyncio.gather(*asked)), strict=True))

    for order in ([0, 1, 2, 3, 4], [4, 2, 0, 3, 1], [3, 1]):
        for n, found in asyncio.run(together(order)).items():
            assert found == due[n]
    assert len(set(due)) == len(due)


def test_sampled_answers_keep_to_their_seed_whoever_is_beside_them(engine: Any) -> None:
    def asked(seed: int) -> TextRequest:
        sampling = Sampling(max_tokens=12, temperature=1.5, top_p=0.9, seed=seed)
        return TextRequest(prompt=PROMPTS[seed % 5], sampling=sampling)

    single = [text_of(ask(engine, asked(seed))) for seed in range(6)]

    async def together() -> list[str]:
        return [text_of(p) for p in await asyncio.gather(*(answer(engine, asked(seed)) for seed in range(6)))]

    assert asyncio.run(together()) == single
    assert len(set(single)) > 4


def test_prompts_are_read_in_parts_and_the_context_ends_an_answer(place: Path) -> None:
    file = msgspec.json.decode(place.read_bytes(), type=DecoderFile)
    small = place.with_name("small.json")
    small.write_bytes(msgspec.json.encode(msgspec.structs.replace(file, chunk=3)))
    engine = create(small, GeneratorOptions(slots=1))
    assert text_of(ask(engine, greedy(PROMPTS[1], 9))) == alone(engine, PROMPTS[1], 9)
    pieces = ask(engine, TextRequest(prompt=(5,) * 45, sampling=Sampling(temperature=0.0, ignore_eos=True)))
    assert (sum(p.tokens for p in pieces), pieces[-1].finish, pieces[0].prompt) == (3, "length", 45)
    asyncio.run(engine.aclose())


def test_beams_of_several_requests_do_not_mix(engine: Any) -> None:
    asked = [greedy(PROMPTS[n], 8 + n, num_beams=1 + n) for n in range(5)]
    single = [text_of(ask(engine, request)) for request in asked]

    async def together() -> list[str]:
        return [text_of(p) for p in await asyncio.gather(*(answer(engine, request) for request in asked))]

    assert asyncio.run(together()) == single


def test_logprobs_are_the_nets_and_stops_are_not_in_the_answer(engine: Any) -> None:
    pieces = ask(engine, greedy("the cat", 5, logprobs=2))
    told = [place for piece in pieces for place in piece.logprobs]
    ids = engine._encoded("the cat", special=False)
    with torch.inference_mode():
        due = torch.log_softmax(module()(torch.tensor([ids]))[0, -1].double(), 0).topk(2).values.tolist()
    assert [t.logprob for t in told[0].top] == pytest.approx(due, abs=1e-3)
    whole = text_of(ask(engine, greedy("the cat", 20)))
    stopped = ask(engine, greedy("the cat", 20, stop=(whole[4:7],)))
    assert (text_of(stopped), stopped[-1].finish) == (whole[: whole.index(whole[4:7])], "stop")


def test_who_leaves_frees_the_slot(place: Path) -> None:
    engine = create(place, GeneratorOptions(slots=1))

    async def leave() -> str:
        pieces: Any = engine.generate(TextRequest(prompt="the", sampling=Sampling(logit_bias={66: 100.0})))
        async with aclosing(pieces):
            assert (await anext(pieces)).tokens >= 1
        found = text_of(await answer(engine, greedy("the cat", 6)))
        await engine.aclose()
        return found

    assert asyncio.run(leave()) == alone(engine, "the cat", 6)


def test_json_is_written_where_it_is_asked_for(engine: Any) -> None:
    pytest.importorskip("llguidance")
    constraint = Constraint(kind="regex", value="[a-c]{3}")
    pieces = ask(engine, greedy("the cat", 20, constraint=constraint))
    assert len(text_of(pieces)) == 3
    assert set(text_of(pieces)) <= set("abc")


def test_how_likely_a_text_is(engine: Any) -> None:
    """Also of one that is longer than the context: each token from what a window of it has before."""
    long = " ".join(TEXTS) + " " + " ".join(TEXTS)
    nats, tokens = engine.likelihood(["the cat", long, ""])
    assert tokens[2] == nats[2] == 0
    assert nats[0] == pytest.approx(_nats(engine, "", "the cat"), rel=1e-3)
    ids = [0, *engine._tokenizer.encode(long, add_special_tokens=False).ids]
    assert tokens[1] == len(ids) - 1 > 48
    net, due = module(), 0.0
    with torch.inference_mode():
        for start in range(0, len(ids) - 1 - 24, 24):
            window = ids[start : start + 49]
            logs = torch.log_softmax(net(torch.tensor([window[:-1]]))[0].double(), 1)
            first = 0 if start == 0 else 24
            due -= sum(float(logs[n, window[n + 1]]) for n in range(first, len(window) - 1))
    assert nats[1] == pytest.approx(due, rel=1e-3)


@pytest.mark.parametrize(
    ("request_", "match"),
    [
        (greedy("the cat " * 60), "context"),
        (greedy((1,) * 48), "context"),
        (greedy((5, 100_000)), "none of"),
        (greedy("a", logit_bias={10**6: 1.0}), "logit_bias"),
        (greedy("a", num_beams=9), "num_beams; came: 9; allowed: 1 to 8"),
        (greedy("a", num_beams=2, logprobs=1), "nothing is drawn; came: .'logprobs'."),
        (TextRequest(prompt="a", sampling=Sampling(num_beams=2)), "came: .'temperature'."),
        (AudioRequest(audio=b"x"), "takes text"),
    ],
)
def test_what_it_cannot_take_is_refused(engine: Any, request_: Any, match: str) -> None:
    with pytest.raises(InvalidInput, match=match):
        ask(engine, request_)


@pytest.mark.parametrize(
    ("said", "match"),
    [
        ({"step": "../../etc/passwd"}, "none of its own"),
        ({"tokenizer": "../../x.json"}, "none of its own"),
        ({"step": "step.bin"}, "none of its own"),
        ({"context": 0}, "cannot be"),
        ({"state": [{"name": "keys.0", "kind": "appended", "shape": [4, 8]}]}, "a state that cannot be"),
        ({"step": "none.onnx"}, "not a model"),
    ],
)
def test_a_file_that_is_no_decoder_is_refused(place: Path, said: dict[str, Any], match: str) -> None:
    file = msgspec.to_builtins(msgspec.json.decode(place.read_bytes(), type=DecoderFile)) | said
    other = place.with_name("other.json")
    other.write_bytes(msgspec.json.encode(file))
    with pytest.raises(InvalidInput, match=match):
        create(other, GeneratorOptions())
    other.write_text("[]")
    with pytest.raises(InvalidInput, match="does not describe a decoder"):
        create(other, GeneratorOptions())


def _nats(engine: Any, prompt: str, text: str) -> float:
    """Of a text after a prompt, by the net."""
    before = engine._encoded(prompt, special=False)
    ids = [*before, *engine._tokenizer.encode(text, add_special_tokens=False).ids]
    with torch.inference_mode():
        logs = torch.log_softmax(module()(torch.tensor([ids]))[0].double(), 1)
    return -sum(float(logs[n - 1, ids[n]]) for n in range(len(before), len(ids)))
