"""Forms with files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.dialects.openai.audio import _clock
from modelyard.dialects.openai.multipart import read_form
from modelyard.errors import InvalidInput

TYPE = b"multipart/form-data; boundary=mark"


def form(*parts: tuple[str, bytes], end: bytes = b"--mark--\r\n") -> bytes:
    lines = [
        b'--mark\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (n.encode(), v)
        for n, v in parts
    ]
    return b"".join(lines) + end


def test_fields_and_files():
    read = read_form(
        form(("model", b"whisper"), ("file", b"\r\n--mar\r\n\0x"), ("x[]", b"1"), ("x[]", b"2")), TYPE
    )
    assert read.text("model") == "whisper"
    assert read.file("file") == b"\r\n--mar\r\n\0x"
    assert read.texts("x[]") == ["1", "2"]
    assert read.text("y", "z") == "z"
    assert read.flag("stream") is False
    assert read.number("temperature", 0.5) == 0.5
    quoted = form(("model", b"w")).replace(b"mark", b"ma rk")
    assert read_form(quoted, b'multipart/form-data; boundary="ma rk"').text("model") == "w"


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "file"]), st.binary(max_size=200)), max_size=8))
def test_what_goes_in_comes_out(parts):
    if any(b"\r\n--mark" in b"\r\n" + value for _, value in parts):
        return
    read = read_form(form(*parts), TYPE)
    for name in ("a", "b", "file"):
        assert read._fields.get(name, []) == [v for n, v in parts if n == name]


@given(st.integers(0, 200))
def test_a_form_that_is_cut_off_is_refused(at):
    whole = form(("model", b"whisper"), ("file", b"x" * 40), end=b"--mark--")
    if at < len(whole):
        with pytest.raises(InvalidInput):
            read_form(whole[:at], TYPE)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"{}", b"application/json"),
        (b"x", TYPE),
        (form(("a", b"1")), b"multipart/form-data"),
        (form(*[("a", b"")] * 65), TYPE),
        (form(("", b"1")), TYPE),
        (form(("n" * 300, b"1")), TYPE),
        (b"--mark\r\n" + b"X: y\r\n" * 5000 + b"\r\n1\r\n--mark--", TYPE),
        (b"--mark\r\nno-headers\r\n--mark--", TYPE),
    ],
)
def test_what_is_no_form(body, kind):
    with pytest.raises(InvalidInput):
        read_form(body, kind)


@pytest.mark.parametrize(
    ("name", "value"), [("temperature", b"nan"), ("temperature", b"x"), ("stream", b"maybe")]
)
def test_fields_of_a_wrong_kind(name, value):
    read = read_form(form((name, value), ("file", b"")), TYPE)
    with pytest.raises(InvalidInput, match=name):
        read.flag(name) if name == "stream" else read.number(name, 0.0)
    with pytest.raises(InvalidInput, match="file is empty"):
        read.file("file")
    with pytest.raises(InvalidInput, match="model is missing"):
        read.text("model")


def test_times_of_subtitles():
    assert [_clock(s, ",") for s in (0, 1.5, 59.9996, 3661.001)] == [
        "00:00:00,000",
        "00:00:01,500",
        "00:01:00,000",
        "01:01:01,001",
    ]
