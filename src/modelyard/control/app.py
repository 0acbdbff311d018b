"""The application: the routes behind the door, and the loops for as long as it lives."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI
from starlette.types import ASGIApp

from modelyard.control import answers
from modelyard.control.door import Door
from modelyard.control.platform import Platform
from modelyard.control.routes import (
    datasets,
    deployments,
    environments,
    external_runs,
    imports,
    internal,
    keys,
    mlflow,
    models,
    openai,
    runs,
    status,
    tenants,
    uploads,
    usage,
)
from modelyard.control.services.keys import authenticate
from modelyard.version import __version__

_ROUTERS = tuple(
    m.router
    for m in (
        status,
        uploads,
        datasets,
        external_runs,
        runs,
        imports,
        models,
        deployments,
        environments,
        keys,
        tenants,
        usage,
        mlflow,
        openai,
        internal,
    )
)

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def create_app(platform: Platform, lifespan: Lifespan | None = None) -> FastAPI:
    """The routes, without the door; see `behind_door`."""
    app = FastAPI(
        title="Modelyard", version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan or _no_loops
    )
    app.state.platform = platform
    app.router.redirect_slashes = False
    answers.install(app)
    for router in _ROUTERS:
        app.include_router(router)
    return app


def behind_door(app: FastAPI) -> ASGIApp:
    """What is served: no request reaches a route but through the door."""
    platform: Platform = app.state.platform
    return Door(app, authenticate=lambda key: authenticate(platform, key), host=platform.config.control_host)


@asynccontextmanager
async def _no_loops(app: FastAPI) -> AsyncIterator[None]:
    yield
