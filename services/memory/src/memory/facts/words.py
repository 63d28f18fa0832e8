"""Words that names are told by: what is never a name, what a sentence may begin with, and what gives a kind away."""

from __future__ import annotations

# Never a name, wherever it stands: the speaker, the calendar, and what is written in capitals by habit.
NEVER = frozenset(
    """
    i i'm i'll i've i'd ok okay tv pc usb wifi wi-fi id dvd cd ai faq asap lol omg btw imo fyi diy rsvp url http
    https www pdf json html sms pin atm gps vip ps etc eur usd gbp kg km cm mm ml gb mb tb ghz english german french
    spanish italian portuguese dutch swedish danish norwegian finnish polish russian chinese japanese korean arabic
    hebrew turkish greek american british european asian african indian mexican thai vietnamese irish scottish
    brazilian canadian australian swiss austrian belgian am apr april aug august dec december feb february fri
    friday jan january jul july jun june mar march may mon monday nov november oct october pm sat saturday sep sept
    september sun sunday thu thursday today tomorrow tonight tue tuesday wed wednesday yesterday ceo cto cfo coo hr
    phd
    """.split()
)
# What a sentence begins with although it is no name.
COMMON = frozenset(
    """
    a an the this that these those there here it its it's he she we they you your yours my mine our ours his her
    hers their theirs him them us me who whom whose which what when where why how whether if then than so but and or
    nor yet for from to of in on at by with without within about above across after against along among around as
    before behind below beside besides between beyond down during except inside into like near off onto out outside
    over past per since through throughout till toward towards under until unless up upon via while although though
    because despite is are was were be been being am do does did doing done have has had having can could may might
    must shall should will would not no none yes yeah yep nope nah hey hi hello hiya howdy thanks thank please sorry
    sure okay well oh ah wow aww ugh hmm huh haha great good nice cool awesome amazing wonderful lovely fantastic
    perfect congrats congratulations cheers welcome bye goodbye glad happy sad excited love loved loves hope hoping
    wish looking look looks sounds sound seems seem feels feel felt think thinking thought know knew remember remind
    remembering forgot forget say says said tell told ask asked let lets let's get gets got getting give gives gave
    go goes going went come comes came take takes took make makes made keep keeps kept put puts see saw seen try
    tried trying use used using want wants wanted need needs needed buy bought call called meet met meeting find
    found finding start started stop stopped work works worked working play played read reading write wrote watch
    watched watching eat ate drink drank cook cooked run ran walk walked swim swam drive drove fly flew live lives
    lived living move moved moving stay stayed visit visited visiting leave left bring brought every everyone
    everybody everything each all any anyone anybody anything some someone somebody something nothing nobody many
    much more most few several other another both either neither one two three four five six seven eight nine ten
    first second third last next new old big small long short high low early late later soon now again also always
    never often sometimes usually maybe perhaps probably actually really just only even still already almost too
    very quite rather especially finally recently lately currently once twice ago back away together instead anyway
    however therefore meanwhile otherwise additionally honestly hopefully unfortunately luckily apparently basically
    definitely absolutely totally exactly certainly clearly obviously birthday dinner lunch breakfast morning
    evening afternoon night weekend week month year day time date note notes reminder todo list plan plans idea
    ideas question answer email phone number password address house home car dog cat kids children family friends
    friend mum mom dad mother father sister brother son daughter wife husband partner boss team doctor dentist
    school office flight train bus ticket tickets hotel favourite favorite someday rent bills budget total price
    cost order delivery package appointment deadline project milk bread eggs coffee tea water wine beer pizza
    chocolate vegan vegetarian gluten peanuts allergic don't doesn't didn't can't couldn't won't wouldn't isn't
    aren't wasn't weren't haven't hasn't hadn't shouldn't that's what's where's who's how's there's here's he's
    she's they're we're you're we've they've you've i'd we'd they'd we'll speaking talking driving running playing
    making taking wait dear attention warning error spring summer autumn fall winter no-one same such own half whole
    part kind type thing things stuff lot lots bit place places people person man woman men women guy guys boy girl
    baby life world music movie movies film book books game games song sunday's monday's painting traffic camping
    hiking cooking
    """.split()
)
TITLES = frozenset(
    """
    mr mrs ms miss dr prof professor sir aunt auntie uncle grandma grandpa granny nana coach chef captain herr frau
    fräulein senhor senhora dona señor señora doña mme madame monsieur signor signora saint
    """.split()
)
RELATIONS = frozenset(
    """
    sister brother mother father mom mum dad wife husband partner girlfriend boyfriend fiancé fiancée fiance fiancee
    son daughter child baby cousin aunt uncle niece nephew grandma grandmother grandpa grandfather friend bestie
    buddy colleague coworker boss manager neighbour neighbor roommate flatmate housemate teacher tutor doctor
    dentist therapist trainer coach dog cat puppy kitten pet horse rabbit parrot hamster married mate
    """.split()
)
# What persons do: the name before such a word is a person's.
PERSON_VERBS = frozenset(
    """
    said says told tells asked asks thinks thought wants wanted loves loved likes liked hates prefers calls lives
    lived works worked studies moved married visited bought gave sent wrote plays teaches taught speaks invited
    helped promised recommended suggested mentioned joined cooks cooked drives
    """.split()
)
PLACE_WORDS = frozenset(
    """
    street st road avenue ave lane square plaza park lake river mountain mountains beach island islands bay valley
    forest bridge airport station harbor harbour castle tower garden gardens trail falls canyon county city town
    village district coast desert hills hill ocean sea straße strasse platz weg allee rua avenida praça plaça piazza
    via
    """.split()
)
ORGANISATION_WORDS = frozenset(
    """
    inc inc. ltd gmbh llc corp corporation company co ag foundation institute university college school academy
    hospital clinic bank church club team association agency office department ministry museum library theatre
    theater gallery restaurant café cafe bistro bakery bar pub hotel hostel airlines airways studio studios labs lab
    systems software technologies group partners shelter center centre gym orchestra band fm radio times colégio
    escola escuela schule gymnasium universität universidade clinica clínica klinik krankenhaus cross council bund
    verein e.v ev insurance versicherung
    """.split()
)
EVENT_WORDS = frozenset(
    """
    festival conference marathon wedding concert summit parade cup olympics championship tournament fair expo gala
    christmas easter halloween thanksgiving hanukkah ramadan diwali carnival oktoberfest reunion convention workshop
    awards election day eve
    """.split()
)
FIRST_OF_PLACES = frozenset(
    """
    lake mount mt port cape rua avenida praça plaça plaza piazza via calle serra lago monte quinta ilha isla san santa são
    saint rio
    """.split()
)
FIRST_OF_ORGANISATIONS = frozenset(
    """
    university universität universidade universidad bank colégio escola escuela schule clinica clínica klinik hospital café
    restaurante taberna museum museu museo hotel
    """.split()
)
# What a person may be greeted or thanked by: the name after it is a person's.
GREETINGS = frozenset(
    """
    hey hi hello hiya dear thanks congrats congratulations sorry bye goodbye cheers wow welcome yes yeah no sure ok okay
    aww oh ask call called tell told met meet helped with and by for husband wife
    """.split()
)
# What one does on the way to a place, or back from it.
MOTIONS = frozenset(
    """
    fly flying flew flight go goes going went drive driving drove travel travelled traveled train move moved moving come
    comes came back trip bus ferry relocate relocated commute
    """.split()
)
