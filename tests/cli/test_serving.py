from modelyard.cli.deployments import _plain
from modelyard.cli.serving import face, told


def test_what_is_given_goes_by_the_names_of_the_api() -> None:
    assert told(slots=None, sleep=60.0, pinned=False) == {"sleep": 60.0, "pinned": False}
    assert [_plain(s) for s in ("--first-token", "sleep", "request-timeout")] == [
        "first_token", "sleep", "timeout"]  # fmt: skip


def test_what_is_set_is_one_line() -> None:
    serving = {"slots": 4, "sleep": 600.0, "pinned": True, "shared": False, "fallback": "other"}
    assert face(serving) == "slots 4, sleep 600 s, pinned, fallback other"
    assert face({}) == ""
