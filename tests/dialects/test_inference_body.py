import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from json_values import json_values
from live_models import image_answer
from modelyard.dialects import DIALECTS, Request
from modelyard.errors import InvalidInput

OIP = DIALECTS[0]
PIXELS = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 1), dtype=np.uint8)


def image(data=None, **fields):
    data = PIXELS.ravel().tolist() if data is None else data
    return {"name": "image", "shape": [2, 8, 8, 1], "datatype": "UINT8", "data": data, **fields}


def column(name, values, datatype="FP64", **fields):
    return {"name": name, "shape": [len(values)], "datatype": datatype, "data": values, **fields}


def body(*inputs, **fields):
    return json.dumps({"inputs": list(inputs), **fields}).encode()


def parse(data, model, length=None):
    headers = {} if length is None else {"inference-header-content-length": str(length)}
    return OIP.parse(Request(headers, memoryview(data)), model)


def infer(data, served, model, length=None):
    call = parse(data, served, length)
    return OIP.render(call, model.predict(call.arrays), served)


def refused(data, model, length=None):
    with pytest.raises(InvalidInput) as caught:
        parse(data, model, length)
    return caught.value.message


@pytest.mark.parametrize("data", [PIXELS.ravel().tolist(), PIXELS.tolist()], ids=["flat", "nested"])
def test_json_tensor_reaches_the_model_as_it_came(images, image_model, data):
    call = parse(body(image(data), id="a-1"), images)
    np.testing.assert_array_equal(call.arrays["image"], PIXELS)
    assert call.arrays["image"].dtype == np.uint8
    answer = json.loads(OIP.render(call, image_model.predict(call.arrays), images).body)
    assert {k: answer[k] for k in ("model_name", "model_version", "id")} == {
        "model_name": "m",
        "model_version": "3",
        "id": "a-1",
    }
    (output,) = answer["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("probabilities", "FP32", [2, 2])
    np.testing.assert_allclose(np.reshape(output["data"], (2, 2)), image_answer(PIXELS), atol=1e-6)


def test_binary_both_ways(images, image_model):
    head = body(
        {
            "name": "image",
            "shape": [2, 8, 8, 1],
            "datatype": "UINT8",
            "parameters": {"binary_data_size": 128},
        },
        parameters={"binary_data_output": True},
    )
    response = infer(head + PIXELS.tobytes(), images, image_model, len(head))
    length = int(response.headers["inference-header-content-length"])
    answer = json.loads(response.body[:length])
    assert response.content_type == "application/octet-stream"
    assert answer["outputs"][0]["parameters"] == {"binary_data_size": 16}
    found = np.frombuffer(response.body[length:], "<f4").reshape(2, 2)
    np.testing.assert_allclose(found, image_answer(PIXELS), atol=1e-6)


def test_one_output_binary_by_its_own_parameter(images, image_model):
    asked = [{"name": "probabilities", "parameters": {"binary_data": True}}]
    response = infer(body(image(), outputs=asked), images, image_model)
    assert len(response.body) - int(response.headers["inference-header-content-length"]) == 16


def test_a_table_in_json_and_binary_is_the_same(table, table_model):
    from_json = parse(body(column("a", [1.5, 2]), column("b", [0, -1])), table)
    a = {"name": "a", "shape": [2], "datatype": "FP64", "parameters": {"binary_data_size": 16}}
    head = body(a, column("b", [0, -1]))
    from_binary = parse(head + struct.pack("<2d", 1.5, 2), table, len(head))
    for name in ("a", "b"):
        np.testing.assert_array_equal(from_json.arrays[name], from_binary.arrays[name])
    assert from_binary.arrays["a"].flags.aligned
    np.testing.assert_array_equal(
        *(table_model.predict(c.arrays)["probabilities"] for c in (from_json, from_binary))
    )


BAD = {
    "negative": image(shape=[2, -5, 8, 1]),
    "overflow": image(shape=[2**40, 2**40, 8, 1]),
    "rank": image(shape=[128]),
    "empty rank": image(shape=[]),
    "no rows": image([], shape=[0, 8, 8, 1]),
    "too few": image(PIXELS.ravel().tolist()[:-1]),
    "too many": image([*PIXELS.ravel().tolist(), 0]),
    "dtype": image(datatype="FP99"),
    "other dtype": image(datatype="FP32"),
    "no data": {"name": "image", "shape": [2, 8, 8, 1], "datatype": "UINT8"},
    "256": image([256] + [0] * 127),
    "-1": image([-1] + [0] * 127),
    "true": image([True] + [0] * 127),
    "float": image([1.5] + [0] * 127),
    "null": image([None] + [0] * 127),
    "text": image(["1"] + [0] * 127),
    "data is text": image("x"),
    "ragged": image([[0] * 128, [0]]),
    "ragged below": image([[[[0]] * 8] * 8, [[[0]] * 8] * 7 + [[[0]] * 7]]),
    "mixed": image([*PIXELS.ravel().tolist()[:-1], [1]]),
    "other name": image(name="picture"),
    "path name": image(name="../image"),
    "NUL name": image(name="\0"),
    "long name": image(name="x" * 10_000),
    "shared memory": image(parameters={"shared_memory_region": "r"}),
    "unknown member": image(dtype="UINT8"),
    "shape of floats": image(shape=[2.0, 8, 8, 1]),
    "shape of trues": image(shape=[True, 8, 8, 1]),
    "size and data": image(parameters={"binary_data_size": 0}),
}


@pytest.mark.parametrize("tensor", BAD.values(), ids=BAD)
def test_a_bad_tensor_is_refused_in_words(images, tensor):
    message = refused(body(tensor), images)
    assert len(message) < 700
    assert "/" not in message.replace("../image", "")


def test_inputs_are_exactly_the_models(table):
    a, b = column("a", [1.0]), column("b", [1.0])
    assert "twice" in refused(body(a, a), table)
    assert "missing" in refused(body(a), table)
    assert "no such input" in refused(body(a, b, column("c", [1.0])), table)
    assert "different numbers of rows" in refused(body(a, column("b", [1.0, 2.0])), table)
    assert "missing" in refused(body(), table)


@pytest.mark.parametrize(
    "value", ["NaN", "Infinity", "1e400", "9" * 5000, "true", "null", '"1"', "[1]", "1" + "0" * 309]
)
def test_numbers_that_are_none_are_refused(table, value):
    text = body(column("a", [77]), column("b", [1])).replace(b"77", b"%s")
    refused(text % value.encode(), table)
    parse(text % b"1e300", table)


def test_outputs_are_chosen_by_name(images):
    assert "no such output" in refused(body(image(), outputs=[{"name": "x"}]), images)
    twice = [{"name": "probabilities"}] * 2
    assert "twice" in refused(body(image(), outputs=twice), images)
    classified = [{"name": "probabilities", "parameters": {"classification": 3}}]
    assert "classification" in refused(body(image(), outputs=classified), images)
    unclear = [{"name": "probabilities", "parameters": {"binary_data": 1}}]
    assert "true or false" in refused(body(image(), outputs=unclear), images)


@pytest.mark.parametrize("length", [0, -1, 10**30, "x", "", "1e3", 10_000])
def test_a_wrong_header_length_is_refused(images, length):
    refused(body(image()), images, length)


@pytest.mark.parametrize("size", [0, 1, 127, 129, 10**12, -1, 1.5, True, "128"])
def test_a_wrong_binary_size_is_refused(images, size):
    tensor = {
        "name": "image",
        "shape": [2, 8, 8, 1],
        "datatype": "UINT8",
        "parameters": {"binary_data_size": size},
    }
    head = body(tensor)
    refused(head + PIXELS.tobytes(), images, len(head))


def test_binary_that_belongs_to_nothing_is_refused(images):
    head = body(image())
    assert "belong to no input" in refused(head + b"x", images, len(head))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b"[" * 250_000,
        b"{" * 1000,
        "{}".encode("utf-16"),
        b'{"inputs":{}}',
        b'{"inputs":[1]}',
        b"\xff" * 10,
        b'{"inputs":[],"id":"\\ud800"}',
        b'{"inputs":[],"id":1}',
    ],
)
def test_what_is_no_request_is_refused(images, data):
    refused(data, images)


def test_a_body_cut_anywhere_is_refused(images):
    whole = body(image(), id="x")
    for end in range(0, len(whole)):
        refused(whole[:end], images)


@given(st.binary(max_size=200))
def test_garbage_never_raises_anything_else(images, data):
    refused(data, images)


@given(
    json_values(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        st.sampled_from(["name", "shape", "datatype", "data", "parameters", "id", "inputs", "outputs"]),
    )
)
def test_json_of_any_form_never_raises_anything_else(images, value):
    for data in (value, {"inputs": value}, {"inputs": [value]}, {"inputs": [image()], "outputs": value}):
        try:
            parse(json.dumps(data).encode("utf-8", "surrogatepass"), images)
        except InvalidInput:
            continue
