"""The whole engine on a tiny model: worker process, tokens, text, constraints, against OpenVINO run by hand."""

import asyncio
import json
import os
import re
import shutil
import signal
from contextlib import aclosing

import numpy as np
import pytest

pytest.importorskip("openvino_genai")

from modelyard.engines import openvino_genai
from modelyard.engines.generation import GeneratorOptions
from modelyard.engines.openvino_size import affordable, token_bytes
from modelyard.errors import InvalidInput, Unavailable
from modelyard.types.generation import AudioRequest, Constraint, Sampling, TextRequest
from tiny_openvino import BOS, EOS, PLACES, TURN, Reference, byte_tokenizer, write_tiny

pytestmark = pytest.mark.slow  # processes that import OpenVINO

SLOTS = 4


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def reference(path):
    return Reference(path)


@pytest.fixture(scope="module")
def loop():
    made = asyncio.new_event_loop()
    yield made
    made.close()


@pytest.fixture(scope="module")
def generator(path, loop):
    made = openvino_genai.create(path, GeneratorOptions(slots=SLOTS, threads=1))
    yield made
    loop.run_until_complete(made.aclose())


@pytest.fixture
def ask(generator, loop):
    def asked(prompt, *, special=False, **sampling):
        request = TextRequest(prompt=prompt, special=special, sampling=Sampling(**sampling))
        return loop.run_until_complete(whole(generator, request))

    return asked


async def whole(generator, request):
    return [delta async for delta in generator.generate(request)]


def text(deltas):
    return "".join(delta.text for delta in deltas)


def raw(deltas):
    return b"".join(place.raw for delta in deltas for place in delta.logprobs)


def spelt(ids):
    from modelyard.engines.pieces import TokenBytes

    names = TokenBytes(byte_tokenizer())
    return b"".join(names[token] for token in ids)


GREEDY = {"temperature": 0.0, "ignore_eos": True}


def test_abilities(generator):
    told = generator.abilities
    assert (told.name, told.takes, told.slots, told.context) == ("openvino", "text", SLOTS, PLACES)
    assert (told.top_logprobs, told.logit_bias) == (0, False)
    assert told.constraints == ("json_object", "json_schema", "regex")


def test_goes_on_as_the_model_does(ask, reference):
    ids = byte_tokenizer().encode("hello").ids
    assert ids[0] == BOS
    expected = reference.greedy(ids, 24)
    deltas = ask("hello", max_tokens=24, logprobs=0, **GREEDY)
    assert raw(deltas) == spelt(expected)
    assert text(deltas) == spelt(expected).decode(errors="replace")
    assert sum(delta.tokens for delta in deltas) == 24
    assert (deltas[0].prompt, deltas[-1].finish) == (len(ids), "length")
    assert ask(tuple(ids), max_tokens=24, logprobs=0, **GREEDY)[0].prompt == len(ids)


def test_log_probabilities_are_the_models(ask, reference):
    ids = byte_tokenizer().encode("some words").ids
    logits = reference.logits(ids)[-1].astype(np.float64)
    logprobs = logits - np.log(np.exp(logits).sum())
    place = ask("some words", max_tokens=1, logprobs=0, **GREEDY)[0].logprobs[0]
    assert place.logprob == pytest.approx(logprobs.max(), abs=0.02)  # keys and values are kept in 8 bits
    assert place.top == ()


def test_many_at_a_time_answer_as_alone(generator, loop, ask):
    prompts = [f"prompt {n} " * (n + 1) for n in range(2 * SLOTS)]

    async def together():
        requests = (
            TextRequest(prompt=one, sampling=Sampling(max_tokens=16, logprobs=0, **GREEDY)) for one in prompts
        )
        return await asyncio.gather(*(whole(generator, request) for request in requests))

    found = loop.run_until_complete(together())
    assert [raw(one) for one in found] == [raw(ask(p, max_tokens=16, logprobs=0, **GREEDY)) for p in prompts]


def test_what_was_computed_is_not_again(ask):
    prompt = "a beginning that is longer than a block of the cache, which has 32 tokens; "
    first = ask(prompt, max_tokens=2, **GREEDY)[0]
    again = ask(prompt, max_tokens=2, **GREEDY)[0]
    longer = ask(prompt + "and more", max_tokens=2, **GREEDY)[0]
    assert first.cached == 0
    assert again.cached == again.prompt - 1
    assert 64 <= longer.cached < longer.prompt


def test_a_seed_draws_the_same(ask):
    drawn = [text(ask("once", max_tokens=24, seed=seed, ignore_eos=True)) for seed in (7, 7, 8)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert text(ask("once", max_tokens=24, ignore_eos=True)) != text(
        ask("once", max_tokens=24, ignore_eos=True)
    )
    greedy = text(ask("once", max_tokens=24, **GREEDY))
    assert text(ask("once", max_tokens=24, seed=7, top_k=1, ignore_eos=True)) == greedy
    assert text(ask("once", max_tokens=24, seed=7, top_p=1e-6, ignore_eos=True)) == greedy


def test_penalties_change_the_answer(ask):
    plain = ask("aaaa", max_tokens=40, logprobs=0, **GREEDY)
    for name in ("presence_penalty", "frequency_penalty"):
        assert raw(ask("aaaa", max_tokens=40, logprobs=0, **{name: 2.0}, **GREEDY)) != raw(plain)
    assert raw(ask("aaaa", max_tokens=40, logprobs=0, repetition_penalty=1.5, **GREEDY)) != raw(plain)


def test_ends_at_a_stop_text_and_says_nothing_of_it(ask):
    plain = text(ask("hello", max_tokens=40, **GREEDY))
    stop = plain[5:8]
    deltas = ask("hello", max_tokens=40, stop=(stop,), logprobs=0, **GREEDY)
    assert text(deltas) == plain[: plain.index(stop)]
    assert deltas[-1].finish == "stop"
    assert raw(deltas).decode(errors="replace").startswith(text(deltas))
    assert text(ask("hello", max_tokens=40, stop=("never comes",), **GREEDY)) == plain


def test_the_models_own_end_is_no_text(ask, generator):
    deltas = ask("a", max_tokens=8, temperature=0.0, constraint=Constraint(kind="regex", value="[ab]{3}"))
    assert re.fullmatch("[ab]{3}", text(deltas))
    assert (deltas[-1].finish, sum(delta.tokens for delta in deltas)) == ("stop", 3)


@pytest.mark.parametrize("seed", [1, 2])
def test_constraints_hold(ask, seed):
    schema = {
        "type": "object",
        "properties": {"age": {"type": "integer", "minimum": 10, "maximum": 99}, "sex": {"enum": ["f", "m"]}},
        "required": ["age", "sex"],
        "additionalProperties": False,
    }
    drawn = text(ask("{", max_tokens=400, seed=seed, constraint=Constraint(kind="json_schema", value=schema)))
    found = json.loads(drawn)
    assert 10 <= found["age"] <= 99
    assert found["sex"] in ("f", "m")
    beginning = text(ask("{", max_tokens=30, seed=seed, constraint=Constraint(kind="json_object")))
    assert beginning.lstrip().startswith("{")


@pytest.mark.parametrize(
    "constraint",
    [
        Constraint(kind="regex", value="((("),
        Constraint(kind="regex", value=12),
        Constraint(kind="regex", value="a" * 70_000),
        Constraint(kind="json_schema", value={"type": "nonsense"}),
        Constraint(kind="json_schema", value=False),
    ],
    ids=["expression", "number", "long", "type", "nothing"],
)
def test_a_bad_constraint_is_refused_and_harms_nobody(ask, constraint):
    with pytest.raises(InvalidInput) as caught:
        ask("x", max_tokens=4, constraint=constraint)
    assert "/" not in caught.value.message.replace("and/or", "")
    assert text(ask("hello", max_tokens=4, **GREEDY))


def test_a_constraint_that_is_too_much_is_refused_in_time(ask):
    schema = {"type": "string"}
    for _ in range(400):
        schema = {"type": "object", "properties": {"a": schema}}
    with pytest.raises(InvalidInput, match="too long"):
        ask("x", max_tokens=4, constraint=Constraint(kind="json_schema", value=schema))
    assert text(ask("x", max_tokens=4, constraint=Constraint(kind="regex", value="abc"))) == "abc"


def test_what_it_cannot_do_is_refused(ask, generator, loop):
    with pytest.raises(InvalidInput, match="logit_bias"):
        ask("x", logit_bias={1: 2.0})
    with pytest.raises(InvalidInput, match="alternatives"):
        ask("x", logprobs=2)
    with pytest.raises(InvalidInput, match="text"):
        loop.run_until_complete(whole(generator, AudioRequest(audio=b"RIFF")))
    with pytest.raises(InvalidInput, match="parameters"):
        ask("x", temperature=1.0, top_p=7.0)


@pytest.mark.parametrize(
    "prompt", ["x" * PLACES, "x" * 10_000_000, tuple([97] * PLACES), (), "", (97, 100_000)]
)
def test_prompts_that_do_not_fit(ask, prompt):
    if prompt == "":
        assert ask(prompt, max_tokens=1, **GREEDY)[0].prompt == 1  # the model's first token alone
        return
    with pytest.raises(InvalidInput, match="context" if len(prompt) >= PLACES else "token"):
        ask(prompt, max_tokens=1)


def test_an_answer_fills_the_context_and_no_more(ask):
    deltas = ask("x" * (PLACES - 10), **GREEDY)
    assert (sum(delta.tokens for delta in deltas), deltas[-1].finish) == (9, "length")
    assert ask("x", max_tokens=0)[-1].finish == "length"


def test_control_tokens_are_such_only_in_a_special_text(ask, generator):
    words = "<turn>a<eos>"
    assert ask(words, special=True, max_tokens=1, **GREEDY)[0].prompt == 3
    assert ask(words, max_tokens=1, **GREEDY)[0].prompt == 1 + len(words)
    assert generator.count(words) == 1 + len(words)
    ids = generator._vocabulary.encode(words, special=False)
    assert not {EOS, TURN} & set(ids)


def test_leaving_ends_the_work(generator, loop, ask):
    async def left():
        request = TextRequest(prompt="x", sampling=Sampling(ignore_eos=True))
        async with aclosing(generator.generate(request)) as pieces:
            async for _ in pieces:
                break

    for _ in range(3 * SLOTS):
        loop.run_until_complete(left())
    assert generator._link._answers == {}
    assert text(ask("hello", max_tokens=4, **GREEDY))


def test_a_worker_that_dies_is_told_and_started_again(path, loop):
    made = openvino_genai.create(path, GeneratorOptions(slots=1, threads=1))

    async def killed():
        request = TextRequest(prompt="x", sampling=Sampling(ignore_eos=True))
        async with aclosing(made.generate(request)) as pieces:
            async for _ in pieces:
                os.kill(made._link._worker._process.pid, signal.SIGKILL)

    with pytest.raises(Unavailable):
        loop.run_until_complete(killed())
    request = TextRequest(prompt="x", sampling=Sampling(max_tokens=3, temperature=0.0, ignore_eos=True))
    assert loop.run_until_complete(whole(made, request))[-1].finish == "length"
    process = made._link._worker._process
    loop.run_until_complete(made.aclose())
    assert process.poll() is not None
    with pytest.raises(Unavailable):
        loop.run_until_complete(whole(made, request))


def test_a_folder_that_is_no_model(path, tmp_path):
    folder = tmp_path / "broken"
    shutil.copytree(path.parent, folder)
    (folder / "openvino_model.xml").write_text("<net/>")
    with pytest.raises(InvalidInput, match="does not open"):
        openvino_genai.create(folder / "openvino_model.xml", GeneratorOptions(threads=1))
    (folder / "openvino_detokenizer.xml").unlink()
    with pytest.raises(InvalidInput, match="openvino_detokenizer"):
        openvino_genai.create(folder / "openvino_model.xml", GeneratorOptions(threads=1))


def test_sizes():
    config = {
        "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": 3,
        "max_position_embeddings": 4096,
    }  # fmt: skip
    assert token_bytes(config) == 2 * 3 * 2 * (16 + 8)
    assert affordable(config, GeneratorOptions()).context == 4096
    assert affordable({"text_config": config}, GeneratorOptions(slots=3, context=100)).slots == 3
    huge = config | {"num_hidden_layers": 10**9}
    assert affordable(huge, GeneratorOptions()).slots == 1
    with pytest.raises(InvalidInput, match="longer"):
        affordable(config, GeneratorOptions(context=4097))
