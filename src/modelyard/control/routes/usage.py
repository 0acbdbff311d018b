"""What keys used."""

from typing import Annotated

from fastapi import APIRouter, Query

from modelyard.control.routes.request import Here, Managed, Paging
from modelyard.control.services import usage
from modelyard.control.services.pages import Page
from modelyard.control.services.usage import GROUPS, UsageAsked, UsageView

router = APIRouter(prefix="/api/v1/usage", tags=["usage"])
Text = Annotated[str | None, Query(max_length=100)]


@router.get("")
def index(
    platform: Here,
    tenant: Managed,
    page: Paging,
    since: Annotated[str | None, Query(alias="from", max_length=100)] = None,
    until: Annotated[str | None, Query(alias="to", max_length=100)] = None,
    key: Text = None,
    model: Text = None,
    group: Annotated[str, Query(max_length=100)] = ",".join(GROUPS),
) -> Page[UsageView]:
    """In requests and tokens, by what `group` names. `from` and `to` are days (UTC), both included; `key` is an id
    or a name."""
    asked = UsageAsked(since=since, until=until, key=key, model=model, group=group)
    return usage.list_usage(platform, tenant, asked, page)
