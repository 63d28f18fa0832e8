"""Events between services: Valkey streams with consumer groups, bounded, idempotent by event id, ids only."""

from kit.bus.client import Broker, Bus, Handler
from kit.bus.errors import BusDenied, BusFull, BusUnavailable
from kit.bus.message import Message
from kit.bus.once import forget_old, once
from kit.bus.tail import Subscription
from kit.ids import ContentRefused

__all__ = [
    "Broker",
    "Bus",
    "BusDenied",
    "BusFull",
    "BusUnavailable",
    "ContentRefused",
    "Handler",
    "Message",
    "Subscription",
    "forget_old",
    "once",
]
