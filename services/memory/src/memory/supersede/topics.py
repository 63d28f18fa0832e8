"""Which everyday matters a text is about: a small lexicon, so that "townhouse" is near "where do I live". Pure.

What an embedding of twenty megabytes knows of the world is thin. The matters of a household are few, though, and so
are their words; a word may belong to several.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from memory.supersede.words import stem

_WORDS: Mapping[str, str] = {
    "home": "live lives living home house flat apartment studio townhouse bungalow cottage villa condo place moved move moving lease leased settled address residence reside resident roof room rooms dorm hostel airbnb lodging street avenue district quarter neighbourhood suburb village town city country staying stay rental tenant farm ranch cabin boat caravan attic loft",
    "work": "work works working job employer employed employs employee employ hired hire company firm boss career profession office position role title colleague promoted promotion join joined quit resign fired laid layoff startup start-up business contract internship intern freelance self-employed salary wage shift shifts manager director engineer developer teacher nurse doctor driver lawyer accountant chef baker carpenter electrician plumber designer scientist researcher analyst consultant clerk assistant barista waiter cook pilot ranger officer founder ceo cto cfo unemployed retired retire living drive",
    "commute": "commute commuting work office campus bus train metro subway underground tram u-bahn light rail bike cycle cycling walk walking drive driving carpool ferry scooter line ride journey school",
    "car": "car drive drives driving vehicle truck van suv golf polo honda toyota ford bmw audi volvo fiat tesla nissan kia hyundai mazda renault peugeot buick electric hybrid garage plate traded",
    "bike": "bike bicycle cycle cycling e-bike ride riding helmet",
    "partner": "girlfriend boyfriend husband wife spouse partner married marry marrying wedding engaged engagement fiance fiancee dating date seeing together couple relationship love divorced divorce split separated single romance going",
    "phone": "phone number mobile cell telephone call reach whatsapp landline carrier sim",
    "device": "phone iphone pixel galaxy android laptop computer macbook thinkpad tablet ipad kindle kobo e-reader reader device",
    "email": "email e-mail mail address inbox",
    "bank": "bank account banking savings salary money iban transfer",
    "rent": "rent landlord lease mortgage emi pay monthly deposit flat",
    "price": "price cost costs charge charges rate fee pay pays expensive cheap per hour euros dollars pounds francs",
    "energy": "electricity gas energy power supplier utility utilities heating bill contract provider heat pump boiler",
    "internet": "internet wifi broadband fibre provider network router",
    "streaming": "streaming netflix subscription subscribe series film films movies tv watch spotify disney",
    "news": "newspaper paper magazine news read reading subscribe",
    "school": "school kindergarten nursery preschool primary secondary college university daycare academy class grade year pupil attend attends teacher lessons",
    "study": "study studies studying student degree course major university master phd thesis supervisor exam semester year faculty",
    "age": "old age years birthday born turned turns",
    "birthday": "birthday born birth date",
    "doctor": "doctor gp physician surgery practice clinic dentist cardiologist pediatrician paediatrician surgeon dermatologist specialist physio physiotherapist therapist hospital patient appointment midwife",
    "medicine": "medicine medication pill pills tablet tablets dose mg prescription prescriptions prescribed pharmacy drug take painkiller ibuprofen paracetamol aspirin insulin inhaler vitamin contraception",
    "diet": "eat eats eating food meat fish vegetarian vegan diet breakfast lunch dinner meal cook eggs bread milk cheese sugar gluten lactose allowed",
    "drink": "drink drinks drinking coffee tea espresso wine beer alcohol water juice milk",
    "smoke": "smoke smokes smoking cigarette cigarettes smoker pack nicotine vape",
    "allergy": "allergic allergy allergies intolerant intolerance reaction",
    "sport": "sport gym training train run running swim swimming yoga pilates football tennis climb climbing bouldering judo karate kendo fencing rowing workout workouts exercise match team club coach marathon",
    "music": "music band song singer musician piano guitar violin cello viola flute drums choir orchestra instrument play plays playing concert recorder listening",
    "pet": "dog cat puppy kitten pet pets horse rabbit hamster vet animal husky elkhound shiba died adopted",
    "childcare": "babysit babysits babysitter babysitting nanny daycare childminder kindergarten looks after care",
    "sleep": "sleep sleeps sleeping bed cot crib bassinet bedroom night nap",
    "wake": "wake up get alarm morning early late rise",
    "key": "key keys spare lock locked",
    "code": "code password pin combination padlock lock locker alarm passcode number entry gate",
    "meeting": "meeting standup meet meets session club group evening circle class practice rehearsal lesson training",
    "holiday": "holiday holidays vacation trip travel beach summer abroad hotel cruise",
    "document": "passport visa licence license id card expire expires expiry valid renew renewed",
    "hair": "hair haircut hairdresser barber salon colour color dyed blonde brown",
    "friend": "friend mate buddy pal best",
    "shopping": "shop shopping groceries grocery supermarket market buy store weekly",
    "tax": "tax taxes accountant adviser advisor return",
    "cleaning": "clean cleaner cleaning maid housekeeper",
    "bins": "bin bins rubbish trash garbage waste collected collection recycling",
    "insurance": "insurance insured insurer policy cover",
    "weight": "weigh weighs weight kilos kilo kg pounds lbs heavy",
    "pulse": "heart rate pulse resting blood pressure",
    "laundry": "laundry washing machine",
    "garden": "garden plant plants planted grow potatoes tomatoes seeds water waters greenhouse",
    "baby": "baby born birth due pregnant pregnancy newborn expecting daughter son",
    "taste": "like likes love loves hate hates favourite favorite prefer prefers enjoy adore scared afraid feel feels think thinks opinion stand fond crazy keen",
    "own": "own owns have has got sold bought sell buy still ours",
    "debt": "owe owes owed debt lent lend borrowed borrow paid pay repaid back",
    "neighbour": "neighbour neighbours neighbor neighbors next door number upstairs downstairs across",
    "office": "office offices headquarters desk room floor building located location",
    "staff": "people employees staff team colleagues head company size grown layoffs",
    "lives_with": "live lives share shares sharing flatmate flatmates roommate housemate moved room",
    "language": "language languages speak speaks learning learn spanish french german english italian portuguese turkish japanese chinese",
    "book": "book books read reading novel author club",
    "game": "chess cards bridge bowls game games play plays board",
    "repair": "repair repairs repairs mechanic plumber electrician handyman fix fixes garage service broken",
    "research": "research project lab experiment work working study",
    "position": "position role office function president treasurer secretary chair goalkeeper striker captain member elected",
    "flight": "flight fly flies airline plane airport arrive arrives arrival land",
    "social": "instagram twitter handle account profile username",
    "truck": "truck route run drive haul line bus",
}  # fmt: skip


def _lexicon() -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for topic, words in _WORDS.items():
        for word in words.split():
            found.setdefault(stem(word), set()).add(topic)
            found.setdefault(word, set()).add(topic)
    return {word: frozenset(topics) for word, topics in found.items()}


_LEXICON = _lexicon()


def topics(words: Iterable[str]) -> dict[str, float]:
    """Return the matters that the words belong to, each with how much: a word of many matters counts less for each."""
    found: dict[str, float] = {}
    for word in words:
        named = _LEXICON.get(word)
        if named:
            for topic in named:
                found[topic] = min(1.5, found.get(topic, 0.0) + 1 / len(named))
    return found


def shared(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """Return how much two texts have of one matter: that of the matter which both have most of."""
    return max((min(share, other.get(topic, 0.0)) for topic, share in one.items()), default=0.0)
