"""People's voices saying digits, numbers and a novel's sentences, to test on what was trained on made voices.

    apt-get download asterisk-core-sounds-en-wav pocketsphinx-testdata
    for deb in *.deb; do dpkg -x $deb packages; done
    python examples/data/recordings.py packages recordings
    yard data add real-digits recordings/digits --fractions train=1 --no-stratify
    yard data add real-numbers recordings/numbers --fractions train=1
    yard data add real-phrases recordings/phrases --fractions train=1
    yard evaluate spoken-digits --data real-digits --split train

Writes digits (a folder for each), numbers and phrases (metadata.jsonl with transcripts). The single digits are
Allison Smith's, of Asterisk's prompts (CC BY-SA 3.0); most of the numbers are put together of them, as telephone
exchanges do, two are of pocketsphinx's tests, as are the phrases: LibriVox's Sense and Sensibility (public domain).
"""

import json
import re
import sys
import wave
from pathlib import Path

import numpy as np

PROMPTS = "usr/share/asterisk/sounds/en_US_f_Allison/digits"
TESTS = "usr/share/pocketsphinx/test/data"
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
STRINGS = 25  # that are put together
SAID = {"tidigits/dhd.2934z.raw": "two nine three four zero", "cards/004.wav": "five five"}
Samples = np.ndarray


def main(source: str, target: str) -> None:
    packages, out = Path(source), Path(target)
    digits = {word: read(packages / PROMPTS / f"{number}.wav") for number, word in enumerate(WORDS)}
    for word, (samples, rate) in digits.items():
        write(out / "digits" / word / "allison.wav", samples, rate)
    said = [(*read(packages / TESTS / name), text) for name, text in SAID.items()]
    told(out / "numbers", [*said, *joined(digits)])
    transcripts = (packages / TESTS / "librivox" / "transcription").read_text()
    told(
        out / "phrases",
        [
            (*read(packages / TESTS / "librivox" / f"{name}.wav"), text)
            for text, name in re.findall(r"<s> (.*) </s> \((.*)\)", transcripts)
        ],
    )


def joined(digits: dict[str, tuple[Samples, int]]) -> list[tuple[Samples, int, str]]:
    """Digits after each other, with short silences between them."""
    random, found = np.random.default_rng(0), []
    for _ in range(STRINGS):
        words = [str(word) for word in random.choice(WORDS, random.integers(2, 7))]
        rate = digits[words[0]][1]
        parts = [
            part
            for word in words
            for part in (np.zeros(int(random.uniform(0, 0.15) * rate), np.int16), digits[word][0])
        ]
        found.append((np.concatenate(parts), rate, " ".join(words)))
    return found


def read(path: Path) -> tuple[Samples, int]:
    """Samples int16, and how many a second. Raw files are of 16 kHz."""
    if path.suffix == ".raw":
        return np.fromfile(path, "<i2"), 16_000
    with wave.open(str(path), "rb") as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2"), file.getframerate()


def write(path: Path, samples: Samples, rate: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())


def told(folder: Path, sounds: list[tuple[Samples, int, str]]) -> None:
    """WAV files and what is said in them."""
    rows = []
    for number, (samples, rate, text) in enumerate(sounds):
        write(folder / f"{number:03}.wav", samples, rate)
        rows.append({"file_name": f"{number:03}.wav", "text": text})
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    print(f"{folder.name}: {len(rows)} recordings, {sum(len(row['text'].split()) for row in rows)} words")


if __name__ == "__main__":
    main(*sys.argv[1:])
