"""Spoken digits, numbers and phrases by the voices of espeak-ng, to train on sounds without a microphone.

    apt-get install espeak-ng && pip install scipy
    python examples/data/voices.py digits spoken-digits     # a folder for each digit
    python examples/data/voices.py numbers spoken-numbers   # digits in a row, with transcripts
    python examples/data/voices.py phrases spoken-phrases austen-lines   # what examples/data/austen.py wrote
    yard data add spoken-digits spoken-digits

Writes train, validation and test below the folder: WAV files in a folder for each word, or beside a metadata.jsonl
of {"file_name": ..., "text": ..., "voice": ...}. A voice is an accent with one of espeak-ng's variants, its pitch
and its speed; no variant is in two splits, so that the test's voices were not heard in training. Each sound is as
if recorded: in a room, through a microphone, with noise, a third of them by telephone (8 kHz). The phrases are of
Persuasion, and of Northanger Abbey in the test split: of Sense and Sensibility there are real recordings
(examples/data/recordings.py).
"""

import argparse
import io
import json
import re
import subprocess
import wave
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.signal import butter, fftconvolve, resample_poly, sosfilt

RATE = 16_000
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ACCENTS = ("en-us", "en-us", "en-gb", "en-gb-x-rp", "en-gb-scotland", "en-gb-x-gbcwmd", "en-029")
SHARES = {"train": 0.7, "validation": 0.15, "test": 0.15}  # of the variants
NOVELS = {
    "train": "validation.jsonl",
    "validation": "validation.jsonl",
    "test": "test.jsonl",
}  # of austen.py's
UNLIKE = (
    "whisper",
    "whisperf",
    "robot",
    "robosoft",
    "klatt",
    "croak",
    "demonic",
    "zac",
    "iven",
    "anikarobot",
)
PHRASE = (2, 7)  # words
TELEPHONE = 1 / 3  # of the sounds
Samples = np.ndarray


class Voice(NamedTuple):
    """`name` as espeak-ng takes it; `pitch` 0 to 99; `speed` in words a minute."""

    name: str
    pitch: int
    speed: int


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=("digits", "numbers", "phrases"))
    parser.add_argument("out", type=Path)
    parser.add_argument("lines", type=Path, nargs="?", help="of phrases: the folder that austen.py wrote")
    parser.add_argument("--count", type=int, default=3000, help="sounds in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    variants = split_variants(given.seed)
    with ThreadPoolExecutor(given.workers) as pool:
        for number, (split, share) in enumerate(SHARES.items()):
            random = np.random.default_rng([given.seed, number])
            phrases = read_phrases(given.lines / NOVELS[split]) if given.kind == "phrases" else []
            texts = [said(given.kind, random, phrases) for _ in range(round(given.count * share))]
            voices = [voice(variants[split], random) for _ in texts]
            seeds = [[given.seed, number, place] for place in range(len(texts))]
            sounds = pool.map(spoken, texts, voices, seeds)
            write(given.out / split, texts, voices, list(sounds), by_class=given.kind == "digits")
            print(f"{split}: {len(texts):,} sounds of {len(variants[split])} variants", flush=True)


def split_variants(seed: int) -> dict[str, list[str]]:
    """Split -> names of espeak-ng's variants of voices."""
    listed = subprocess.run(
        ["espeak-ng", "--voices=variant"], capture_output=True, text=True, check=True
    ).stdout
    names = sorted(set(re.findall(r"!v/(\S+)", listed)))
    names = [name for name in names if not name.lower().startswith(UNLIKE)]
    names = [names[k] for k in np.random.default_rng(seed).permutation(len(names))]
    ends = np.rint(np.cumsum([0, *SHARES.values()]) * len(names)).astype(int)
    return {split: names[start:end] for split, start, end in zip(SHARES, ends[:-1], ends[1:], strict=True)}


def voice(variants: list[str], random: np.random.Generator) -> Voice:
    return Voice(
        f"{random.choice(ACCENTS)}+{random.choice(variants)}",
        int(random.integers(20, 80)),
        int(random.integers(110, 210)),
    )


def said(kind: str, random: np.random.Generator, phrases: list[str]) -> str:
    """One word, some digits (now and then oh for zero), or a piece of a phrase."""
    if kind == "digits":
        return str(random.choice(DIGITS))
    if kind == "numbers":
        digits = [str(d) for d in random.choice(DIGITS, random.integers(1, 7))]
        return " ".join("oh" if d == "zero" and random.random() < 0.4 else d for d in digits)
    words = phrases[int(random.integers(len(phrases)))].split()
    length = int(random.integers(PHRASE[0], PHRASE[1] + 1))
    start = int(random.integers(max(1, len(words) - length + 1)))
    return " ".join(words[start : start + length])


def read_phrases(path: Path) -> list[str]:
    """Clauses of plain words, in lower case."""
    found: list[str] = []
    for line in path.read_text("utf-8").splitlines():
        text = json.loads(line)["text"].lower().replace("mr.", "mister").replace("mrs.", "missis")
        found += re.split(r"[^a-z' \n]+", text)
    found = [" ".join(clause.split()) for clause in found]
    return [clause for clause in found if len(clause.split()) >= PHRASE[0]]


def spoken(text: str, by: Voice, seed: list[int]) -> bytes:
    """A WAV file of it."""
    command = [
        "espeak-ng", "--stdout", "-v", by.name, "-p", str(by.pitch), "-s", str(by.speed), "--", text
    ]  # fmt: skip
    data = subprocess.run(command, capture_output=True, check=True).stdout
    # A stream's header says no length: what follows its 44 bytes are samples of 22,050 Hz.
    samples = np.frombuffer(data[44 : len(data) & ~1], "<i2") / 32_768
    random = np.random.default_rng(seed)
    heard = as_recorded(resample_poly(samples, 320, 441), random)
    return wav(resample_poly(heard, 1, 2), RATE // 2) if random.random() < TELEPHONE else wav(heard, RATE)


def as_recorded(samples: Samples, random: np.random.Generator) -> Samples:
    """In a room (an echo that dies away), through a microphone (a band of frequencies), with noise (white and
    low), quieter or louder, with some silence around it."""
    silence = (random.uniform(0, 0.25, 2) * RATE).astype(int)
    samples = np.pad(samples, (int(silence[0]), int(silence[1])))
    seconds = random.uniform(0.01, 0.25)
    echo = random.standard_normal(int(seconds * RATE)) * np.exp(-6 * np.linspace(0, 1, int(seconds * RATE)))
    echo *= random.uniform(0, 0.4) / np.sqrt(np.sum(echo**2))
    echo[0] = 1.0
    samples = fftconvolve(samples, echo)[: len(samples)]
    band = random.uniform(50, 350), random.uniform(3300, 7800)
    samples = sosfilt(butter(2, band, "bandpass", fs=RATE, output="sos"), samples)
    noise = random.standard_normal(len(samples))
    noise += random.uniform(0, 3) * sosfilt(butter(1, 500, fs=RATE, output="sos"), noise)
    ratio = 10 ** (random.uniform(8, 45) / 20)  # of the sound to the noise
    samples = samples + noise * np.std(samples) / (np.std(noise) * ratio)
    return samples * random.uniform(0.1, 0.9) / np.abs(samples).max()


def wav(samples: Samples, rate: int) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((samples * 32_767).astype("<i2").tobytes())
    return out.getvalue()


def write(folder: Path, texts: list[str], voices: list[Voice], sounds: list[bytes], by_class: bool) -> None:
    rows = []
    for number, (text, by, sound) in enumerate(zip(texts, voices, sounds, strict=True)):
        path = folder / (text if by_class else "") / f"{number:05}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(sound)
        rows.append({"file_name": path.name, "text": text, "voice": by.name})
    if not by_class:
        (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


if __name__ == "__main__":
    main()
