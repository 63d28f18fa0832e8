"""What the browser may ask, one module per subject."""

from fastapi import APIRouter

from dashboard.routes import conversations, events, memories, system, turns

routers: tuple[APIRouter, ...] = (
    turns.router,
    conversations.router,
    memories.router,
    system.router,
    events.router,
)
