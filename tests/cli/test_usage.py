"""`yard usage`, the budgets of `yard keys`, and `yard tenants`, against a real platform."""

from collections.abc import Iterator
from datetime import UTC, date, datetime

import httpx
import msgspec
import pytest

import modelyard
from modelyard.cluster.secret import ensure_secret, gateway_token
from modelyard.errors import Forbidden, InvalidInput, NotFound
from modelyard.types.usage import UsageReport, UsageRow, day_of
from stocked import Stocked

pytestmark = pytest.mark.slow  # real processes
NEW_YEAR = day_of(datetime(2020, 1, 1, tzinfo=UTC).timestamp())


def told(yard: Stocked, *rows: UsageRow) -> None:
    """Told to control as a gateway tells it."""
    token = gateway_token(ensure_secret(yard.home))
    httpx.post(
        f"{yard.client.settings.url}/internal/usage",
        content=msgspec.json.encode(UsageReport(source="test", rows=rows)),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        trust_env=False,
    ).raise_for_status()


@pytest.fixture(scope="module")
def key(stocked: Stocked) -> str:
    """Of a key that has used two models, on two days."""
    made = stocked.client.keys.create("reader", budget=5000)
    counts = {
        "tenant": "default",
        "key": made.id,
        "requests": 2,
        "prompt": 1000,
        "cached": 10,
        "completion": 234,
    }
    told(
        stocked,
        *(
            UsageRow(model=model, day=NEW_YEAR + day, **counts)  # type: ignore[arg-type]
            for model in ("chat", "write")
            for day in (0, 1)
        ),
    )
    return made.id


def test_usage_is_a_table_with_totals(stocked: Stocked, key: str) -> None:
    lines = [line.split() for line in stocked.yard("usage", "--key", "reader").splitlines() if line.strip()]
    assert lines[0] == ["key", "id", "model", "day", "requests", "prompt", "cached", "completion", "tokens"]
    rows = [line for line in lines if line[0] == "reader"]
    assert rows[0] == ["reader", key, "chat", "2020-01-01", "2", "1,000", "10", "234", "1,234"]
    assert len(rows) == 4
    assert lines[-1] == ["total", "8", "4,000", "40", "936", "4,936"]


def test_usage_by_what_is_asked_for(stocked: Stocked, key: str) -> None:
    found = stocked.json("usage", "--key", key, "--by", "day", "--from", "2020-01-02", "--to", "2020-01-02")
    assert [(one["day"], one["tokens"], one["key"]) for one in found] == [("2020-01-02", 2468, None)]
    (by_model,) = stocked.client.usage(by=["model"], model="chat", since=date(2020, 1, 1), until="2020-01-31")
    assert (by_model.model, by_model.requests, by_model.tokens, by_model.day) == ("chat", 4, 2468, None)
    assert "Nothing was used." in stocked.yard("usage", "--model", "nothing")


@pytest.mark.parametrize(
    "options", [("--from", "yesterday"), ("--to", "2020-02-30"), ("--by", "colour"),
                ("--from", "2020-01-02", "--to", "2020-01-01")],
)  # fmt: skip
def test_usage_says_what_it_does_not_understand(stocked: Stocked, options: tuple[str, ...]) -> None:
    done = stocked.run("usage", *options)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "allowed" in done.stderr or "after" in done.stderr


def test_budgets_are_set_shown_and_taken_away(stocked: Stocked) -> None:
    made = stocked.json("keys", "create", "budgeted", "--budget", "2000")
    today = day_of(datetime.now(UTC).timestamp())
    told(stocked, UsageRow(tenant="default", key=made["id"], model="m", day=today, prompt=1500))
    listed = next(line for line in stocked.yard("keys", "list").splitlines() if made["id"] in line)
    assert "1,500 of 2,000 today" in listed or "0 of 2,000 today" in listed  # it was midnight meanwhile
    assert "of 9,000 today" in stocked.yard("keys", "change", made["id"], "--budget", "9000")
    assert "none" in stocked.yard("keys", "change", made["id"], "--budget", "none")
    for budget in ("0", "-5"):
        done = stocked.run("keys", "create", "x", "--budget", budget)
        assert done.returncode == 1
        assert "budget" in done.stderr
    assert "tokens a day, or none" in stocked.run("keys", "change", made["id"], "--budget", "much").stderr
    with pytest.raises(InvalidInput, match="budget"):
        stocked.client.keys.change(made["id"], budget=0)
    with pytest.raises(NotFound):
        stocked.client.keys.change("key_" + "0" * 26, budget=1)


@pytest.fixture
def guests(stocked: Stocked) -> Iterator[str]:
    stocked.yard("tenants", "create", "guests")
    yield "guests"
    stocked.yard("tenants", "delete", "guests")


def test_tenants_have_keys_and_usage_of_their_own(stocked: Stocked, guests: str) -> None:
    assert "guests" in stocked.yard("tenants", "list")
    made = stocked.json(
        "keys", "create", "visitor", "--tenant", guests, "--scope", "admin", "--scope", "predict"
    )
    told(stocked, UsageRow(tenant=guests, key=made["id"], model="chat", day=NEW_YEAR, prompt=5))
    assert "visitor" in stocked.yard("usage", "--tenant", guests)
    assert "visitor" not in stocked.yard("usage")
    assert "visitor" not in stocked.yard("keys", "list")
    with modelyard.Client(stocked.client.settings.url, made["key"]) as visitor:
        assert [one.tokens for one in visitor.usage()] == [5]
        assert visitor.models.list() == []
        with pytest.raises(Forbidden):
            visitor.tenants.list()
        with pytest.raises(Forbidden):
            visitor.keys.create("x", tenant="default")
    refused = stocked.run("tenants", "delete", guests)
    assert refused.returncode == 1
    assert "keys: 1" in refused.stderr
    stocked.yard("keys", "revoke", made["id"], "--tenant", guests)
