"""Whether the platform lives, and what it does."""

from typing import Any

from fastapi import APIRouter

from modelyard.control.routes.request import Here, Tenant
from modelyard.control.services import status

router = APIRouter(tags=["status"])


@router.get("/api/v1/health")
def health() -> dict[str, str]:
    """Open to everyone: that control answers."""
    return {"status": "ok"}


@router.get("/api/v1/status")
def show(platform: Here, tenant: Tenant) -> dict[str, Any]:
    """Addresses, processes and counts."""
    return status.show(platform, tenant)
