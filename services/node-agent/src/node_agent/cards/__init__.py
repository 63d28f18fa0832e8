"""Reads what is used of each card, by whom: NVIDIA's, AMD's and simulated ones, behind one interface."""

from node_agent.cards.errors import CardsError
from node_agent.cards.opening import open_reader
from node_agent.cards.reader import Cards
from node_agent.cards.resident import Resident
from node_agent.cards.seen import CardReader

__all__ = ["CardReader", "Cards", "CardsError", "Resident", "open_reader"]
