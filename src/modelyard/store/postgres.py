"""PostgreSQL by its usual URL, through pg8000 (BSD; psycopg is LGPL)."""

import ssl
from typing import Any

from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import URL
from sqlalchemy.exc import NoSuchModuleError

from modelyard.errors import InvalidInput, MissingExtra

_PORT = 5432
_PLAIN = ("disable", "allow", "prefer")
_VERIFIED = ("verify-ca", "verify-full")


def postgres_engine(url: URL) -> Engine:
    """An engine for `postgresql://user:password@host:port/database`.

    Of libpq's options (PostgreSQL manual, 34.1.2) `host` (a socket's folder), `port` and `sslmode` are understood.
    Raises InvalidInput for other ones and MissingExtra where pg8000 is not installed.
    """
    options = {name: str(value) for name, value in url.query.items()}
    arguments = {**_socket(url, options), **_encryption(options.pop("sslmode", "prefer"))}
    if options:
        raise InvalidInput("options of the database URL", came=sorted(options), allowed="host, port, sslmode")
    plain = url.set(drivername="postgresql+pg8000", query={})
    try:
        return create_engine(plain, connect_args=arguments, pool_pre_ping=True, pool_size=10, max_overflow=40)
    except (ModuleNotFoundError, NoSuchModuleError):
        raise MissingExtra("pg8000", "postgres") from None


def _socket(url: URL, options: dict[str, str]) -> dict[str, Any]:
    """Takes `host` and `port` out of the options."""
    host, port = options.pop("host", None), options.pop("port", str(url.port or _PORT))
    if host is None:
        return {}
    return (
        {"unix_sock": f"{host}/.s.PGSQL.{port}"}
        if host.startswith("/")
        else {"host": host, "port": int(port)}
    )


def _encryption(mode: str) -> dict[str, Any]:
    if mode in _PLAIN:
        return {}
    context = ssl.create_default_context()
    if mode == "require":  # encrypted, whoever answers
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif mode in _VERIFIED:
        context.check_hostname = mode == "verify-full"
    else:
        raise InvalidInput("sslmode of the database URL", came=mode, allowed=(*_PLAIN, "require", *_VERIFIED))
    return {"ssl_context": context}
