"""Conversations of several turns: what the user told about himself, and questions that lean on the one before.

What is remembered is the newest value of each fact. Other questions may stand between telling and asking; they are
taken from the other skills, with right answers. A test tells facts in combinations that training never told.
"""
from skills import arithmetic, knowledge, words
from skills.case import Case, belongs, model, user
from skills.language_tables import COLOURS, LANGUAGES, NUMBERS

NAMES = ("Anna Ben Clara David Emma Felix Grace Henry Ida Jack Kate Leo Maria Noah Olga Paul Rosa Sam Tina Uma Victor "
         "Wendy Yusuf Zoe Alice Bob Carl Dora Erik Fiona George Hanna Ivan Julia Karl Laura Max Nina Oscar Peter Rita "
         "Simon Tom Ursula Vera Walter Lena Mark Ella Adam").split()
PETS = "dog cat horse rabbit bird fish turtle snake pony hen duck goat mouse frog".split()
TOWNS = list(knowledge.CAPITALS.values())
# Kind of fact: how it is told, how a newer value is told, how it is asked for, and the answer.
FACTS = {
    "name": (("My name is {}.", "I am {}.", "Call me {}."), "My name is now {}.",
             ("What is my name?", "Who am I?", "Tell me my name."), "Your name is {}."),
    "colour": (("My favourite colour is {}.", "I like the colour {}."), "My favourite colour is now {}.",
               ("What is my favourite colour?", "Which colour do I like?"), "Your favourite colour is {}."),
    "pet": (("I have a {}.", "My pet is a {}."), "I now have a {}.",
            ("What pet do I have?", "Which pet do I have?", "What is my pet?"), "You have a {}."),
    "town": (("I live in {}.", "My home is in {}."), "I now live in {}.",
             ("Where do I live?", "In which town do I live?"), "You live in {}."),
    "code": (("My code is {}.", "Remember the code {}.", "The code is {}."), "My code is now {}.",
             ("What is my code?", "What is the code?", "Tell me the code."), "Your code is {}."),
}
NOT_TOLD = "You have not told me that."
BETWEEN = (arithmetic.small_sum, arithmetic.small_difference, knowledge.capitals, words.upper_case, words.spelling,
           words.largest_number, words.first_and_last)


def a_value(rng, kind):
    if kind == "code":
        return "".join(rng.choice("0123456789") for _ in range(rng.choice((3, 4))))
    return rng.choice({"name": NAMES, "colour": COLOURS, "pet": PETS, "town": TOWNS}[kind])


def other_turns(rng, split, count):
    turns = []
    for _ in range(count):
        case = rng.choice(BETWEEN)(rng, split)
        turns += [case.messages[-1], model(case.text)]
    return turns


def acknowledgement(told):
    """To one message that tells facts of these kinds and values."""
    return next((f"Nice to meet you, {value}." for kind, value in told if kind == "name"), "I will remember that.")


def memory(rng, split):
    while True:
        kinds = rng.sample(list(FACTS), rng.choice((1, 1, 2, 2, 3, 4)))
        facts = {kind: a_value(rng, kind) for kind in kinds}
        if belongs(split, "memory", sorted(facts.items())):
            break
    told = []  # a list of (kind, value, sentence) to a message
    for kind, value in facts.items():
        fact = kind, value, rng.choice(FACTS[kind][0]).format(value)
        if told and len(told[-1]) < 2 and rng.random() < 0.3:
            told[-1].append(fact)
        else:
            told.append([fact])
    if rng.random() < 0.25:
        kind = rng.choice(kinds)
        old = a_value(rng, kind)
        if old != facts[kind]:
            updated = next(turn for turn in told if any(fact[0] == kind for fact in turn))
            updated[:] = [(k, old, rng.choice(FACTS[k][0]).format(old)) if k == kind else (k, v, s)
                          for k, v, s in updated]
            told.append([(kind, facts[kind], FACTS[kind][1].format(facts[kind]))])
    texts = [" ".join(sentence for _, _, sentence in turn) for turn in told]
    acknowledgements = [acknowledgement([fact[:2] for fact in turn]) for turn in told]
    way = rng.random()
    if way < 0.1:  # the last thing told is to be acknowledged
        gaps = [rng.choice((0, 0, 1, 2)) for _ in texts]
    elif way < 0.2:
        gaps = [rng.randint(10, 14)] + [rng.randint(0, 2) for _ in texts[1:]]
    else:
        gaps = [rng.choice((0, 0, 0, 1, 2, 3)) for _ in texts]
    messages = []
    for i, text in enumerate(texts):
        if way < 0.1:
            messages += other_turns(rng, split, gaps[i])
        messages += [user(text), model(acknowledgements[i])]
        if way >= 0.1:
            messages += other_turns(rng, split, gaps[i])
    if way < 0.1:
        return Case("memory", messages[:-1], acknowledgements[-1])
    asked = rng.choice(kinds if rng.random() < 0.9 else [kind for kind in FACTS if kind not in kinds])
    _, _, questions, answer = FACTS[asked]
    answer = answer.format(facts[asked]) if asked in facts else NOT_TOLD
    question = rng.choice(questions)
    if len(texts) == 1 and way > 0.9:  # all in one message
        return Case("memory", [user(f"{texts[0]} {question}")], answer)
    return Case("memory", messages + [user(question)], answer)


def next_sum(rng):
    a, b, c = rng.randint(0, 20), rng.randint(0, 10), rng.randint(0, 9)
    sign, word = ("+", "plus") if rng.random() < 0.5 or c > a + b else ("-", "minus")
    first = rng.choice(arithmetic.SUM_QUESTIONS).format(a, b)
    return first, arithmetic.restated(a, b, "+"), f"And {word} {c}?", arithmetic.restated(a + b, c, sign)


def next_capital(rng):
    one, two = rng.sample(list(knowledge.CAPITALS), 2)
    first = rng.choice(knowledge.CAPITAL_QUESTIONS).format(one)
    question = rng.choice(("And the capital of {}?", "And of {}?", "And {}?")).format(two)
    return first, knowledge.capital_answer(one), question, knowledge.capital_answer(two)


def next_language(rng):
    english, other = rng.sample(NUMBERS + COLOURS, 2)
    language, another = rng.sample(list(LANGUAGES), 2)
    first = rng.choice(("How do you say {} in {}?", "What is {} in {}?", "Say {} in {}.")).format(english, language)
    if rng.random() < 0.6:
        return first, LANGUAGES[language][english], f"And in {another}?", LANGUAGES[another][english]
    return first, LANGUAGES[language][english], f"And {other}?", LANGUAGES[language][other]


def next_spelling(rng):
    word = rng.choice(words.WORDS)
    if rng.random() < 0.5:
        return rng.choice(("Spell the word {}.", "Spell {}.")).format(word), "-".join(word), "And backwards?", \
            "-".join(word[::-1])
    other = rng.choice(words.WORDS)
    return f"Spell {word}.", "-".join(word), f"And {other}?", "-".join(other)


def follow_up(rng, split):
    while True:
        first, answer, question, next_answer = rng.choice((next_sum, next_capital, next_language, next_spelling))(rng)
        if belongs(split, "follow-up", first, question):
            break
    before = other_turns(rng, split, rng.choice((0, 0, 0, 1, 2)))
    return Case("follow-up", before + [user(first), model(answer), user(question)], next_answer)


SKILLS = {
    "memory": (memory, 5),
    "follow-up": (follow_up, 4),
}
