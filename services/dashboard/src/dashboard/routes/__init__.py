"""What the browser may ask, one module per subject."""

from fastapi import APIRouter

from dashboard.routes import (
    conversations,
    events,
    exchange,
    inference,
    knowledge,
    levels,
    memories,
    namespaces,
    system,
    turns,
)

routers: tuple[APIRouter, ...] = (
    turns.router,
    conversations.router,
    memories.router,
    exchange.router,
    knowledge.router,
    levels.router,
    namespaces.router,
    system.router,
    inference.router,
    events.router,
)
