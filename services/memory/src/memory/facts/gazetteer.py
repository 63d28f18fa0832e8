"""Names that are known beforehand: first names, countries and cities. Read once, at the first use.

Fifty thousand names as Python strings would weigh 7 MB in a worker that may have 45. So they are kept as one sorted text
of half a megabyte, in which a name is found by halving.
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
    """A set of names in one text: small, and quick enough to look a few of them up."""

    def __init__(self, names: Iterable[str]) -> None:
        encoded = sorted({name.encode() for name in names if "\n" not in name})
        self._text = b"\n".join(encoded)
        self._starts = array("I")
        at = 0
        for name in encoded:
            self._starts.append(at)
            at += len(name) + 1

    def __len__(self) -> int:
        return len(self._starts)

    def __contains__(self, name: str) -> bool:
        wanted = name.encode()
        place = bisect_left(self._starts, wanted, key=self._at)
        return place < len(self._starts) and self._at(self._starts[place]) == wanted

    def _at(self, start: int) -> bytes:
        end = self._text.find(b"\n", start)
        return self._text[start:] if end < 0 else self._text[start:end]


@lru_cache(maxsize=1)
def first_names() -> Names:
    """Return first names of some forty languages, casefolded, without those that are common words."""
    words = _common_words()
    found: set[str] = {*_MORE_NAMES}
    # "Bet" and "Hang" are names somewhere and words in English; "Karen" and "John" are names in many places.
    languages: dict[str, set[str]] = {}
    for language, data in _datasets("person.json"):
        for name in _first_names(data):
            folded = name.casefold()
            if folded in words:
                languages.setdefault(folded, set()).add(language.partition("-")[0])
            elif len(folded) > 2:
                found.add(folded)
    found.update(name for name, where in languages.items() if len(where) >= LANGUAGES_MIN)
    return Names(name for name in found if name not in NEVER and name not in _NOT_NAMES)


@lru_cache(maxsize=1)
def places() -> Names:
    """Return countries and cities, casefolded."""
    words = _common_words()
    airports, great = _cities()
    found: set[str] = {*great, *_MORE_PLACES}
    american: set[str] = set()
    towns: set[str] = set(airports)
    for _, data in _datasets("address.json"):
        country: Any = data.get("country", {})
        found.update(name.casefold() for name in cast(Iterable[str], country.get("name", ())))
        cities = {name.casefold() for name in cast(Iterable[str], data.get("city", ()))}
        # American towns bear every word of the dictionary.
        if country.get("current_locale") == "United States":
            american = cities
        else:
            towns |= cities
    found |= {town for town in towns if len(town) > 3 and town not in words}
    found |= airports & american
    return Names(
        name
        for name in found
        if name not in COMMON and name not in NEVER and name not in _NO_PLACES
    )


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
    return Names(_common_words())


def _common_words() -> frozenset[str]:
    words = next(data["words"] for language, data in _datasets("text.json") if language == "en")
    return COMMON.union(word.casefold() for word in cast(Iterable[str], words))


def _folder(package: str) -> Path:
    """Return where a package's files lie, without loading it: its code is worth 10 MB and not wanted here."""
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError(package)
    return Path(found.submodule_search_locations[0])


def _first_names(data: dict[str, Any]) -> Iterator[str]:
    names: Any = data.get("names", {})
    for some in names.values() if isinstance(names, dict) else [names]:
        yield from cast(Iterable[str], some)


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
