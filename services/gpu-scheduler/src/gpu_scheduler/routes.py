"""HTTP -> use case."""

from contracts.base import Contract
from fastapi import APIRouter

router = APIRouter()


class About(Contract):
    """Who answers."""

    service: str
    domain: str


@router.get("/v1/about")
async def about() -> About:
    """Say which service this is."""
    return About(service="gpu-scheduler", domain="inference")
