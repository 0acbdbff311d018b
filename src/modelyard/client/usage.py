"""What keys used."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Final

from modelyard.client.record import Record

if TYPE_CHECKING:
    from modelyard.client.client import Client

GROUPS: Final = ("key", "model", "day")


class Usage(Record):
    """Requests and tokens of a key, a model and a day, or of those of them that were asked for: the others are
    None."""

    shown: ClassVar[tuple[str, ...]] = ("key_name", "key", "model", "day", "requests", "tokens")

    @property
    def key(self) -> str | None:
        """Its id."""
        return self.raw.get("key")

    @property
    def key_name(self) -> str | None:
        return self.raw.get("key_name")

    @property
    def model(self) -> str | None:
        """The deployment's name."""
        return self.raw.get("model")

    @property
    def day(self) -> str | None:
        """As 2026-01-31, in UTC."""
        return self.raw.get("day")

    @property
    def requests(self) -> int:
        return int(self.raw["requests"])

    @property
    def prompt_tokens(self) -> int:
        return int(self.raw["prompt_tokens"])

    @property
    def cached_tokens(self) -> int:
        """Of the prompt's tokens, those that the engine had read before."""
        return int(self.raw["cached_tokens"])

    @property
    def completion_tokens(self) -> int:
        return int(self.raw["completion_tokens"])

    @property
    def tokens(self) -> int:
        """What budgets count: the prompt's and the answer's."""
        return int(self.raw["tokens"])


def read_usage(client: "Client", query: Mapping[str, str | None]) -> list[Usage]:
    """All pages."""
    return [Usage(raw, client) for raw in client.transport.pages("/api/v1/usage", None, **query)]
