"""The stock OpenAI client, unchanged, against a platform of ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openai import OpenAI


@contextmanager
def stock_client(gateway_url: str, key: str) -> Iterator["OpenAI"]:
    """A client that shows `key` and sends nothing twice."""
    import httpx2
    from openai import OpenAI

    with (
        httpx2.Client(trust_env=False, timeout=60) as http,
        OpenAI(base_url=f"{gateway_url}/v1", api_key=key, max_retries=0, http_client=http) as client,
    ):
        yield client
