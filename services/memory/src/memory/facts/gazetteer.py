"""Names that are known beforehand: first names, countries, cities with an airport. Read once, at the first use."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

# First names that are words, months or cities first of all: alone they prove nothing.
_NOT_NAMES = frozenset(
    ["April", "August", "Blue", "Bill", "Carry", "Case", "Cherry", "Christian", "Chance", "Crystal", "Dale", "Dawn", "Day", "Daisy", "Drew", "Earl", "Early", "Easter", "Ever", "Faith", "Florida", "Forest", "Fran", "Grant", "Glad", "Grace", "Happy", "Harmony", "Heath", "Heather", "Hope", "Honey", "Iris", "Ivy", "Jade", "Jay", "Jewel", "Joy", "Joy", "June", "King", "Lane", "Lark", "Last", "Lily", "Love", "Marina", "Mark", "May", "Melody", "Merry", "Misty", "Norm", "Opal", "Page", "Patience", "Pearl", "Peace", "Penny", "Poppy", "Price", "Prince", "Queen", "Queenie", "Rain", "Ray", "Rich", "Rob", "Robin", "Rock", "Rose", "Ruby", "Sandy", "See", "Shell", "Sky", "Star", "Starr", "Sun", "Sunny", "Sunshine", "Summer", "Teddy", "Tiffany", "Trip", "True", "Van", "Victory", "Viola", "Violet", "Wade", "Ward", "Wish", "Wynn", "Bean", "Brand", "Case", "Chase", "Clay", "Cliff", "Cole", "Dean", "Dell", "Don", "Fields", "Flower", "Gay", "Gray", "Guy", "Hunter", "Hill", "Holly", "Ice", "Ideal", "Kit", "Land", "Mercy", "Miles", "Neat", "Olive", "Park", "Red", "Reed", "Rusty", "Sage", "Silver", "Stone", "Storm", "Wells", "West", "Will", "Winter", "Angel", "Berry", "Candy", "Charity", "Constance"]
)
_MORE_NAMES = ["nate", "hans", "pedro", "priya", "wei", "mohammed", "muhammad", "jon", "sven", "rui", "joao", "luis", "jose", "juan", "carlos", "diego", "pablo", "miguel", "sofia", "lucia", "ines", "joana", "tiago", "duarte", "beatriz", "mateus", "fritz", "heinz", "jürgen", "jörg", "uwe", "anneke", "lars", "nils", "ingrid", "astrid", "bjorn", "bjørn", "erik", "giulia", "matteo", "luca", "giorgio", "paolo", "francesca", "chiara", "jean", "pierre", "amelie", "camille", "celine", "rené", "françois", "anais", "ahmed", "fatima", "omar", "yusuf", "layla", "amir", "hassan", "ibrahim", "aisha", "rajesh", "sanjay", "anjali", "deepak", "arjun", "kavya", "ravi", "neha", "lakshmi", "hiroshi", "yuki", "kenji", "sakura", "haruto", "akira", "mei", "ling", "jing", "xiao", "chen", "li", "min-jun", "ji-woo", "dmitri", "sergei", "olga", "natasha", "ivan", "svetlana", "katarina", "milan", "jovana", "zoltan", "agnieszka", "piotr", "kasia", "tomasz", "wojciech", "liam", "noah", "oliver", "elijah", "aiden", "jayden", "mia", "isla", "freya", "kwame", "kofi", "amara", "chidi", "ngozi", "tunde"]
# The cities everybody means, also where the list knows their airport by another name.
_MORE_PLACES = ["kyoto", "heidelberg", "bruges", "braga", "coimbra", "potsdam", "bonn", "freiburg", "mannheim", "karlsruhe", "wiesbaden", "mainz", "jena", "weimar", "ghent", "leiden", "utrecht", "delft", "salamanca", "toledo", "cordoba", "siena", "verona", "padua", "modena", "versailles", "lucerne", "basel", "winterthur", "oxford", "cambridge", "york", "bath", "brighton", "europe", "asia", "africa", "america", "antarctica", "scandinavia", "california", "texas", "florida", "bavaria", "tuscany", "provence", "catalonia", "brooklyn", "manhattan", "queens", "hollywood", "uk", "usa", "u.s.", "england", "scotland", "wales", "minnesota", "oregon", "colorado", "arizona", "nevada", "utah", "montana", "michigan", "ohio", "illinois", "hawaii", "alaska", "vermont", "maine"]


@lru_cache(maxsize=1)
def first_names() -> frozenset[str]:
    """Return first names, casefolded, without those that are common words."""
    from unique_names_generator.data.names import NAMES

    listed = {name.casefold() for name in NAMES if name not in _NOT_NAMES and len(name) > 2}
    return frozenset(listed.union(_MORE_NAMES))


@lru_cache(maxsize=1)
def places() -> frozenset[str]:
    """Return countries and cities, casefolded."""
    from unique_names_generator.data.countries import COUNTRIES

    cities, great = _cities()
    return frozenset(
        {name.casefold() for name in COUNTRIES}.union(_MORE_PLACES, cities, great) - _NO_PLACES
    )


@lru_cache(maxsize=1)
def great_cities() -> frozenset[str]:
    """Return the cities that are meant even where a person bears their name: Paris, Sydney."""
    return frozenset(_cities()[1] - _NO_PLACES | {"florence", "austin", "charlotte", "lourdes"})


@lru_cache(maxsize=1)
def _cities() -> tuple[frozenset[str], frozenset[str]]:
    """Return the cities with an airport, and those that a time zone is named after."""
    cities: set[str] = set()
    great: set[str] = set()
    # Line by line and never whole: the worker would keep the peak for its life.
    with files("airportsdata").joinpath("airports.csv").open(encoding="utf-8") as lines:
        for line in lines:
            fields = line.split('","', 4)
            if len(fields) == 5 and len(fields[1]) == 3 and len(fields[3]) > 3:
                cities.add(fields[3].casefold())
                zone = line.rsplit('","', 1)[0].rsplit('"', 1)[-1]
                great.add(zone.rpartition("/")[2].replace("_", " ").casefold())
    return frozenset(cities), frozenset(great)


# Cities of the list whose names are words that begin sentences, and parts of zone names that are no city.
_NO_PLACES = frozenset(
    ["page", "wise", "bush", "ware", "kit", "home", "independence", "enterprise", "liberal", "normal", "many", "nice", "reading", "mobile", "orange", "battle", "spring", "deer", "eagle", "beaver", "best", "hope", "story", "winner", "sunrise", "golden", "buffalo", "phoenix", "male", "bath", "lead", "ely", "mary", "eden", "corona", "union", "center", "central", "eastern", "western", "pacific", "mountain", "north", "south", "east", "west", "general", "acre", "bar", "fort", "gage", "wick", "stow", "goto", "alma", "ruby", "saga", "agri", "marina", "lamar", "grant", "dawson", "nelson", "troy", "jackson", "lincoln", "madison", "logan", "marshall", "gmt", "utc", "zulu", "universal", "greenwich", "uct", "rothera", "davis", "casey", "vostok", "troll", "easter", "midway", "wake", "chatham", "navajo", "samoa", "knox", "arctic", "atlantic", "jamaica_", "indian", "antarctica_"]
)
