"""What can be wrong with how cards are to be read."""

from kit.errors import KitError


class CardsError(KitError):
    """The setting names no way to read cards that this machine has."""

    code, status = "node.cards_invalid", 500
    reason = "The setting of how cards are read cannot be followed."
    fix = "Set LARES_NODE_CARDS to auto, nvidia, amd or simulated, and LARES_NODE_SIMULATED_CARDS to id:mib."
