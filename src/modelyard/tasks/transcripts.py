"""What was said, as text that can be compared, and how far an answer is from it."""

import unicodedata
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from modelyard.errors import InvalidInput, MissingExtra
from modelyard.types.report import Metrics

Texts = Sequence[str]
MAIN: Final = "word_error_rate"


def spoken(text: str) -> str:
    """Lower case, one blank between words, no punctuation but the apostrophe."""
    lower = unicodedata.normalize("NFC", text).lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    return " ".join("".join(c if c.isalnum() or c == "'" else " " for c in lower).split())


def checked(values: Sequence[Any]) -> npt.NDArray[np.object_]:
    """Transcripts as they are compared, objects [rows]. Raises InvalidInput where nothing is said in a row."""
    found = np.empty(len(values), object)
    for row, value in enumerate(values):
        found[row] = spoken(value) if isinstance(value, str) else ""
        if not found[row]:
            raise InvalidInput("a transcript says nothing", came=f"{value!r} in row {row}", allowed="words")
    return found


def figures(heard: Texts, said: Texts) -> Metrics:
    """Word and character error rates: substitutions, deletions and insertions of the cheapest way from what was
    said to what was heard, a word (a character) that was said (Levenshtein 1966)."""
    jiwer = _jiwer()
    words = jiwer.process_words(list(said), list(heard))
    count = words.substitutions + words.deletions + words.hits
    right = float(np.mean([a == b for a, b in zip(heard, said, strict=True)]))
    return Metrics(
        main=MAIN,
        higher_is_better=False,
        values={
            MAIN: float(words.wer),
            "character_error_rate": float(jiwer.cer(list(said), list(heard))),
            "substitutions": words.substitutions / count,
            "deletions": words.deletions / count,
            "insertions": words.insertions / count,
            "sentences_right": right,
        },
    )


def word_errors(heard: Texts, said: Texts) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Wrong words and words that were said, of each row, int64 [rows]."""
    found = _jiwer().process_words(list(said), list(heard))
    wrong = [
        sum(
            max(c.ref_end_idx - c.ref_start_idx, c.hyp_end_idx - c.hyp_start_idx)
            for c in chunks
            if c.type != "equal"
        )
        for chunks in found.alignments
    ]
    return np.array(wrong, np.int64), np.array([len(text.split()) for text in said], np.int64)


def _jiwer() -> Any:
    try:
        import jiwer
    except ImportError as error:
        raise MissingExtra("jiwer", "sound") from error
    return jiwer
