"""Where the platform is and what opens it: arguments, then the environment, then the home's client.json."""

import os
from dataclasses import dataclass, field

import msgspec

from modelyard.errors import InvalidInput
from modelyard.home import Home
from modelyard.types.process import PlatformConfig


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`url` is control's address, `gateway_url` the one that predictions go to. Without a key, only what is
    open can be asked."""

    url: str
    gateway_url: str | None
    api_key: str | None = field(repr=False)


def resolve(url: str | None, api_key: str | None, gateway_url: str | None, home: Home) -> Settings:
    """Raises InvalidInput for an address that is none, or a client.json that cannot be read."""
    kept, config = _kept(home), _config(home)
    own = kept.get("url") or (config or PlatformConfig()).control_url
    chosen = url or os.environ.get("YARD_URL") or own
    ours = chosen.rstrip("/") == own.rstrip("/")  # a key goes nowhere but to its own platform
    gateway = gateway_url or os.environ.get("YARD_GATEWAY_URL")
    if gateway is None and ours and config is not None:
        gateway = config.gateway_url
    return Settings(
        url=_checked(chosen),
        gateway_url=None if gateway is None else _checked(gateway),
        api_key=api_key or os.environ.get("YARD_API_KEY") or (kept.get("api_key") if ours else None),
    )


def _kept(home: Home) -> dict[str, str]:
    try:
        return msgspec.json.decode(home.credentials.read_bytes(), type=dict[str, str])
    except (FileNotFoundError, PermissionError):
        return {}
    except msgspec.MsgspecError as error:
        raise InvalidInput("client.json of YARD_HOME cannot be read", came=str(error)) from error


def _config(home: Home) -> PlatformConfig | None:
    try:
        return msgspec.json.decode(home.config.read_bytes(), type=PlatformConfig)
    except (OSError, msgspec.MsgspecError):
        return None  # there is no platform here, or not one that we may see; control will be asked instead


def _checked(url: str) -> str:
    import httpx

    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise InvalidInput("this address cannot be used", came=url) from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise InvalidInput(
            "this address cannot be used", came=url, allowed="http://host:port or https://host"
        )
    return url.rstrip("/")
