import io
import json

import pytest

from modelyard.runs.batch_lines import MOST_LINES, check_file, find_errors, read_file
from modelyard.runs.json_lines import BadLine

URL = "/v1/embeddings"


def line(name, **fields):
    whole = {"custom_id": name, "method": "POST", "url": URL, "body": {"model": "m", "input": "x"}, **fields}
    return json.dumps(whole).encode() + b"\n"


def errors_of(*lines, endpoint=URL):
    count, errors = find_errors(io.BytesIO(b"".join(lines)), endpoint)
    return count, [(e.line, e.reason, e.field) for e in errors]


def test_a_good_file():
    data = line("a") + b"\n" + line("b").rstrip()
    assert check_file(io.BytesIO(data)) == 2
    assert errors_of(data) == (2, [])
    first, second = read_file(io.BytesIO(data))
    assert (first.custom_id, second.custom_id) == ("a", "b")
    assert json.loads(bytes(second.body)) == {"model": "m", "input": "x"}


def test_every_error_is_found_with_its_line():
    lines = (line("a"), b"no json\n", line("a"), line("c", method="PUT"), line("d", url="/v1/completions"),
             line("e", body={"model": ""}), line("f", body=1), b'{"custom_id": "g"}\n')  # fmt: skip
    assert errors_of(*lines) == (
        8,
        [
            (2, "invalid_json_line", None),
            (3, "duplicate_custom_id", "custom_id"),
            (4, "invalid_method", "method"),
            (5, "invalid_url", "url"),
            (6, "missing_model", "body.model"),
            (7, "invalid_body", "body"),
            (8, "invalid_request", "method"),
        ],
    )


def test_a_file_for_another_endpoint():
    assert errors_of(line("a"), endpoint="/v1/chat/completions") == (1, [(1, "invalid_url", "url")])


def test_an_empty_file():
    assert errors_of(b"\n\n") == (0, [(1, "empty_file", None)])


def test_only_so_many_errors_are_told():
    count, errors = errors_of(*(line("same") for _ in range(500)))
    assert (count, len(errors)) == (101, 100)


def test_a_batch_has_a_limit():
    data = b"".join(line(str(n)) for n in range(MOST_LINES + 1))
    with pytest.raises(BadLine, match=f"line {MOST_LINES + 1}: a batch has at most {MOST_LINES}"):
        check_file(io.BytesIO(data))
    assert errors_of(data) == (MOST_LINES + 1, [(MOST_LINES + 1, "too_many_requests", None)])
