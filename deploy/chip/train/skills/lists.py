"""Long and strictly formed answers: counting, well-known rows, the same word many times, and JSON.

A test counts between other numbers and writes JSON about other values than training did.
"""
import json

from skills import arithmetic, knowledge, words
from skills.case import Case, belongs, system, user
from skills.language_tables import COLOURS, DAYS
from skills.memory import NAMES, PETS, TOWNS

MONTHS = ("January February March April May June July August September October November December").split()
STEPS = {2: "twos", 5: "fives", 10: "tens"}


def row(start, count, step=1):
    return [start + step * i for i in range(count)]


def comma(items):
    return ", ".join(map(str, items))


def counting(rng, split):
    while True:
        step = rng.choice((1, 1, 1, 1, -1, -1, 2, 5, 10))
        count = rng.randint(4, 12 if step == 10 else 20 if step == 5 else 30)
        start = rng.randint(0, 120 - (count - 1) * abs(step))
        numbers = row(start, count, abs(step))[::1 if step > 0 else -1]
        if belongs(split, "counting", numbers[0], numbers[-1], step):
            break
    if step == 1:
        question = rng.choice(("Count from {} to {}.", "Count from {} up to {}.", "Write the numbers from {} to {}."))
    elif step == -1:
        question = rng.choice(("Count down from {} to {}.", "Count backwards from {} to {}."))
    else:
        question = f"Count from {{}} to {{}} by {STEPS[step]}."
    return Case("counting", [user(question.format(numbers[0], numbers[-1]))], comma(numbers))


def alphabet(rng):
    start = rng.randrange(22)
    question = rng.choice(("Say the alphabet from {}.", "List the letters from {}.", "Write the alphabet from {}."))
    return question.format(chr(97 + start)), comma(chr(97 + i) for i in range(start, 26))


def months_or_days(rng):
    kind, names = rng.choice((("months", MONTHS), ("months", MONTHS), ("days of the week", DAYS)))
    start = rng.randrange(len(names) - 1)
    question = rng.choice(("List the {} from {}.", "Name the {} from {}.", "Write the {} from {}."))
    return question.format(kind, names[start]), comma(names[start:])


def one_per_line(rng):
    start, count = rng.choice((1, 1, rng.randint(0, 90))), rng.randint(15, 30)
    question = rng.choice(("List the numbers from {} to {}, one per line.", "Count from {} to {}, one per line."))
    return question.format(start, start + count - 1), "\n".join(map(str, row(start, count)))


def numbered(items):
    """So that the number of items need not be felt, nor looked up behind the window when the list gets long."""
    return "\n".join(f"{i}/{len(items)}: {item}" for i, item in enumerate(items, 1))


def even_or_odd(rng):
    start, count = rng.randint(0, 60), rng.randint(15, 30)
    question = f"List {count} {'odd' if start % 2 else 'even'} numbers from {start}."
    return question, numbered(row(start, count, 2))


def many_times(rng):
    word, count = rng.choice(words.WORDS), rng.randint(15, 30)
    question = rng.choice(("Write the word {} {} times.", "Say {} {} times."))
    return question.format(word, count), numbered([word] * count)


def long_lists(rng, split):
    while True:
        question, answer = rng.choice((alphabet, months_or_days, one_per_line, even_or_odd, many_times))(rng)
        if belongs(split, "long lists", question):
            return Case("long lists", [user(question)], answer)


def person(rng):
    name, age, city = rng.choice(NAMES), rng.randint(1, 99), rng.choice(TOWNS)
    kind = rng.randrange(3)
    if kind == 0:
        return f"{name} is {age} years old.", {"name": name, "age": age}
    if kind == 1:
        return f"{name} is {age} years old and lives in {city}.", {"name": name, "age": age, "city": city}
    pet, pet_age = rng.choice(PETS), rng.randint(1, 20)
    return f"{name} has a {pet}, {pet_age} years old.", {"name": name, "pet": {"kind": pet, "age": pet_age}}


def product(rng):
    thing, price, sold_out = rng.choice(words.WORDS), rng.randint(1, 999), rng.random() < 0.5
    state = "sold out" if sold_out else "in stock"
    return (f"The {thing} costs {price} euros and is {state}.",
            {"product": thing, "price": price, "in_stock": not sold_out})


def meeting(rng):
    day, hour = rng.choice(DAYS), rng.randint(8, 18)
    record = {"day": day, "hour": hour}
    if rng.random() < 0.5:
        return f"The meeting is on {day} at {hour}.", {"meeting": record}
    name = rng.choice(NAMES)
    return f"The meeting with {name} is on {day} at {hour}.", {"meeting": {"with": name} | record}


def animal(rng):
    kind, legs, colour, tame = rng.choice(PETS), rng.choice((2, 4, 6, 8)), rng.choice(COLOURS), rng.random() < 0.5
    return (f"The {kind} is {colour}, has {legs} legs and is {'tame' if tame else 'wild'}.",
            {"animal": kind, "colour": colour, "legs": legs, "tame": tame})


def book(rng):
    title, pages, read = rng.choice(words.WORDS).capitalize(), rng.randint(20, 999), rng.random() < 0.5
    return (f"The book {title} has {pages} pages and is {'read' if read else 'new'}.",
            {"title": title, "pages": pages, "read": read})


def array(rng):
    count = rng.randint(2, 5)
    items = rng.sample(range(100), count) if rng.random() < 0.5 else rng.sample(words.WORDS, count)
    what = "numbers" if isinstance(items[0], int) else "words"
    return f"The {what} {comma(items[:-1])} and {items[-1]}.", items


def small_question(rng, split):
    make = rng.choice((arithmetic.small_sum, arithmetic.small_difference, words.largest_number, words.first_and_last,
                       knowledge.capitals))
    case = make(rng, split)
    text = case.text
    if make is knowledge.capitals:  # the bare name
        text = text.split(" is ")[-1].rstrip(".")
    if " = " in text:
        calculation, text = text.split(" = ")
        return case.messages[0]["content"], {"calculation": calculation, "answer": int(text)}
    return case.messages[0]["content"], {"answer": int(text) if text.isdigit() else text}


def json_answers(rng, split):
    if rng.random() < 0.3:
        content, value = small_question(rng, split)
        asked_by_system = True
    else:
        while True:
            content, value = rng.choice((person, person, product, meeting, animal, book, array))(rng)
            if belongs(split, "JSON", content):
                break
        asked_by_system = rng.random() < 0.3
    if asked_by_system:
        messages = [system(rng.choice(("Answer in JSON.", "Reply in JSON.", "Always answer in JSON."))), user(content)]
    else:
        messages = [user(rng.choice(("Reply in JSON: {}", "Write as JSON: {}", "As JSON: {}")).format(content))]
    return Case("JSON", messages, json.dumps(value))


SKILLS = {
    "counting": (counting, 3),
    "long lists": (long_lists, 3),
    "JSON": (json_answers, 6),
}
