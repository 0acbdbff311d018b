"""Where the platform is and what opens it: arguments, then the environment, then the home's client.json."""

import os
from dataclasses import dataclass, field

import msgspec

from modelyard.errors import InvalidInput
from modelyard.home import Home
from modelyard.types.process import PlatformConfig

_DEFAULTS = PlatformConfig()


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`url` is control's address, `gateway_url` the one that predictions go to. Without a key, only what is
    open can be asked."""

    url: str
    gateway_url: str | None
    api_key: str | None = field(repr=False)


def resolve(url: str | None, api_key: str | None, gateway_url: str | None, home: Home) -> Settings:
    """Raises InvalidInput for an address that is none, or a client.json that cannot be read."""
    kept = _kept(home)
    chosen = url or os.environ.get("YARD_URL") or kept.get("url") or _DEFAULTS.control_url
    ours = chosen.rstrip("/") == kept.get("url", "").rstrip("/")  # a key goes nowhere but to its own platform
    gateway = gateway_url or os.environ.get("YARD_GATEWAY_URL") or (kept.get("gateway_url") if ours else None)
    if gateway is None and ours:
        gateway = _configured_gateway(home)
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


def _configured_gateway(home: Home) -> str | None:
    try:
        return msgspec.json.decode(home.config.read_bytes(), type=PlatformConfig).gateway_url
    except (OSError, msgspec.MsgspecError):
        return None  # control will be asked instead


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
