from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modelyard.engines.pieces import Detokenizer, StopTexts, TokenBytes

tokenizers = pytest.importorskip("tokenizers")


def by_bytes(ids: Sequence[int]) -> str:
    """A tokenizer whose tokens are the bytes; 256 and above are control tokens, which have no text."""
    return bytes(i for i in ids if i < 256).decode("utf-8", "replace")


def pieces_of(detokenizer: Detokenizer, ids: Sequence[int]) -> list[str]:
    return [*(detokenizer.push(i) for i in ids), detokenizer.rest()]


@given(st.text(max_size=40), st.text(max_size=8))
@example("a\ufffdb", "")
@example("€𝄞é", "日本")
def test_pieces_of_bytes_are_whole_characters_and_all_of_the_text(text, prompt):
    found = pieces_of(Detokenizer(by_bytes, list(prompt.encode())), list(text.encode()))
    assert "".join(found) == text
    if "\ufffd" not in text:
        assert not any("\ufffd" in piece for piece in found)


@given(st.binary(max_size=60), st.binary(max_size=8))
def test_bytes_that_are_no_text_are_told_in_the_end(data, prompt):
    """Nothing waits for more than eight tokens, and what is good stays good."""
    detokenizer = Detokenizer(by_bytes, list(prompt))
    waiting = 0
    for byte in data:
        waiting = 0 if detokenizer.push(byte) else waiting + 1
        assert waiting < 9
    detokenizer.rest()


@given(st.lists(st.sampled_from([*b"ab\xe2\x82\xac ", 256, 257, 300]), max_size=40))
def test_control_tokens_have_no_text_and_break_nothing(ids):
    text = by_bytes(ids)
    found = "".join(pieces_of(Detokenizer(by_bytes), ids))
    if "\ufffd" not in text:
        assert found == text


def test_a_character_waits_for_its_last_token():
    assert pieces_of(Detokenizer(by_bytes), list("a€b".encode())) == ["a", "", "", "€", "b", ""]
    assert pieces_of(Detokenizer(by_bytes), list("€".encode())[:2]) == ["", "", "\ufffd"]


def llama_like() -> "tokenizers.Tokenizer":
    """SentencePiece's way: a decoder that drops the first space of a text, and bytes as a last resort."""
    words = ["<s>", "</s>", "▁the", "▁cat", "s", "▁", *(f"<0x{n:02X}>" for n in range(256))]
    made = tokenizers.Tokenizer(
        tokenizers.models.BPE(
            vocab={w: n for n, w in enumerate(words)}, merges=[], byte_fallback=True, unk_token="<s>"
        )
    )
    made.decoder = tokenizers.decoders.Sequence(
        [
            tokenizers.decoders.Replace("▁", " "),
            tokenizers.decoders.ByteFallback(),
            tokenizers.decoders.Fuse(),
            tokenizers.decoders.Strip(" ", 1, 0),
        ]
    )
    made.add_special_tokens(["<s>", "</s>"])
    return made


def test_the_space_before_the_first_word_of_an_answer_is_kept():
    made = llama_like()
    detokenizer = Detokenizer(lambda ids: made.decode(list(ids)), [0, 2])
    euro = [made.token_to_id(f"<0x{b:02X}>") for b in "€".encode()]
    assert pieces_of(detokenizer, [3, 4, 0, 2, *euro, 3]) == [
        " cat", "s", "", " the", "", "", "€", " cat", "",
    ]  # fmt: skip


def test_bytes_of_tokens():
    made = llama_like()
    raw = TokenBytes(made)
    assert [raw[n] for n in (0, 2, 4, made.token_to_id("<0xE2>"), 99999)] == [
        b"<s>", b" the", b"s", b"\xe2", b"",
    ]  # fmt: skip
    level = tokenizers.Tokenizer(tokenizers.models.BPE(vocab={"Ġcat": 0, "âĤ": 1, "¬": 2}, merges=[]))
    level.decoder = tokenizers.decoders.ByteLevel()
    raw = TokenBytes(level)
    assert [raw[n] for n in (0, 1, 2)] == [b" cat", b"\xe2\x82", b"\xac"]


def by_letters(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    """The rule said another way: the answer ends with the first letter that makes a stop whole."""
    for end in range(1, len(text) + 1):
        found = [len(stop) for stop in stops if stop and text[:end].endswith(stop)]
        if found:
            return text[: end - max(found)], True
    return text, False


LETTERS = st.text("abc", max_size=12)


@given(st.lists(LETTERS, max_size=8), st.lists(st.text("abc", min_size=1, max_size=5), max_size=4))
@example(["a", "bc"], ["abc", "b"])
@example(["aa", "b"], ["aab", "ab"])
@example(["ababab", "c"], ["ababc"])
def test_stops_cut_alike_however_the_text_comes(pieces, stops):
    cut, told, ended = StopTexts(stops), "", False
    for piece in pieces:
        text, ended = cut.push(piece)
        told += text
        assert not any(stop in told for stop in stops)
        if ended:
            break
    if not ended:
        told += cut.rest()
    assert (told, ended) == by_letters("".join(pieces), stops)


def test_only_what_may_be_a_stop_is_held_back():
    cut = StopTexts(["\nUser:", "END"])
    assert cut.push("Good E") == ("Good ", False)
    assert cut.push("vening\nUs") == ("Evening", False)
    assert cut.push("ual") == ("\nUsual", False)
    assert cut.push(" E") == (" ", False)
    assert cut.push("ND of it") == ("", True)
    assert StopTexts([]).push("x") == ("x", False)
