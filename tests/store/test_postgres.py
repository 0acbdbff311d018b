"""What of a PostgreSQL URL is understood. The other tests of the store run against a real server too."""

import pytest
from sqlalchemy import make_url

from modelyard.errors import InvalidInput
from modelyard.store.postgres import postgres_engine


def test_the_password_is_in_no_text_of_the_engine() -> None:
    assert "secret" not in repr(postgres_engine(make_url("postgresql://me:secret@127.0.0.1:1/yard")))


@pytest.mark.parametrize("mode", ["disable", "prefer", "require", "verify-ca", "verify-full"])
def test_sslmode_is_that_of_libpq(mode: str) -> None:
    assert (
        postgres_engine(make_url(f"postgresql://me@127.0.0.1:1/yard?sslmode={mode}")).dialect.name
        == "postgresql"
    )


@pytest.mark.parametrize(
    ("query", "match"), [("sslmode=sometimes", "allowed: disable"), ("colour=red", "colour")]
)
def test_what_is_not_understood_is_refused(query: str, match: str) -> None:
    with pytest.raises(InvalidInput, match=match):
        postgres_engine(make_url(f"postgresql://me@127.0.0.1:1/yard?{query}"))
