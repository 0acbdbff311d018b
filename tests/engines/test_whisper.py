"""The engine with Whisper tiny.en's real weights."""

import asyncio
import contextlib
import re

import numpy as np
import pytest

from modelyard.engines.generation import GeneratorOptions
from modelyard.engines.whisper import create
from modelyard.errors import InvalidInput, TooLarge, Unavailable
from modelyard.types.generation import AudioRequest, Delta, TextRequest
from speech_samples import LIBRIVOX, RATE, encoded, model, needs_librivox, tone, transcripts, wav

pytestmark = pytest.mark.slow  # real weights
SHORT = "sense_and_sensibility_01_austen_64kb-0930.wav"
LONG = "sense_and_sensibility_01_austen_64kb-0870.wav"


@pytest.fixture(scope="module")
def engine():
    made = create(model(), GeneratorOptions(threads=1))
    yield made
    asyncio.run(made.aclose())


async def _all(engine, request: AudioRequest) -> list[Delta]:
    return [piece async for piece in engine.generate(request)]


def hear(engine, request: AudioRequest) -> list[Delta]:
    return asyncio.run(_all(engine, request))


def words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


def test_what_it_says_of_itself(engine):
    abilities = engine.abilities
    assert (abilities.name, abilities.takes, abilities.slots) == ("whisper", "audio", 1)
    assert engine.count(" hello world") == 2


@needs_librivox
def test_speech_is_written_down_in_segments(engine):
    pieces = hear(engine, AudioRequest(audio=(LIBRIVOX / SHORT).read_bytes()))
    *segments, last = pieces
    assert words("".join(p.text for p in segments)) == words(transcripts()[SHORT])
    assert all(p.segment is not None and p.segment.text == p.text for p in segments)
    assert all(p.tokens == len(p.segment.tokens) > 0 for p in segments)
    assert [p.segment.id for p in segments] == list(range(len(segments)))
    assert segments[0].prompt == 4  # 3.29 s
    assert (last.finish, last.language, last.text, last.prompt) == ("stop", "en", "", 0)
    assert last.duration == pytest.approx(3.29, abs=0.01)
    assert sum(p.finish is not None for p in pieces) == 1


@needs_librivox
def test_words_have_times_in_order(engine):
    pieces = hear(engine, AudioRequest(audio=(LIBRIVOX / LONG).read_bytes(), words=True, language="en"))
    found = [w for p in pieces if p.segment for w in p.segment.words]
    assert len(found) > 18
    times = [t for w in found for t in (w.start, w.end)]
    assert times == sorted(times)
    assert 0 <= times[0] < times[-1] <= 7.1
    assert any(w.word.strip() == "Dashwood" for w in found)


@needs_librivox
def test_it_hears_the_same_in_a_compressed_file_and_with_a_prompt(engine):
    from modelyard.tasks.sounds import decode

    samples = decode((LIBRIVOX / SHORT).read_bytes())
    packed = encoded(np.repeat(samples, 3), "ogg", "libopus", rate=48_000)
    pieces = hear(
        engine, AudioRequest(audio=packed, prompt="Marianne and Elinor", translate=True, temperature=0.2)
    )
    assert "amiable" in "".join(p.text for p in pieces)


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(3 * RATE, np.int16),
        np.zeros(40 * RATE, np.int16),
        np.random.default_rng(0).normal(0, 33, 5 * RATE),
        np.zeros(1, np.int16),
        tone(2.0),
    ],
)
def test_where_nobody_speaks_the_text_is_empty(engine, samples):
    (last,) = hear(engine, AudioRequest(audio=wav(samples)))
    assert (last.text, last.finish) == ("", "stop")
    assert last.prompt == int(np.ceil(len(samples) / RATE))


@pytest.mark.parametrize(
    ("request_", "match"),
    [
        (AudioRequest(audio=b"junk"), "no sound file"),
        (AudioRequest(audio=wav(tone(1.0)), language="de"), "does not know this language"),
        (AudioRequest(audio=wav(tone(1.0)), language="xx"), "does not know this language"),
        (AudioRequest(audio=wav(tone(1.0)), temperature=float("nan")), "temperature"),
        (TextRequest(prompt="hello"), "takes audio"),
    ],
)
def test_what_it_cannot_take_is_refused_before_the_first_piece(engine, request_, match):
    with pytest.raises(InvalidInput, match=match):
        hear(engine, request_)


def test_hours_are_too_large(engine):
    data = encoded(np.zeros(RATE * 3700, np.int16), "flac", "flac")
    with pytest.raises(TooLarge):
        hear(engine, AudioRequest(audio=data))


def test_a_request_that_was_left_frees_its_slot(engine):
    async def leave() -> list[Delta]:
        hour = AudioRequest(audio=wav(np.zeros(RATE * 3500, np.int16)))  # two minutes of computing
        pieces = engine.generate(hour)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(anext(pieces), 1.0)
        await pieces.aclose()
        return await asyncio.wait_for(_all(engine, AudioRequest(audio=wav(tone(1.0)))), 20)

    assert asyncio.run(leave())[-1].finish == "stop"


def test_requests_wait_for_a_slot_and_are_not_mixed(engine):
    async def both() -> list[list[Delta]]:
        asked = [AudioRequest(audio=wav(np.zeros(n * RATE, np.int16))) for n in (1, 2, 3)]
        return list(await asyncio.gather(*(_all(engine, r) for r in asked)))

    assert [found[-1].duration for found in asyncio.run(both())] == [1.0, 2.0, 3.0]


def test_closing_the_engine_ends_what_waits():
    engine = create(model(), GeneratorOptions(threads=1))

    async def close() -> None:
        pieces = engine.generate(AudioRequest(audio=wav(np.zeros(RATE * 3000, np.int16))))
        waiting = asyncio.ensure_future(anext(pieces))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await engine.aclose()
        with pytest.raises(Unavailable):
            await asyncio.wait_for(waiting, 20)

    asyncio.run(close())


def test_a_folder_without_its_tokenizer_is_refused(tmp_path):
    (tmp_path / "model.bin").symlink_to(model())
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InvalidInput, match=r"not whole; came: no tokenizer\.json"):
        create(tmp_path / "model.bin", GeneratorOptions())


def test_a_file_that_is_no_model_is_refused(tmp_path):
    for name in ("model.bin", "config.json", "tokenizer.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(InvalidInput, match="no Whisper model"):
        create(tmp_path / "model.bin", GeneratorOptions())
