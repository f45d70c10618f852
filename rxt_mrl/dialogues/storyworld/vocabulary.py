"""The words of the storyworld: families of values that slots draw from, and roles for the characters.

Within a family the order matters: a slot draws from a window of it, and two slots of one family (what was eaten and
what was liked best) have windows that start at different words. No word stands in two families, so that a value in
a text always means the same thing, and names fit any character; ``tests/dialogues/test_storyworld_vocabulary.py``
keeps it so.
"""

# ruff: noqa: SIM905 - word lists read better as lines of words
from __future__ import annotations

ROLES: tuple[str, ...] = tuple(
    "boy girl king queen giant fairy witch wizard pirate knight elf dwarf clown captain prince princess man woman "
    "grandma grandpa uncle cousin neighbour stranger".split()
)
"""Who a story is about. A role names a character in questions, so that the name can be asked for."""

NUMBERS: dict[str, int] = {
    word: number
    for number, word in enumerate(
        "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
        "eighteen nineteen twenty".split(),
        start=2,
    )
} | {"thirty": 30, "forty": 40, "fifty": 50}
"""Number words and what they mean; "one" is left out, because it is also a word of other sentences."""

FAMILIES: dict[str, tuple[str, ...]] = {
    "people": tuple(
        "Sam Kim Alex Robin Pat Charlie Jamie Lee Kai Toni Jody Drew Quinn Reese Billie Frankie Jesse Morgan Riley "
        "Rowan Blake Dana Devon Eden Finley Jordan Casey Taylor Avery Harper Parker Skyler Emery Marley Andy Nicky "
        "Mika Remy Jules Ari".split()
    ),
    "pet_names": tuple(
        "Rex Scout Fluffy Buddy Coco Bella Milo Luna Rusty Patch Toby Bingo Pip Tinker Nibbles Whiskers Shadow Ziggy "
        "Bolt Rocky Pepper Bruno Felix Dusty Fudge Bubbles Sparky Lucky Biscuit Tiger".split()
    ),
    "animals": tuple(
        "dog cat rabbit duck frog horse pig goat sheep mouse parrot turtle fox bear hen pony donkey squirrel hamster "
        "lizard goose swan beaver badger monkey panda camel zebra snail crab deer wolf penguin seal mole raven "
        "peacock kitten puppy toad".split()
    ),
    "things": tuple(
        "kite ball doll robot puzzle puppet hoop rope whistle balloon rattle racket sword mask crayon book lantern "
        "bucket marble shovel key box bell clock lamp mirror button ring feather shell stone coin map ribbon basket "
        "spoon candle bottle crown letter".split()
    ),
    "colors": tuple(
        "red blue green yellow pink purple brown black white grey golden silver orange violet tan teal scarlet lilac "
        "maroon navy beige coral turquoise indigo crimson lavender bronze copper amber magenta ivory khaki".split()
    ),
    "places": tuple(
        "beach forest park lake river hill farm garden school market castle cave bridge zoo library island meadow "
        "village harbour barn mountain desert church tower valley field pond station museum bakery playground canyon "
        "waterfall palace mill swamp orchard lighthouse jungle stable".split()
    ),
    "foods": tuple(
        "soup bread rice cheese honey cake pasta salad jam pie corn eggs pancakes plums pears grapes nuts beans "
        "cookies carrots butter peas apples cherries noodles porridge toast pudding melons bananas lemons peaches "
        "muffins waffles berries dumplings popcorn tomatoes potatoes sausages".split()
    ),
    "feelings": tuple(
        "happy sad proud angry tired shy brave calm sleepy hungry lonely scared silly excited worried surprised "
        "cheerful curious bored grumpy nervous glad jealous sorry thirsty dizzy peaceful hopeful playful restless "
        "grateful confused".split()
    ),
    "weather": tuple(
        "sunny windy rainy cloudy foggy snowy stormy icy hot cold warm cool dry wet misty frosty dark bright breezy "
        "chilly humid hazy damp mild freezing gloomy thundery muggy drizzly clear".split()
    ),
    "jobs": tuple(
        "pilot baker farmer doctor nurse teacher painter singer dancer sailor driver cook builder gardener writer "
        "tailor hunter shepherd dentist judge soldier diver plumber barber butcher potter poet miner jockey carpenter "
        "magician lawyer".split()
    ),
    "vehicles": tuple(
        "bus train boat bike car truck van plane sled wagon tram taxi ferry scooter canoe raft tractor ship jeep cart "
        "rocket helicopter submarine tricycle carriage kayak skateboard motorbike gondola trolley".split()
    ),
    "clothes": tuple(
        "hat scarf coat cap dress shirt sweater cloak belt vest jacket skirt apron tie bonnet shawl jumper robe hood "
        "cape helmet blouse tunic raincoat costume necklace bracelet uniform poncho sash".split()
    ),
    "plants": tuple(
        "tulip daisy poppy sunflower pine cactus fern willow maple palm birch clover lotus orchid thistle bluebell "
        "cedar spruce vine hedge dandelion lupin peony snowdrop nettle primrose buttercup magnolia hazel bamboo".split()
    ),
    "instruments": tuple(
        "drum flute piano harp violin guitar trumpet banjo horn tuba cello fiddle organ bugle gong lute bagpipe "
        "trombone clarinet ukulele oboe tambourine harmonica recorder viola zither triangle keyboard bassoon "
        "saxophone".split()
    ),
    "numbers": tuple(NUMBERS),
}
"""Values by family; at least 30 each, but for the numbers."""

FILLERS: tuple[str, ...] = (
    "The birds sang a little song.",
    "It was a long and lovely afternoon.",
    "Everybody clapped and laughed.",
    "Nobody knew what would happen next.",
    "The wind told old secrets.",
    "A lot of time went by.",
    "Somebody was humming far away.",
    "The stars came out at night.",
    "There was much to do that week.",
    "Then it was quiet again.",
    "Nothing else happened that morning.",
    "That was a big adventure.",
)
"""Sentences that tell nothing that is ever asked."""


def article(word: str) -> str:
    """``a`` or ``an``, by the first letter (no value has a silent h or a spoken y at its start, "uniform" and
    "ukulele" apart, which take ``a``).
    """
    return "an" if word[0] in "aeiou" and word not in {"uniform", "ukulele"} else "a"


def with_article(form: str, word: str) -> str:
    """A word behind the article of a form: ``""``, ``"a"`` (``an`` where it is due) or ``"the"``."""
    if form == "a":
        return f"{article(word)} {word}"
    return f"the {word}" if form else word
