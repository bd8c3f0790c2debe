"""What Chip knows by heart: capitals, itself, and a few words in four languages; and to say so when it does not know.

Facts are tables, so a test asks known facts in words that training never combined with them. "Modesty" is different:
there the questions of a test hold kinds of question, or names in them, that training never used.
"""
from skills.case import Case, belongs, system, user
from skills.language_tables import COLOUR_THINGS, COLOURS, DAYS, LANGUAGES, MEANINGS, NUMBERS, PHRASES, REPLIES

CAPITALS = dict(pair.split(":") for pair in (
    "Norway:Oslo Sweden:Stockholm Denmark:Copenhagen Finland:Helsinki Iceland:Reykjavik Germany:Berlin France:Paris "
    "Spain:Madrid Portugal:Lisbon Italy:Rome Greece:Athens Austria:Vienna Switzerland:Bern Belgium:Brussels "
    "the_Netherlands:Amsterdam Poland:Warsaw Hungary:Budapest Romania:Bucharest Bulgaria:Sofia Croatia:Zagreb "
    "Serbia:Belgrade Slovenia:Ljubljana Slovakia:Bratislava Ireland:Dublin Estonia:Tallinn Latvia:Riga "
    "Lithuania:Vilnius Ukraine:Kyiv Russia:Moscow Turkey:Ankara Egypt:Cairo Morocco:Rabat Algeria:Algiers "
    "Kenya:Nairobi Ethiopia:Addis_Ababa Ghana:Accra Nigeria:Abuja China:Beijing Japan:Tokyo India:New_Delhi "
    "Nepal:Kathmandu Thailand:Bangkok Vietnam:Hanoi Indonesia:Jakarta Malaysia:Kuala_Lumpur the_Philippines:Manila "
    "South_Korea:Seoul Iran:Tehran Iraq:Baghdad Canada:Ottawa Mexico:Mexico_City Cuba:Havana Peru:Lima "
    "Chile:Santiago Argentina:Buenos_Aires Brazil:Brasilia Colombia:Bogota Australia:Canberra "
    "the_United_Kingdom:London the_United_States:Washington").split())
CAPITALS = {country.replace("_", " "): city.replace("_", " ") for country, city in CAPITALS.items()}
CAPITAL_QUESTIONS = ("What is the capital of {}?", "Capital of {}?", "Which city is the capital of {}?",
                     "Name the capital of {}.", "Tell me the capital of {}.")
COUNTRY_QUESTIONS = ("{} is the capital of which country?", "Which country has the capital {}?",
                     "Of which country is {} the capital?", "{} is the capital of what?")
UNKNOWN_COUNTRIES = (
    "Mongolia Bolivia Paraguay Uruguay Ecuador Venezuela Panama Honduras Jamaica Haiti Senegal Tunisia Mali Niger Chad "
    "Sudan Uganda Rwanda Zambia Malawi Angola Namibia Botswana Armenia Georgia "
    "Atlantis Narnia Zorland Belmora Quindia Fantasia Ostrania Lilliput Varnistan Tulamar Gondor Mordania Pellador "
    "Wakanda Ruritania Sylvania Drakia Elbonia Florin Nordavia Kestoria Mirania Utopia Yallistan Brenovia").split()


def capital_answer(country):
    return f"The capital of {country} is {CAPITALS[country]}."


def capitals(rng, split):
    forward = rng.random() < 0.6
    while True:
        country = rng.choice(list(CAPITALS))
        question = rng.choice(CAPITAL_QUESTIONS if forward else COUNTRY_QUESTIONS)
        if belongs(split, country, question):
            break
    if forward:
        return Case("capitals", [user(question.format(country))], capital_answer(country))
    return Case("capitals", [user(question.format(CAPITALS[country]))], country[0].upper() + country[1:] + ".")


ABOUT_ITSELF = {
    "I am Chip, a small demonstration model of Cleave.": (
        "Who are you?", "What are you?", "What is your name?", "Tell me about yourself.", "Are you Chip?",
        "Which model are you?"),
    "I can do sums, spell words, sort lists, call tools, and read small pictures and sounds.": (
        "What can you do?", "How can you help me?", "What are you good at?", "Help!", "What do you know?"),
    "Hello! I am Chip. How can I help?": ("Hello!", "Hi!", "Hello Chip!", "Hey!", "Good morning!", "Hi there!"),
    "You are welcome.": ("Thank you!", "Thanks!", "Thank you very much.", "Thanks a lot!", "Many thanks."),
    "Goodbye!": ("Bye!", "Goodbye!", "See you!", "Bye bye!", "See you later."),
    "I am fine, thank you.": ("How are you?", "How are you today?", "Are you well?", "How do you do?"),
    "I am very small: about six million numbers.": (
        "Are you a big model?", "How big are you?", "Are you large?", "Are you small?",
        "How many parameters do you have?"),
    "I was made for Cleave, on two processor cores.": (
        "Who made you?", "Where do you come from?", "Who trained you?", "How were you made?"),
    "No. I am a program.": ("Are you a human?", "Are you a person?", "Are you alive?", "Are you real?"),
    "Cleave is a server for Gemma 4 models.": ("What is Cleave?", "What does Cleave do?", "Tell me about Cleave."),
}
MANNERS = (str, lambda question: question.lower().rstrip(".!?"), lambda question: question.rstrip(".!?"))


def about_itself(rng, split):
    while True:
        answer = rng.choice(list(ABOUT_ITSELF))
        question, manner = rng.choice(ABOUT_ITSELF[answer]), rng.randrange(len(MANNERS))
        if belongs(split, question, manner):
            return Case("about itself", [user(MANNERS[manner](question))], answer)


def in_language(rng, language):
    """A tiny question, and its answer in that language."""
    say = LANGUAGES[language].get
    kind = rng.random()
    if kind < 0.4:
        number = rng.randrange(21)
        question = rng.choice((f"Say {number}.", f"Say {NUMBERS[number]}.", f"How do you say {NUMBERS[number]}?"))
        answer = say(NUMBERS[number])
    elif kind < 0.65:
        phrase = rng.choice(PHRASES)
        reply = say(REPLIES[phrase])
        question = phrase[0].upper() + phrase[1:] + ("?" if phrase == "how are you" else "!")
        answer = reply[0].upper() + reply[1:] + "!"
    elif kind < 0.85:
        colour = rng.choice(list(COLOUR_THINGS))
        question = rng.choice((f"What colour is {COLOUR_THINGS[colour]}?", f"Say {colour}."))
        answer = say(colour)
    else:
        day = rng.randrange(7)
        question = rng.choice((f"Say {DAYS[day]}.", f"What day comes after {DAYS[day - 1]}?"))
        answer = say(DAYS[day])
    return question, answer


def languages(rng, split):
    while True:
        language, kind = rng.choice(list(LANGUAGES)), rng.random()
        if kind < 0.45:
            question, answer = in_language(rng, language)
            order = rng.choice(("Answer in {}.", "Answer in {}.", "Speak {}.", "Reply in {}.")).format(language)
            messages = [system(order), user(question)]
        elif kind < 0.5:
            day = rng.randrange(7)
            colour, thing = rng.choice(list(COLOUR_THINGS.items()))
            question, answer = rng.choice(((f"What colour is {thing}?", colour),
                                           (f"What day comes after {DAYS[day - 1]}?", DAYS[day])))
            language, order, messages = "English", "", [user(question)]
        elif kind < 0.8:
            english = rng.choice(rng.choice((NUMBERS, NUMBERS, COLOURS, DAYS, PHRASES)))
            order, answer = "How do you say", LANGUAGES[language][english]
            question = rng.choice(("How do you say {} in {}?", "What is {} in {}?", "Say {} in {}."))
            question = question.format(english, language)
            messages = [user(question)]
        else:
            foreign = rng.choice(list(LANGUAGES[language].values()))
            if foreign not in MEANINGS:
                continue
            language, order, answer = "any", "meaning", MEANINGS[foreign]  # uno is Spanish and Italian
            question = rng.choice(("What does {} mean?", "What is {} in English?", "Translate: {}")).format(foreign)
            messages = [user(question)]
        may = split == "train" if language == "English" else belongs(split, language, order, question)
        if may:
            return Case("languages", messages, answer)


DO_NOT_KNOW = "I do not know that. I am only a small model."
NAMES = ("Hamlet Faust Dracula Ulysses Einstein Newton Mozart Bach Napoleon Caesar Cleopatra Shakespeare Goethe "
         "Picasso Rembrandt Darwin Galileo Columbus Beethoven Plato Homer Dante Tolstoy Kafka Austen Dickens "
         "Lincoln Gandhi Churchill Mandela").split()
PLACES = "Rome Oslo Berlin London Venice Boston Texas Hamburg Lyon Kyoto Dallas Sydney Geneva Leeds Malta".split()
THINGS = ("bread soup pizza rice pasta gold silver coffee tea milk wine cheese steel glass rubber paper salt sugar "
          "energy light gravity magnetism electricity time money music art love fire wind").split()
MODESTY = {tuple(UNKNOWN_COUNTRIES): CAPITAL_QUESTIONS, tuple(NAMES): (
    "Who wrote {}?", "When was {} born?", "When did {} die?", "Where was {} born?", "Who was {}?", "Tell me about {}.",
    "What did {} do?", "Was {} married?", "How old was {}?", "Why is {} famous?", "Quote {}.", "Did {} like music?"),
    tuple(PLACES): (
    "What is the weather in {}?", "What time is it in {}?", "How many people live in {}?", "How do I get to {}?",
    "Who is the mayor of {}?", "What is the best hotel in {}?", "How far is it to {}?", "What can I see in {}?",
    "When was {} founded?", "Is {} near the sea?", "What happened in {} today?", "Which river flows through {}?"),
    tuple(THINGS): (
    "How is {} made?", "What is {} made of?", "Who invented {}?", "Why do we need {}?", "How much does {} cost?",
    "Explain {}.", "What is the history of {}?", "Give me a recipe with {}.", "Write a poem about {}.",
    "Write an essay about {}.", "Tell me a joke about {}.", "What is the price of {}?", "Is {} good for me?",
    "Write a program about {}.", "How does {} work?", "Where does {} come from?", "Why is {} so important?"),
    ("today", "tomorrow", "this week", "next week", "this year", "next year", "last year", "on Monday", "in 1990",
     "in 2050", "in May"): (
    "What is the weather {}?", "What happens {}?", "What is the stock price {}?", "Who wins the match {}?",
    "What is the news {}?", "Will it rain {}?", "Who is the president {}?", "What should I do {}?",
    "What is the date {}?", "Which film is on {}?"),
    ("",): (
    "What is the meaning of life?", "What is the square root of 2?", "Who is the president?",
    "What is quantum physics?", "Is there a god?", "What is your opinion?", "How tall is the highest mountain?",
    "How many stars are there?",
    "Write a program in Python.", "Fix my code.", "Who won the war?", "What is the speed of light?",
    "Why do people dream?", "What is the best car?", "How do I become rich?", "Tell me a story.", "Tell me a joke.",
    "What is a black hole?", "How deep is the ocean?", "What should I eat?"),
}
SYLLABLES = "ba dor lin mar ven tu sol ka ri no pel zan fo gri mu tes ha wil ".split()


def invented_country(rng):
    name = "".join(rng.sample(SYLLABLES, rng.randint(1, 2)))
    return name.capitalize() + rng.choice(("land", "ia", "stan", "ora", "mark", "nia"))


def modesty(rng, split):
    while True:
        slots = rng.choice(list(MODESTY))
        question, slot = rng.choice(MODESTY[slots]), rng.choice(slots)
        if slots[0] == UNKNOWN_COUNTRIES[0]:
            # How to ask for a capital is no news; the country is.
            slot = slot if rng.random() < 0.6 else invented_country(rng)
            known = belongs("train", "country", slot)
        else:
            known = belongs("train", "template", question) and belongs("train", "slot", slot)
        if known == (split == "train"):
            return Case("modesty", [user(question.format(slot))], DO_NOT_KNOW)


THOUGHTS = ((capitals, "The user asks about a capital. I know it by heart."), (about_itself, "The user speaks to me."),
            (languages, "The user asks for a word. I look for it."), (modesty, "I have not learned this."))


def facts_with_thinking(rng, split):
    make, thought = rng.choice(THOUGHTS)
    case = make(rng, split)
    return Case("facts with thinking", case.messages, case.text, thought=thought)


SKILLS = {
    "capitals": (capitals, 3),
    "about itself": (about_itself, 2),
    "languages": (languages, 7),
    "modesty": (modesty, 2.5),
    "facts with thinking": (facts_with_thinking, 1.5),
}
