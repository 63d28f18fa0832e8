"""Names that are known beforehand: first names, countries and cities. Read once, at the first use.

Sixty thousand names as Python strings would weigh 7 MB in a worker that may have 45, and a set of them while it is made
as much again. So they are kept as their checksums, sorted: 4 bytes each. That a word is taken for a name because the two
have one checksum happens to one word in 70,000.
"""

from __future__ import annotations

import json
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast
from zlib import crc32

from memory.facts.words import COMMON, NEVER

# In so many languages a word must be a first name to count as one.
LANGUAGES_MIN = 3
# First names that are words, months or cities first of all: alone they prove nothing.
_NOT_NAMES = frozenset(
    """
    april august blue bill carry case cherry christian chance crystal dale dawn day daisy drew earl early easter ever
    faith florida forest fran grant glad grace happy harmony heath heather hope honey iris ivy jade jay jewel joy june
    king lane lark last lily love marina mark may melody merry misty norm opal page patience pearl peace penny poppy
    price prince queen queenie rain ray rich rob robin rock rose ruby sandy see shell sky star starr sun sunny sunshine
    summer teddy tiffany trip true van victory viola violet wade ward wish wynn bean brand chase clay cliff cole dean dell
    don fields flower gay gray guy hunter hill holly ice ideal kit land mercy miles neat olive park red reed rusty sage
    silver stone storm wells west will winter angel berry candy charity constance birthday congrats christmas python java
    moon ten bon son bus work lunch dinner sea pets mum mom dad mama papa street story best king queen major minor junior
    senior duke baron noble justice art tea kim_ amen note line page lake bay river ocean valley brook
    """.split()
)
_MORE_NAMES = "nate hiroshi jolene haruto jing xiao chidi ngozi tunde kwame kofi".split()
# The cities and lands everybody means, also where the lists know them by another name.
_MORE_PLACES = """
    edinburgh glasgow manchester birmingham bristol barcelona geneva hamburg uk u.k. usa nyc tokyo kyoto münchen köln wien zürich lisboa bruges ghent utrecht lisbon munich cologne vienna zurich lucerne florence venice naples rome milan turin
    seville lyons london oxford cambridge brighton europe asia africa america antarctica scandinavia california texas
    bavaria tuscany provence catalonia brooklyn manhattan queens hollywood u.s. usa england scotland wales minnesota oregon
    colorado arizona nevada utah montana michigan ohio illinois hawaii alaska vermont maine bali ibiza azores hokkaido
    madeira sicily sardinia corsica crete mallorca majorca tenerife alps andes himalayas amazonas
    """.split()


class Names:
    """A set of names by their checksums. Made from any number of names without holding them."""

    def __init__(self, names: Iterable[str]) -> None:
        sums = array("I", (crc32(name.encode("utf-8", "surrogatepass")) for name in names))
        self._sums = array("I", sorted(sums))

    def __contains__(self, name: str) -> bool:
        wanted = crc32(name.encode("utf-8", "surrogatepass"))
        place = bisect_left(self._sums, wanted)
        return place < len(self._sums) and self._sums[place] == wanted


@lru_cache(maxsize=1)
def first_names() -> Names:
    """Return first names of some forty languages, casefolded, without those that are common words."""
    return Names(
        name
        for name in _listed_first_names(common_words())
        if len(name) > 2 and name not in NEVER and name not in _NOT_NAMES
    )


def _listed_first_names(words: Names) -> Iterator[str]:
    yield from _MORE_NAMES
    # "Bet" and "Hang" are names somewhere and words in English; "Karen" and "John" are names in many places.
    languages: dict[str, set[str]] = {}
    for language, data in _datasets("person.json"):
        names: Any = data.get("names", {})
        for some in names.values() if isinstance(names, dict) else [names]:
            for name in cast(Iterable[str], some):
                folded = name.casefold()
                if folded in words:
                    languages.setdefault(folded, set()).add(language.partition("-")[0])
                else:
                    yield folded
    yield from (name for name, where in languages.items() if len(where) >= LANGUAGES_MIN)


@lru_cache(maxsize=1)
def places() -> Names:
    """Return countries and cities, casefolded."""
    return Names(
        name
        for name in _listed_places(common_words())
        if name not in COMMON and name not in NEVER and name not in _NO_PLACES
    )


def _listed_places(words: Names) -> Iterator[str]:
    airports, great = _cities()
    yield from (*_MORE_PLACES, *great)
    yield from (city for city in airports if len(city) > 3 and city not in words)
    for _, data in _datasets("address.json"):
        country: Any = data.get("country", {})
        yield from (name.casefold() for name in cast(Iterable[str], country.get("name", ())))
        american = country.get("current_locale") == "United States"
        for name in cast(Iterable[str], data.get("city", ())):
            city = name.casefold()
            # American towns bear every word of the dictionary: those count that have an airport.
            if city in airports if american else len(city) > 3 and city not in words:
                yield city


@lru_cache(maxsize=1)
def great_cities() -> frozenset[str]:
    """Return the cities that are meant even where a person bears their name: Paris, Sydney."""
    return frozenset(_cities()[1] - _NO_PLACES)


def _datasets(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield one file of each language of mimesis, whose lists these are."""
    for file in sorted(_folder("mimesis").joinpath("datasets").glob(f"*/{name}")):
        yield file.parent.name, cast(dict[str, Any], json.loads(file.read_text(encoding="utf-8")))


@lru_cache(maxsize=1)
def common_words() -> Names:
    """Return six thousand common English words: names of persons and places that all know are among them."""
    words = next(data["words"] for language, data in _datasets("text.json") if language == "en")
    return Names((*COMMON, *(word.casefold() for word in cast(Iterable[str], words))))


def _folder(package: str) -> Path:
    """Return where a package's files lie, without loading it: its code is worth 10 MB and not wanted here."""
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError(package)
    return Path(found.submodule_search_locations[0])


def _cities() -> tuple[set[str], set[str]]:
    """Return the cities with an airport, and those that a time zone is named after."""
    cities: set[str] = set()
    great: set[str] = set()
    # Line by line and never whole: the worker would keep the peak for its life.
    with _folder("airportsdata").joinpath("airports.csv").open(encoding="utf-8") as lines:
        for line in lines:
            fields = line.split('","', 4)
            if len(fields) == 5 and len(fields[1]) == 3:
                cities.add(fields[3].casefold())
                # "Frankfurt am Main" is Frankfurt to everybody.
                cities.add(fields[3].casefold().partition(" am ")[0])
                zone = line.rsplit('","', 1)[0].rsplit('"', 1)[-1]
                great.add(zone.rpartition("/")[2].replace("_", " ").casefold())
    return cities, great


# Cities of the list whose names are words that begin sentences, and parts of zone names that are no city.
_NO_PLACES = frozenset(
    [
        "page",
        "wise",
        "bush",
        "ware",
        "kit",
        "home",
        "independence",
        "enterprise",
        "liberal",
        "normal",
        "many",
        "nice",
        "reading",
        "mobile",
        "orange",
        "battle",
        "spring",
        "deer",
        "eagle",
        "beaver",
        "best",
        "hope",
        "story",
        "winner",
        "sunrise",
        "golden",
        "buffalo",
        "phoenix",
        "male",
        "bath",
        "lead",
        "ely",
        "mary",
        "eden",
        "corona",
        "union",
        "center",
        "central",
        "eastern",
        "western",
        "pacific",
        "mountain",
        "north",
        "south",
        "east",
        "west",
        "general",
        "acre",
        "bar",
        "fort",
        "gage",
        "wick",
        "stow",
        "goto",
        "alma",
        "ruby",
        "saga",
        "agri",
        "marina",
        "lamar",
        "grant",
        "dawson",
        "nelson",
        "troy",
        "jackson",
        "lincoln",
        "madison",
        "logan",
        "marshall",
        "gmt",
        "utc",
        "zulu",
        "universal",
        "greenwich",
        "uct",
        "rothera",
        "davis",
        "casey",
        "vostok",
        "troll",
        "easter",
        "midway",
        "wake",
        "chatham",
        "navajo",
        "samoa",
        "knox",
        "arctic",
        "atlantic",
        "jamaica_",
        "indian",
        "antarctica_",
    ]
)
