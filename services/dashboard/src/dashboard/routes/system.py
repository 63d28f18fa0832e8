"""The state of the house, and what in it waits for the person."""

from contracts.inference import ModelList
from contracts.system import ContainerList
from fastapi import APIRouter, Response

from dashboard.needs import gather
from dashboard.neighbours import passed_on
from dashboard.routes.access import Behind, Person
from dashboard.schemas import Needs

router = APIRouter(prefix="/api", tags=["system"])


@router.get("/system", response_model=ContainerList)
async def system(_: Person, behind: Behind) -> Response:
    """Return every container of the house and how old the reading is."""
    return passed_on(await behind.registry.get("/v1/containers"))


@router.get("/models", response_model=ModelList)
async def models(_: Person, behind: Behind) -> Response:
    """Return the models that can be asked, and which of them run in the house."""
    return passed_on(await behind.models.get("/v1/models"))


@router.get("/needs")
async def needs(caller: Person, behind: Behind) -> Needs:
    """Return what waits for the person, most urgent first."""
    return await gather(behind, owner=caller.role == "owner")
