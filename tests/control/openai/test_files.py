"""Files, through the gateway with the stock client."""

import json
import socket

import openai
import pytest

from live_serving import read_all

LINE = {"custom_id": "a", "method": "POST", "url": "/v1/embeddings", "body": {"model": "m", "input": "x"}}
BOUNDARY = "limit"
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def lines(*objects: object) -> bytes:
    return b"".join(json.dumps(o).encode() + b"\n" for o in objects)


def part(disposition: str, value: bytes) -> bytes:
    return b"--%s\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n" % (
        BOUNDARY.encode(), disposition.encode(), value,
    )  # fmt: skip


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


PURPOSE = part('name="purpose"', b"user_data")
PICKLE = b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00K\x01."
FILE = part('name="file"; filename="a.txt"', b"some bytes")


def test_a_file_from_beginning_to_end(site):
    data = b"\x00\x01 anything \r\n--limit\r\n" * 1000
    made = site.client.files.create(file=("notes.bin", data), purpose="user_data")
    assert made.id.startswith("file-")
    assert (made.object, made.bytes, made.filename, made.purpose) == (
        "file", len(data), "notes.bin", "user_data",
    )  # fmt: skip
    assert (made.status, made.expires_at) == ("processed", None)
    assert site.client.files.retrieve(made.id) == made
    assert site.client.files.content(made.id).read() == data
    assert made.id in [f.id for f in site.client.files.list(purpose="user_data")]
    deleted = site.client.files.delete(made.id)
    assert (deleted.id, deleted.deleted, deleted.object) == (made.id, True, "file")
    with pytest.raises(openai.NotFoundError) as caught:
        site.client.files.content(made.id)
    assert (caught.value.param, caught.value.code) == ("file_id", "not_found")


def test_large_files_stream(site):
    data = bytes(range(256)) * (80 << 12)  # 80 MiB: more than the gateway holds of another body
    made = site.client.files.create(file=("large.bin", data), purpose="assistants")
    with site.client.files.with_streaming_response.content(made.id) as response:
        assert sum(len(chunk) for chunk in response.iter_bytes()) == len(data)
    site.client.files.delete(made.id)


def test_the_purpose_may_come_after_the_file(site):
    made = site.ask("POST", "files", headers=FORM, content=form(FILE, PURPOSE))
    assert made.status_code == 200
    assert site.client.files.content(made.json()["id"]).read() == b"some bytes"


def test_a_file_that_is_to_go(site):
    made = site.client.files.create(
        file=b"x", purpose="evals", expires_after={"anchor": "created_at", "seconds": 3600}
    )
    assert made.expires_at == made.created_at + 3600
    for seconds in ("3599", "2592001", "x", "-1", "9" * 30, "٣"):
        fields = part('name="expires_after[anchor]"', b"created_at")
        fields += part('name="expires_after[seconds]"', seconds.encode())
        site.refused("POST", "files", 400, "expires_after.seconds", headers=FORM,
                     content=form(PURPOSE, fields, FILE))  # fmt: skip


def test_lists_in_pages(site):
    made = [site.client.files.create(file=(f"{n}.txt", b"x"), purpose="vision").id for n in range(5)]
    newest = [f.id for f in site.client.files.list(purpose="vision", limit=2)]
    assert newest == made[::-1]
    assert [f.id for f in site.client.files.list(purpose="vision", limit=2, order="asc")] == made
    page = site.ask("GET", "files?purpose=vision&limit=2").json()
    assert (page["object"], page["first_id"], page["last_id"], page["has_more"]) == (
        "list", made[4], made[3], True,
    )  # fmt: skip
    for file in site.client.files.list(purpose="vision", limit=2):  # the place in the list is gone meanwhile
        site.client.files.delete(file.id)
    assert site.client.files.list(purpose="vision").data == []


@pytest.mark.parametrize(
    ("query", "param"),
    [("limit=1000000000", "limit"), ("limit=0", "limit"), ("limit=-1", "limit"), ("limit=x", "limit"),
     ("limit=1.5", "limit"), ("limit=" + "9" * 400, "limit"), ("after=forged", "after"),
     ("after=batch_" + "0" * 26, "after"), ("after=", "after"), ("order=up", "order"), ("owner=me", "owner"),
     ("limit=1&limit=2", "limit")],
)  # fmt: skip
def test_pages_that_are_none(site, query, param):
    site.refused("GET", f"files?{query}", 400, param)


@pytest.mark.parametrize(
    "file", ["file-" + "0" * 26, "nothing", "%00", "file-" + "0" * 25 + "%2e", "a" * 300]
)
def test_files_that_are_not_there(site, file):
    for method, path in (("GET", file), ("GET", f"{file}/content"), ("DELETE", file)):
        site.refused(method, f"files/{path}", 404, "file_id")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"no json\n", "line 1: this is no JSON"),
        (lines(LINE) + b'{"custom_id": "b", \n', "line 2: this is no JSON"),
        (lines(LINE, LINE), "line 2: custom_id 'a' stands on line 1 already"),
        (lines(LINE) + b"\n\n" + lines(LINE), "line 4: custom_id 'a' stands on line 1 already"),
        (lines({**LINE, "url": "/v1/models"}), "line 1: url is '/v1/models'"),
        (lines({**LINE, "url": "http://elsewhere/v1/embeddings"}), "line 1: url is"),
        (lines({**LINE, "method": "GET"}), "line 1: method must be POST"),
        (lines({**LINE, "custom_id": 1}), "line 1: Expected `str`"),
        (lines({**LINE, "custom_id": ""}), "line 1: custom_id must have"),
        (lines({**LINE, "body": []}), "line 1: body"),
        (lines({**LINE, "body": {"input": "x"}}), "line 1: body: Object missing required field `model`"),
        (lines({**LINE, "body": {"model": "m", "stream": True}}), "line 1: body.stream"),
        (b"[" * 100_000, "line 1: Expected `object`"),
        (lines(LINE)[:-2] + b', "x": ' + b"[" * 100_000, "line 1: this is no JSON"),
        (lines(LINE)[:-3] + b', "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}", "line 1: "),
        (b"\xff\xfe{\n", "line 1: this is no JSON"),
        (b"[]", "line 1: Expected `object`"),
        (b"\n \n", "line 1: the file holds no request"),
        (b'{"custom_id": "' + b"x" * (17 << 20), "line 1: longer than"),
    ],
)  # fmt: skip
def test_a_batch_that_cannot_be_used_is_refused_with_its_line(site, data, said):
    with pytest.raises(openai.BadRequestError, match="the file cannot be used") as caught:
        site.client.files.create(file=("a.jsonl", data), purpose="batch")
    assert said in caught.value.message
    assert caught.value.param == "file"
    assert list(site.platform.home.temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (lines({"messages": []}), "line 1: messages must be a list"),
        (lines({"messages": [{"role": "user", "content": "x"}]}), "line 1: no message of the assistant"),
        (lines({"messages": [{"role": "poet", "content": "x"}]}), "line 1: messages[0].role must be one of"),
        (lines({"messages": [{"role": "assistant"}]}), "line 1: messages[0].content must be text"),
        (lines({"text": "a"}, {"prompt": "a", "completion": "b"}), "line 2: this one has 'prompt'"),
        (lines({"prompt": "a"}), "line 1: completion must be text"),
        (lines({"question": "a"}), "line 1: an example needs"),
    ],
)
def test_examples_that_cannot_be_learned_from(site, data, said):
    with pytest.raises(openai.BadRequestError) as caught:
        site.client.files.create(file=("a.jsonl", data), purpose="fine-tune")
    assert said in caught.value.message
    assert caught.value.param == "file"


def test_good_lines(site):
    chat = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    for purpose, data in (
        ("batch", b"\xef\xbb\xbf" + lines(LINE)),
        ("batch", lines(LINE, {**LINE, "custom_id": "b"}).rstrip()),
        ("fine-tune", lines(chat, chat)),
        ("fine-tune", lines({"text": "a"})),
    ):
        made = site.client.files.create(file=("a.jsonl", data), purpose=purpose)
        assert site.client.files.content(made.id).read() == data


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        (form(), 400, "file"),
        (form(PURPOSE), 400, "file"),
        (form(FILE), 400, "purpose"),
        (form(part('name="purpose"', b"crime"), FILE), 400, "purpose"),
        (form(part('name="purpose"', b"batch_output"), FILE), 400, "purpose"),
        (form(PURPOSE, PURPOSE, FILE), 400, "purpose"),
        (form(PURPOSE, FILE, FILE), 400, "file"),
        (form(PURPOSE, part('name="file"', b"x")), 400, "file"),
        (form(PURPOSE, part('name="file"; filename=""', b"x")), 400, None),
        (form(PURPOSE, part('name="file"; filename="a"', b"")), 400, None),
        (form(PURPOSE, part('name="tenant"', b"other"), FILE), 400, "tenant"),
        (form(PURPOSE, part('name="x"', b"x" * 2000), FILE), 413, None),
        (form(PURPOSE, part(f'name="{"x" * 200}"', b"x"), FILE), 400, None),
        (form(PURPOSE, part('name="file"; ' + "x" * 8000, b"x")), 400, None),
        (form(*[part(f'name="f{n}"', b"x") for n in range(100)], FILE), 400, None),
        (form(part('name="purpose"', b"\xff"), FILE), 400, "purpose"),
        (form(part("", b"x")), 400, None),
        (b"", 400, None),
        (b"no form at all", 400, None),
        (form(PURPOSE, FILE)[:-10], 400, None),
        (form(PURPOSE, FILE)[:60], 400, None),
        (form(PURPOSE, part('name="file"; filename="m.pkl"', b"x")), 422, None),
        (form(PURPOSE, part('name="file"; filename="m.bin"', PICKLE)),
         422, None),
    ],
)  # fmt: skip
def test_forms_that_are_none(site, body, status, param):
    site.refused("POST", "files", status, param, headers=FORM, content=body)
    assert list(site.platform.home.temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "status"),
    [("multipart/form-data", 400), ("multipart/form-data; boundary=", 400), ("application/json", 415), ("", 415),
     ("multipart/form-data; boundary=" + "x" * 300, 400), ("multipart/mixed; boundary=limit", 415)],
)  # fmt: skip
def test_kinds_of_bodies_that_are_no_form(site, kind, status):
    site.refused("POST", "files", status, headers={"Content-Type": kind}, content=form(PURPOSE, FILE))


def test_names_lose_their_folders(site):
    body = form(PURPOSE, part('name="file"; filename="../../etc/pass\x01wd"', b"x"))
    made = site.ask("POST", "files", headers=FORM, content=body)
    assert made.json()["filename"] == "pass_wd"


def test_an_upload_that_breaks_off_leaves_nothing(site):
    body = form(PURPOSE, part('name="file"; filename="a"', b"x" * 300_000))
    head = (
        f"POST /v1/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {site.key}\r\n"
        f"Content-Type: {FORM['Content-Type']}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    before = [f.id for f in site.client.files.list()]
    with socket.create_connection(("127.0.0.1", site.platform.config.port), 20) as s:
        s.sendall(head.encode() + body[:200_000])
        s.shutdown(socket.SHUT_WR)
        read_all(s)
    assert [f.id for f in site.client.files.list()] == before


def test_a_size_past_the_limit_is_refused_before_it_comes(site):
    head = (
        f"POST /v1/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {site.key}\r\n"
        f"Content-Type: {FORM['Content-Type']}\r\nContent-Length: 1000000000000\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", site.platform.config.port), 20) as s:
        s.sendall(head.encode())
        answer = read_all(s)
    assert answer.split()[1] == b"413"
    assert set(json.loads(answer.partition(b"\r\n\r\n")[2])["error"]) == {"message", "type", "param", "code"}
