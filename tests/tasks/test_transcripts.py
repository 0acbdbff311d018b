import numpy as np
import pytest

from modelyard.errors import InvalidInput
from modelyard.tasks import transcripts

pytest.importorskip("jiwer")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("  Two,  NINE three\N{EM DASH}four.", "two nine three four"),
        ("Don\N{RIGHT SINGLE QUOTATION MARK}t!", "don't"),
        ("Über 9 Äpfel", "über 9 äpfel"),
        ("...", ""),
    ],
)
def test_what_is_said_of_what_is_written(written, said):
    assert transcripts.spoken(written) == said


def test_a_row_that_says_nothing_is_refused():
    assert transcripts.checked(["One", "two"]).tolist() == ["one", "two"]
    for bad in (None, "", "--", 1.0):
        with pytest.raises(InvalidInput, match="says nothing"):
            transcripts.checked(["one", bad])


def test_error_rates_by_hand():
    said = ["one two three", "four"]
    heard = ["one too three four", "four"]  # a substitution and an insertion in four words
    figures = transcripts.figures(heard, said).values
    assert figures["word_error_rate"] == 0.5
    assert (figures["substitutions"], figures["insertions"], figures["deletions"]) == (0.25, 0.25, 0.0)
    assert figures["sentences_right"] == 0.5
    wrong, words = transcripts.word_errors(heard, said)
    np.testing.assert_array_equal(wrong, [2, 0])
    np.testing.assert_array_equal(words, [3, 1])
    assert transcripts.figures(["", ""], said).values["word_error_rate"] == 1.0
