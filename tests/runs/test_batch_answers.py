import threading

import msgspec
import pytest

from modelyard.runs.batch_answers import (
    ERRORS,
    OUTPUT,
    Answers,
    Failure,
    Response,
    Tally,
    answer,
    read_answers,
)


def good(name, body=b'{"usage": {"prompt_tokens": 3, "completion_tokens": 2}}'):
    return answer(name, response=Response(status_code=200, request_id="r", body=msgspec.Raw(body)))


def bad(name, status=400):
    return answer(name, response=Response(status_code=status, request_id="r", body=msgspec.Raw(b"{}")))


def test_answers_go_to_their_file_and_are_counted(tmp_path):
    with Answers(tmp_path) as answers:
        for new in (good("a"), bad("b"), good("c"), answer("d", error=Failure(code="x", message="m"))):
            answers.add(new)
        assert all(answers.has(name) for name in "abcd")
        assert not answers.has("e")
        assert answers.tally.figures() == {
            "completed": 2, "failed": 2, "input_tokens": 6, "cached_tokens": 0, "output_tokens": 4,
            "reasoning_tokens": 0,
        }  # fmt: skip
    assert [a.custom_id for _, a in read_answers(tmp_path / OUTPUT)] == ["a", "c"]
    assert [a.custom_id for _, a in read_answers(tmp_path / ERRORS)] == ["b", "d"]
    line = msgspec.json.decode((tmp_path / OUTPUT).read_bytes().splitlines()[0])
    assert line["id"].startswith("batch_req_")
    assert (line["custom_id"], line["error"], line["response"]["status_code"]) == ("a", None, 200)


@pytest.mark.parametrize("cut", [1, 10, 60])
def test_a_torn_line_is_not_an_answer(tmp_path, cut):
    with Answers(tmp_path) as answers:
        answers.add(good("a"))
        whole = (tmp_path / OUTPUT).read_bytes()
        answers.add(good("b"))
    (tmp_path / OUTPUT).write_bytes((tmp_path / OUTPUT).read_bytes()[:-cut])
    assert [a.custom_id for _, a in read_answers(tmp_path / OUTPUT)] == ["a"]
    with Answers(tmp_path) as answers:
        assert answers.has("a")
        assert not answers.has("b")
        assert (tmp_path / OUTPUT).read_bytes() == whole
        answers.add(good("b"))
    assert [a.custom_id for _, a in read_answers(tmp_path / OUTPUT)] == ["a", "b"]


def test_many_threads_lose_nothing(tmp_path):
    with Answers(tmp_path) as answers:

        def work(first):
            for n in range(first, 200, 8):
                answers.add(good(str(n)) if n % 3 else bad(str(n)))

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    found = [a.custom_id for name in (OUTPUT, ERRORS) for _, a in read_answers(tmp_path / name)]
    assert sorted(found, key=int) == [str(n) for n in range(200)]
    with Answers(tmp_path) as again:
        assert (again.tally.completed, again.tally.failed) == (133, 67)


def test_a_full_disk_leaves_whole_lines(tmp_path):
    with Answers(tmp_path) as answers:
        answers.add(good("a"))
        whole = (tmp_path / OUTPUT).read_bytes()
        real = answers._files[OUTPUT]
        answers._files[OUTPUT] = _Full(real)
        with pytest.raises(OSError, match="No space left"):
            answers.add(good("b"))
        answers._files[OUTPUT] = real
        assert (tmp_path / OUTPUT).read_bytes() == whole
        assert not answers.has("b")
        answers.add(good("b"))
    assert [a.custom_id for _, a in read_answers(tmp_path / OUTPUT)] == ["a", "b"]


class _Full:
    """A file whose disk takes ten bytes more."""

    def __init__(self, file):
        self._file, self._left = file, 10

    def __getattr__(self, name):
        return getattr(self._file, name)

    def write(self, data):
        if self._left == 0:
            raise OSError(28, "No space left on device")
        self._left -= 10
        return self._file.write(data[:10])


@pytest.mark.parametrize(
    "body", [b"[]", b'{"usage": null}', b'{"usage": {"prompt_tokens": "x"}}', b'"x"', b"{}"]
)
def test_an_answer_without_usage_counts_no_tokens(body):
    tally = Tally()
    tally.add(good("a", body))
    assert (tally.completed, tally.tokens["input"]) == (1, 0)
