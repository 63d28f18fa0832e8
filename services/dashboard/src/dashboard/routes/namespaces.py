"""Namespaces: memories kept apart, and with whom they are shared."""

from typing import Annotated

from contracts.memory import Namespace, NamespaceList, NamespaceRequest
from fastapi import APIRouter, Path, Response

from dashboard.neighbours import passed_on
from dashboard.routes.access import Behind, Person

router = APIRouter(prefix="/api/memory/namespaces", tags=["namespaces"])
# The pattern keeps a name from becoming another path; which names exist is the memory service's to say.
Name = Annotated[str, Path(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]


@router.get("", response_model=NamespaceList)
async def list_namespaces(_: Person, behind: Behind) -> Response:
    """List the namespaces that the person may see."""
    return passed_on(await behind.memory.get("/v1/namespaces"))


@router.put("/{name}", response_model=Namespace)
async def put_namespace(name: Name, body: NamespaceRequest, _: Person, behind: Behind) -> Response:
    """Make a namespace, or say anew with whom it is shared."""
    reply = await behind.memory.request(
        "PUT", f"/v1/namespaces/{name}", json=body.model_dump(mode="json", exclude_unset=True)
    )
    return passed_on(reply)


@router.delete("/{name}", status_code=204, response_class=Response)
async def delete_namespace(name: Name, _: Person, behind: Behind) -> Response:
    """Delete a namespace."""
    await behind.memory.delete(f"/v1/namespaces/{name}")
    return Response(status_code=204)
