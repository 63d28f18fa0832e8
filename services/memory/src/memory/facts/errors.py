"""What is refused about entities and facts, each with its code, its status and what the reader can do."""

from __future__ import annotations

from kit.errors import KitError


class EntityNotFound(KitError):
    """Raised for an entity that does not exist or that the caller may not see: the two are not told apart."""

    code, status = "memory.entity_not_found", 404
    reason = "There is no such entity, or none that you may see."
    fix = "Look it up in the list; it may have gone with the last memory that mentioned it."


class FactNotFound(KitError):
    """Raised for a fact that does not exist or that the caller may not see: the two are not told apart."""

    code, status = "memory.fact_not_found", 404
    reason = "There is no such fact, or none that you may see."
    fix = "Look it up in the list; it may have gone with its memory."


class EntitiesSame(KitError):
    """Raised for a merge of an entity with itself."""

    code, status = "memory.entities_same", 409
    reason = "These are one entity already."
    fix = "Nothing is to be done."


class EntitiesApart(KitError):
    """Raised for a merge that would carry a name between namespaces, or the person themselves between tiers."""

    code, status = "memory.entities_apart", 409
    reason = "These two are kept apart on purpose: in two namespaces, or one of them is yourself in another tier."
    fix = "Merge entities of one namespace only; yourself only within one tier."


class EntityNameTaken(KitError):
    """Raised when another entity of that kind has the name."""

    code, status = "memory.entity_name_taken", 409
    reason = "Another entity of this kind has that name."
    fix = "Merge the two if they are one; else choose a name that tells them apart."


class EntityNotMerged(KitError):
    """Raised when what is to be taken out was never merged into this entity."""

    code, status = "memory.entity_not_merged", 409
    reason = "That entity was not merged into this one."
    fix = "Name one of those listed under `merged`."


class SplitInvalid(KitError):
    """Raised for a split that says not one thing to split by, or would move everything or nothing."""

    code, status = "memory.split_invalid", 422
    reason = "The split takes nothing, takes everything, or does not say by what to split."
    fix = "Send one of entity, aliases and memories; with memories also a new name. Something must stay and something go."


class KindUnknown(KitError):
    """Raised for a kind of entity that does not exist."""

    code, status = "memory.entity_kind_unknown", 422
    reason = "There is no such kind of entity."
    fix = "Use person, place, organisation, thing, event or topic."


class DepthInvalid(KitError):
    """Raised for a graph that is asked for too deep."""

    code, status = "memory.depth_invalid", 422
    reason = "The depth is out of range."
    fix = "Use 1 to 3."


class ExtractionRefused(KitError):
    """Raised inside the worker when a model's answer is no list of facts of the asked shape."""

    code, status = "memory.extraction_refused", 502
    reason = "The language model did not answer with facts of the expected shape."
    fix = "Nothing is lost: what the rules found stands; choose a better model or turn asking off."
