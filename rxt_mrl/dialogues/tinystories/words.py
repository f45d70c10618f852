"""Word lists for the rules that find facts in children's stories (:mod:`.story_facts`).

The rules use no language model, so what they know about English is here. A word that is missing costs a fact; a word
in the wrong list costs a wrong question. When in doubt, a word is left out.
"""

from __future__ import annotations


def listed(text: str) -> frozenset[str]:
    """The words of a text as a set."""
    return frozenset(text.split())


ANIMALS = listed(
    """ant alligator ape bat bear beaver bee beetle bird birdie bug bull bunny butterfly calf camel cat caterpillar
    chick chicken chipmunk clam cow crab cricket crocodile crow deer dinosaur dog dolphin donkey dove dragon
    dragonfly duck duckling eagle elephant fish flamingo fox frog giraffe goat goldfish goose gorilla grasshopper
    hamster hawk hedgehog hen hippo horse jaguar jellyfish kangaroo kitten kitty koala ladybug lamb leopard lion
    lizard lobster mole monkey moose mosquito moth mouse mule octopus ostrich otter owl ox panda panther parrot
    peacock pelican penguin pig pigeon piglet pony porcupine pup puppy rabbit raccoon rat raven rhino rhinoceros
    robin rooster salmon seagull seahorse shark sheep shrimp skunk sloth slug snail snake sparrow spider squid
    squirrel starfish stork swan tadpole tiger toad tortoise turkey turtle unicorn walrus wasp weasel whale wolf
    worm zebra"""
)

PEOPLE = listed(
    """artist aunt baby baker boy brother builder captain chef child clown cousin dad daddy dancer daughter dentist
    doctor driver elf fairy farmer father firefighter fireman fisherman friend gardener genie ghost giant girl
    goblin grandfather grandma grandmother grandpa granny hunter kid king knight lady librarian maid mailman man
    mayor mechanic mermaid mom mommy monster mother mum mummy neighbor nurse officer owner painter papa pilot pirate
    policeman postman prince princess queen sailor scientist singer sister soldier son stranger teacher thief uncle
    vet waiter waitress witch wizard woman worker"""
)

KIN = listed("Mom Mommy Mum Mummy Mama Dad Daddy Papa Grandma Grandpa Granny Grandmother Grandfather Mother Father")
"""Relatives who are called by what they are, as if it were a name."""

PLACES = listed(
    """airport attic backyard bakery balcony barn basement bathroom beach bedroom bridge bus cabin café cafe camp
    castle cave church circus city classroom cliff closet clearing clinic corner cottage country desert den dock
    door factory fair farm field forest fountain garage garden gate gym harbor hill hospital hotel house hut island
    jungle kitchen lake library lighthouse mall market meadow mill mountain museum nest ocean office orchard palace
    park path pharmacy playground playroom pond pool porch pub restaurant river road roof room school sea seaside
    shed shop shore sidewalk sky slide stable stadium stage station store stream street supermarket swamp swing tent
    theater theatre tower town tree tunnel valley village volcano waterfall well window woods yard zoo"""
)

COLORS = ("red", "blue", "green", "yellow", "orange", "purple", "pink", "black", "white", "brown", "gray", "golden")

NUMBERS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")

NOT_NAMES = listed(
    """I One Once Then The A An He She It They We You But And So When After Before While As At In On Every Everyone
    Everybody Suddenly Finally Today Tomorrow Yesterday Monday Tuesday Wednesday Thursday Friday Saturday Sunday
    January February March April June July August September October November December Christmas Halloween Easter God
    Mr Mrs Miss Ms Dr Sir Lady King Queen Princess Prince Captain English Spanish America American Africa Mars Earth
    Moon Sun No Yes Oh Wow Ok Okay Hi Hello Her His Their Its My Our This That There These Those What Who Where Why
    How If From To For With Not All Some Both Little Big Old Soon Later Next Now Thank Thanks Please Let Even Just
    Maybe Santa Claus Lego TV Zoo Park Day Night Birthday"""
)
"""Capitalised words that are no character's name."""

ADJECTIVES = listed(
    """able adorable afraid alone amazing ancient angry available awful bad beautiful best better big bitter blue bold
    boring bossy brave bright broken brown busy calm careful charming cheap cheerful clean clear clever cold
    colorful colourful comfortable cool cozy crazy creative cruel curious cute damp dangerous dark dead dear deep
    delicate delicious different difficult dirty dry dull eager early easy elegant empty enormous envious excited
    expensive extra fair famous fancy fantastic fast fat favorite favourite few fierce filthy fine first fit
    flexible fluffy fond foolish fragile fresh friendly full fun funny fuzzy generous gentle giant gifted glad
    gloomy good gorgeous graceful grand gray great greedy green grumpy happy hard harmless healthy heavy helpful
    high honest hot huge hungry icy ill important impressive incredible intelligent interesting jealous jolly joyful
    juicy kind large last late lazy light little lively lonely long lost lot loud lovely low loyal lucky mad magic
    magical many massive mean messy mighty modern modest more most much muddy mysterious nasty naughty near neat
    nervous new next nice noisy normal nosy old only open orange ordinary organized other own pale patient peaceful
    perfect persistent pink playful pleasant plain polite poor popular powerful precious pretty proud purple quick
    quiet rare ready real red reliable remarkable rich right ripe rough round rude sad safe same scared scary second
    secret selfish sensitive serious sharp shiny short shy sick silly silver similar simple slippery slow small
    smart smelly smooth soft solid sorry sour sparkly special spicy spotted square steep sticky strange strong
    stubborn stupid successful sunny sure sweet tall tame tasty terrible thick thin thirsty third thoughtful tidy
    tiny tired tough troubled true ugly uncomfortable unique unknown unusual upset useful useless usual valuable
    various velvet warm weak wealthy weird wet white whole wide wild wise wonderful wooden worried wrong yellow
    young yummy closer bigger smaller"""
)

VAGUE = listed(
    """accident adventure advice answer arm arms attention bath bit bite breath bunch celebration chance choice couple
    courage cry day deal decision dream end example excuse eye eyes face fact favor feeling few fight friend fun
    game glance good group half hand head help hug idea job journey joke kind kiss kinds laugh lesson life look lot
    lots love matter mess minute mistake moment mood morning much name nap news night noise nothing one ones others
    opportunity pair part peek permission piece place plan point problem promise question rest ride rule same secret
    set sip sense shape show side sign smell smile snack something somewhere sound spot step steps story stuff
    surprise swim talk task taste test thing things time times top trick trip trouble turn use view visit voice walk
    way while wish wishes wonder word words work world year years front back middle bottom inside outside sorts sort
    type party hour week month pace race home birthday picnic difference permit team hands feet foot body voices"""
)
"""Heads of objects that make poor answers: events, quantities, and words that say nothing."""

AFTER_NOUN = listed(
    """a about above anymore anyone anybody anything anyway across enough ever even every everybody everyone everything
    instead nobody nothing somebody someone together tonight after again against ago all along alone also always an
    and another any around as at away back because before behind below beside between both but by called carefully
    closely could did down during each everywhere except first for forever forward from full gently had has he her
    here high him his home how i if in inside instead into is it just like made moving named near nearby next no not
    now of off on once one or out outside over past quickly right she so some sometimes soon that the their them
    then there they this through to today together tomorrow too toward towards two under until up very was way we
    were what when where whether which while who whose will with without would yesterday you"""
)
"""Words that cannot belong to a noun phrase, so that they end it."""

AFTER_THINGS = listed(
    """apart away clean close closed deep dry early far fast full hard hers high home late loud low mine ours safe shut
    still straight theirs tight together warm wet wide wrong yours"""
)
"""Words that may follow a thing that something is done to, and are none themselves."""

ING_NOUNS = listed(
    "building ceiling clothing drawing earring evening feeling king lightning morning painting pudding ring shopping "
    "spring string swing thing wing wedding"
)
"""Words in -ing that are nouns."""

LIKING = {"loved": "love", "liked": "like", "enjoyed": "enjoy", "wanted": "want", "hated": "hate", "decided": "decide",
          "tried": "try", "learned": "learn", "started": "start", "began": "begin", "dreamed": "dream"}  # fmt: skip

DULL_ACTIONS = listed(
    """ask be become bring do eat feel find get give go have help keep know look make play put run say see show start
    stay take tell think try use visit walk want"""
)
"""What somebody likes to do, but too common to be worth a question."""

TAKING = listed("find get make take buy use visit help see have eat keep")
"""Of these, the ones that are asked about with their object (``wanted to buy a toy``)."""

_PLAIN_TRAITS = listed(
    """able available best better big bigger close closer different extra favorite favourite few first full glad good
    great bad huge large last late long lost many more most much near new next nice old only open other own ready real
    right same second short small smaller special sure tall third tiny little whole young"""
)

TRAITS = ADJECTIVES - _PLAIN_TRAITS - frozenset(COLORS)
"""Adjectives that tell one thing from another."""

VERBS = {
    "found": "find", "saw": "see", "bought": "buy", "made": "make", "got": "get", "took": "take", "drew": "draw",
    "ate": "eat", "lost": "lose", "built": "build", "caught": "catch", "brought": "bring", "heard": "hear",
    "opened": "open", "wore": "wear", "met": "meet", "dropped": "drop", "baked": "bake", "planted": "plant",
    "painted": "paint", "broke": "break", "grabbed": "grab", "spotted": "spot", "noticed": "notice",
    "discovered": "discover", "chased": "chase", "threw": "throw", "kicked": "kick", "held": "hold", "hid": "hide",
    "fixed": "fix", "had": "have", "wanted": "want", "picked up": "pick up", "picked": "pick", "put on": "put on",
    "climbed": "climb", "rode": "ride", "pushed": "push", "pulled": "pull", "touched": "touch", "carried": "carry",
    "packed": "pack", "cooked": "cook", "watered": "water", "washed": "wash", "cleaned": "clean", "fed": "feed",
    "visited": "visit", "rescued": "rescue", "saved": "save", "thanked": "thank", "hugged": "hug", "helped": "help",
    "loved": "love", "liked": "like", "drank": "drink", "used": "use", "wrote": "write", "read": "read",
    "stole": "steal", "followed": "follow", "cut": "cut", "sold": "sell", "won": "win", "collected": "collect",
    "gathered": "gather", "tasted": "taste", "smelled": "smell", "entered": "enter", "decorated": "decorate",
    "borrowed": "borrow", "received": "receive", "chose": "choose", "counted": "count",
    "needed": "need", "approached": "approach", "dug": "dig", "poured": "pour", "sang": "sing",
}  # fmt: skip
"""Past form -> base, of verbs that take a thing or somebody as their object."""

LOOSE = listed("had wanted needed loved liked used helped thanked saved got")
"""Verbs whose things are never all told: nothing is asked about them."""

FAMILIES = tuple(
    listed(verbs)
    for verbs in (
        "saw noticed spotted heard", "found discovered", "took grabbed picked held carried brought caught stole",
        "bought received borrowed chose collected gathered won", "made built baked cooked drew painted wrote decorated",
        "ate tasted drank fed", "entered visited approached", "broke cut", "dropped lost threw kicked",
    )
)  # fmt: skip
"""Verbs that may be meant by the same question: who took the spoon also grabbed it."""


SPEAKING = listed("said asked replied shouted cried yelled exclaimed answered whispered called screamed begged")

MOVING = {
    "went": "go", "walked": "walk", "ran": "run", "drove": "drive", "came": "come", "hurried": "hurry",
    "travelled": "travel", "traveled": "travel", "flew": "fly", "hiked": "hike", "rushed": "rush", "swam": "swim",
    "hopped": "hop", "moved": "move", "returned": "return", "climbed": "climb", "crawled": "crawl", "rode": "ride",
    "skipped": "skip", "raced": "race", "sailed": "sail", "wandered": "wander", "headed": "head",
}  # fmt: skip
"""Past form -> base, of verbs that say where somebody goes."""
