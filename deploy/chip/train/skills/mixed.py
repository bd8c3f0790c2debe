"""Several media in one message: two pictures are compared, or a sign is held against what is said.

Answers say first what is there and then how it compares, so that comparing is done on words already written, and written
the same way if they are the same.

Test cases are about pairs that training has not seen together; what is kept back for pictures alone is not used here.
"""
from skills import voices
from skills.case import Case, belongs, user
from skills.pictures import COLOURS, SHAPES, large_shape, number, small_shapes, written

SIGN_WORDS = [word for word in voices.WORDS if len(word) <= 7 and belongs("train", "word", word.upper())]


def two_pictures(rng, split):
    about = rng.choice([more_shapes, equal_numbers, larger_number, same_colour])
    questions, first, second, answer = about(rng, split)
    question = rng.choice(questions)
    parts = [first, second, question] if rng.random() < 0.75 else [question, first, second]
    return Case("two pictures", [user(*parts)], answer, media=[first, second])


def more_shapes(rng, split):
    while True:
        looks = [(rng.choice(list(COLOURS)), rng.choice(list(SHAPES))) for _ in range(2)]
        counts = [rng.randint(1, 6), rng.randint(1, 6)]
        if belongs(split, "more shapes", looks, counts):
            break
    first, second = (small_shapes(rng, [look] * count) for look, count in zip(looks, counts))
    verdict = "both have the same"
    if counts[0] != counts[1]:
        verdict = f"the {'first' if counts[0] > counts[1] else 'second'} one has more"
    answer = f"{counts[0]} and {counts[1]}: {verdict}."
    return ["Which picture has more shapes?", "Where are more shapes?"], first, second, answer


def equal_numbers(rng, split):
    while True:
        first, second = two_numbers(rng)
        if rng.random() < 0.5:
            second = first
        if belongs(split, "equal numbers", first, second):
            break
    answer = f"{first} and {second}: {yes_or_no(first == second)}."
    questions = ["Are the two numbers equal?", "Do the signs say the same number?"]
    return questions, written(rng, first, split), written(rng, second, split), answer


def larger_number(rng, split):
    while True:
        first, second = two_numbers(rng)
        if first != second and belongs(split, "larger number", first, second):
            break
    answer = f"{first} and {second}: the {'first' if int(first) > int(second) else 'second'} one."
    return ["Which number is larger?", "Which number is greater?"], written(rng, first, split), \
        written(rng, second, split), answer


def yes_or_no(true):
    return "yes" if true else "no"


def two_numbers(rng):
    return known_number(rng, [1, 2, 2]), known_number(rng, [1, 2, 2])


def known_number(rng, lengths):
    """None of those that are kept for the tests of numbers alone, of one of the lengths."""
    while True:
        text = number(rng, rng.choice(lengths))
        if len(text) == 1 or belongs("train", "number", text):
            return text


def same_colour(rng, split):
    while True:
        first, second = rng.choice(list(COLOURS)), rng.choice(list(COLOURS))
        if rng.random() < 0.4:
            second = first
        kinds = rng.choice(list(SHAPES)), rng.choice(list(SHAPES))
        if belongs(split, "same colour", first, second, kinds):
            break
    answer = f"First {first}, second {second}: {yes_or_no(first == second)}."
    questions = ["Do the shapes have the same colour?", "Are the colours the same?"]
    return questions, large_shape(rng, first, kinds[0]), large_shape(rng, second, kinds[1]), answer


def picture_and_sound(rng, split):
    questions, text, word, answer = rng.choice([digit_on_sign, sign_and_voice, word_on_sign])(rng, split)
    media = [written(rng, text, split, sign=rng.random() < 0.5), voices.speak(rng, [word], split)]
    rng.shuffle(media)
    question = rng.choice(questions)
    parts = [*media, question] if rng.random() < 0.75 else [question, *media]
    return Case("picture and sound", [user(*parts)], answer, media=media)


def digit_on_sign(rng, split):
    while True:
        text = known_number(rng, [2, 3, 4])
        digit = rng.choice(text) if rng.random() < 0.5 else rng.choice(list(voices.DIGITS))
        if belongs(split, "digit on sign", text, digit):
            break
    answer = f"The sign says {text}, the voice says {digit}: {yes_or_no(digit in text)}."
    return ["Is the spoken digit in the picture?", "Is the digit you hear on the sign?"], text, digit, answer


def sign_and_voice(rng, split):
    while True:
        text = known_number(rng, [1, 2, 3, 4]) if rng.random() < 0.6 else rng.choice(SIGN_WORDS).upper()
        word = rng.choice(voices.WORDS if rng.random() < 0.7 else list(voices.DIGITS))
        if belongs(split, "sign and voice", text, word):
            break
    questions = ["What is on the sign and what is said?", "What do you see and what do you hear?"]
    return questions, text, word, f"The sign says {text}, the voice says {word}."


def word_on_sign(rng, split):
    while True:
        text, word = rng.choice(SIGN_WORDS), rng.choice(voices.WORDS)
        if rng.random() < 0.5:
            word = text
        if text == word or belongs(split, "word on sign", text, word):
            break
    answer = f"The sign says {text}, the voice says {word}: {yes_or_no(text == word)}."
    return ["Is the word on the sign also said?", "Are the sign and the voice the same?"], text.upper(), word, answer


SKILLS = {
    "two pictures": (two_pictures, 1),
    "picture and sound": (picture_and_sound, 1),
}
