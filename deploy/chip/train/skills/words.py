"""Working on the text itself: letters of words, order of lists, exact copies.

These words have no pieces of their own in the vocabulary (vocabulary.py), so their letters are those of short pieces that
many words share. Half of what training spells, reverses and writes in capitals are no words at all but the head of one
and the tail of another, so that pieces are learned and not words. A word kept for the test of one skill is trained on
in the others. Letters in an answer stand alone, between hyphens.
"""
from skills.case import Case, belongs, user

WORDS = """
able air alarm april arm army art autumn baby back bag baker ball bank barn basket bath beach bean bear bed bee bell
belt bench berry big bike bird blanket block board boat body bone book boot bottle bowl box boy branch brave bread
bridge bright brush bucket bus butter button cab cabin cake camel camera camp candle cap captain car card carpet
carrot castle cat chain chair chalk cheese cherry chest chicken child city class clay clean clever clock cloth cloud
clown coat coin cold colour comb cook cool copper corn corner cotton cousin cow cream crown cup curtain dance dark day
deep deer desk diamond dinner dish doll donkey door dragon drawer dream dress drink drum dry duck dust eagle ear early
earth east easy egg elbow empty engine evening eye face factory family farm farmer fast father feather fence field
finger fire fish flag floor flour flower fly fog food foot forest fork fox free fresh friend frog fruit full funny
game garlic gate ghost giant girl glad glass glove goat gold good goose grape grass great grey guitar hair hall hammer
hand happy hard hat hay head heavy hen hill home honey hotel house hungry ice ink iron island jacket jam jar jelly job
juice jump jungle key king kitchen kite kitten knee knife ladder lady lake lamb lamp land large lawn lazy leaf leather
leg lemon letter light lion list little long loud love lucky lunch magic map market mat meadow meal melon metal milk
mirror money moon morning mother mouse mouth movie mud nail name neck needle nest new night noise north nose number
nurse oak ocean office oil old olive onion oven owl page paint palace paper park party pasta path peach pear pen
pencil pepper phone piano picture pig pillow pilot pipe pirate planet plant plate pocket poem point pony pool potato
prince pumpkin puppy queen quick quiet radio rain ribbon rice rich river road robin rock rocket roof room rope rose
round ruler sad saddle salad salt sand school sea seat shadow sheep shelf shell ship shirt shoe shop short silver
singer sister sky sleep slow small snail snake snow soap sock soft song soup south spider spoon spring stamp station
stone storm story street strong sugar sun sweet swim table tail tall tea teacher tent thumb ticket time toast tomato
tooth tower town toy train tree truck tunnel turtle uncle valley village violin wagon wall warm wave west whale wheat
wheel white wide wild wind wine wolf wood wool word young zebra
""".split()


INVENTED_SHARE = 0.5  # of the words that training takes apart


def pick(rng, split, skill, invented=0):
    """A word that `split` may use in this skill; in training one of `invented` is none."""
    while True:
        word = rng.choice(WORDS)
        if split == "train" and rng.random() < invented:
            other = rng.choice(WORDS)
            word = word[:rng.randint(1, len(word))] + other[rng.randrange(len(other)):]
            if len(word) > 9 or word in WORDS:
                continue
            return word
        if belongs(split, skill, word):
            return word


def on_one_word(skill, questions, answer):
    def make(rng, split):
        word = pick(rng, split, skill, INVENTED_SHARE)
        return Case(skill, [user(rng.choice(questions).format(word))], answer(word))
    return make


spelling = on_one_word(
    "spelling", ("Spell the word {}.", "Spell {}.", "How do you spell {}?"), "-".join)
reversing = on_one_word(
    "reversing", ("Write {} backwards.", "Spell {} backwards.", "Reverse the word {}."),
    lambda word: "-".join(word[::-1]))


def upper_case(rng, split):
    phrase = " ".join(pick(rng, split, "upper case", INVENTED_SHARE) for _ in range(rng.choice((1, 1, 2))))
    question = rng.choice(("Write {} in capital letters.", "Write {} in upper case.", "Make this upper case: {}"))
    return Case("upper case", [user(question.format(phrase))], phrase.upper())


def sorting(rng, split):
    while True:
        if rng.random() < 0.65:
            items = rng.sample(range(100), rng.randint(3, 5))
            questions = "Sort {}.", "Sort these numbers: {}.", "Put in order: {}."
        else:
            items = rng.sample(WORDS, rng.randint(3, 4))
            questions = "Sort these words: {}.", "Put these words in order: {}."
            if len({word[0] for word in items}) < len(items):
                continue
        if belongs(split, "sorting", *sorted(items)):
            break
    question = rng.choice(questions).format(", ".join(map(str, items)))
    return Case("sorting", [user(question)], ", ".join(map(str, sorted(items))))


def largest_number(rng, split):
    while True:
        numbers = [rng.randrange(10 ** rng.randint(1, 3)) for _ in range(rng.randint(3, 5))]
        if len(set(numbers)) == len(numbers) and belongs(split, "largest", *sorted(numbers)):
            break
    which, choose = rng.choice((("largest", max), ("smallest", min)))
    question = rng.choice(("Which is the {}: {}?", "What is the {} number: {}?", "Find the {} of {}."))
    return Case("largest number", [user(question.format(which, ", ".join(map(str, numbers))))], str(choose(numbers)))


PLACES = {"first": 0, "second": 1, "last": -1}


def first_and_last(rng, split):
    place = rng.choice(list(PLACES))
    if rng.random() < 0.5:
        items = pick(rng, split, "first and last")
        question = rng.choice(("What is the {} letter of {}?", "Tell me the {} letter of {}."))
    else:
        while True:
            words = rng.sample(WORDS, rng.randint(3, 5))
            if belongs(split, "place in list", *words):
                break
        items = words
        question = rng.choice(("What is the {} word: {}?", "Which word is {}: {}?", "Tell me the {} of these: {}."))
    listed = items if isinstance(items, str) else ", ".join(items)
    return Case("first and last", [user(question.format(place, listed))], items[PLACES[place]])


def repeating(rng, split):
    while True:
        if rng.random() < 0.5:
            items = [rng.choice(WORDS) for _ in range(rng.randint(3, 8))]
        else:  # runs of one digit are what is easily miscounted, so digits often stay the same
            items = [str(rng.randrange(10))]
            for _ in range(rng.randint(3, 9)):
                items.append(items[-1] if rng.random() < 0.4 else str(rng.randrange(10)))
        if belongs(split, "repeating", *items):
            break
    phrase = " ".join(items)
    question = rng.choice(("Repeat: {}", "Repeat {}", "Say this again: {}", "Copy this: {}"))
    return Case("repeating", [user(question.format(phrase))], phrase)


SKILLS = {
    "spelling": (spelling, 4),
    "reversing": (reversing, 6),
    "upper case": (upper_case, 5),
    "sorting": (sorting, 4),
    "largest number": (largest_number, 3),
    "first and last": (first_and_last, 2),
    "repeating": (repeating, 2.5),
}
