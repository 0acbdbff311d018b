import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from modelyard.dialects import DIALECTS, Request
from modelyard.errors import InvalidInput, TooLarge, UnsupportedMedia

HF = DIALECTS[1]
PIXELS = np.full((8, 8), 200, np.uint8)


def png(pixels=PIXELS):
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def ask(data, served, model, media=None):
    headers = {} if media is None else {"content-type": media}
    call = HF.parse(Request(headers, memoryview(data)), served)
    return json.loads(HF.render(call, model.predict(call.arrays), served).body)


@pytest.mark.parametrize(
    "media", [None, "", "image/png", "application/octet-stream", "x/y", "application/x-www-form-urlencoded"]
)
def test_raw_image_bytes_under_any_content_type(images, image_model, media):
    answer = ask(png(), images, image_model, media)
    assert [a["label"] for a in answer] == ["light", "dark"]
    assert sum(a["score"] for a in answer) == pytest.approx(1)


def test_base64_images_one_and_several(images, image_model):
    text = base64.b64encode(png()).decode()
    one = ask(json.dumps({"inputs": text}).encode(), images, image_model, "application/json")
    assert one == ask(png(), images, image_model)
    several = ask(json.dumps({"inputs": [text, text]}).encode(), images, image_model)
    assert several == [one, one]
    top = ask(json.dumps({"inputs": text, "parameters": {"top_k": 1}}).encode(), images, image_model)
    assert top == one[:1]


@pytest.mark.parametrize(
    "wrap", [lambda t: {"table": t}, lambda t: {"inputs": {"data": t}}, lambda t: {"inputs": t}]
)
def test_tables_answer_a_list_a_row(table, table_model, wrap):
    answer = ask(json.dumps(wrap({"a": [1, 2.5], "b": [0, None]})).encode(), table, table_model)
    assert len(answer) == 2
    assert {a["label"] for a in answer[0]} == {"blue", "green", "red"}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[1]",
        b'"text"',
        b"{}",
        b'{"inputs": 5}',
        b'{"inputs": {"image": [1]}}',
        b'{"inputs": "%%%"}',
        b'{"inputs":' + b"[" * 250_000,
        b'{"inputs":' + b"[" * 150 + b"]" * 150 + b"}",
        b'{"inputs": NaN}',
        b'{"inputs": 1e400}',
        b'{"inputs": "\\ud800"}',
        '{"inputs": "x"}'.encode("utf-16"),
        b'{"inputs": "aGVsbG8=", "parameters": 5}',
        b'{"inputs": ' + b"9" * 5000 + b"}",
    ],
)
def test_what_is_no_request_is_refused(images, data):
    with pytest.raises(InvalidInput):
        HF.parse(Request({}, memoryview(data)), images)


def test_a_broken_image_is_refused_in_general_words(images):
    with pytest.raises(InvalidInput, match="not an image") as caught:
        HF.parse(Request({}, memoryview(png()[:40])), images)
    assert "/" not in caught.value.message


def test_a_huge_image_is_refused_by_its_header(images):
    import struct
    import zlib

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 8, 0, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    with pytest.raises(TooLarge):
        HF.parse(Request({}, memoryview(data)), images)


def test_parameters_that_the_task_has_not_are_refused(images, image_model):
    text = base64.b64encode(png()).decode()
    for parameters in ({"top_x": 1}, {"top_k": 0}, {"function_to_apply": "relu"}):
        with pytest.raises(InvalidInput):
            ask(json.dumps({"inputs": text, "parameters": parameters}).encode(), images, image_model)


def test_an_unknown_content_type_of_what_is_no_image_is_refused(images):
    for data in (b'{"inputs": "x"}', b"a,b\n1,2\n"):
        with pytest.raises(UnsupportedMedia):
            HF.parse(Request({"content-type": "text/csv"}, memoryview(data)), images)


@pytest.mark.parametrize("path", ["/models/a", "/models/a.b-c_9", "/models/a/pipeline/image-classification"])
def test_paths(path):
    found = HF.match("POST", path)
    assert found.forward
    assert found.model.startswith("a")


@pytest.mark.parametrize(
    "path",
    [
        "/models/",
        "/models/A",
        "/models/../x",
        "/models/a/",
        "/models/a/b",
        "/models/%61",
        "/models/a\n",
        "/models/" + "a" * 64,
    ],
)
def test_what_is_no_path(path):
    assert HF.match("POST", path) is None
