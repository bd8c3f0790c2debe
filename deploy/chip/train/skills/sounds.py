"""Listening: one spoken digit, several in a row, one spoken word.

Digits are answered as digits, words as they are written in voices.WORDS. The words of a sound are the same in training
and in tests, spoken otherwise; rows of digits differ.
"""
from skills.case import Case, belongs, user
from skills.voices import DIGITS, WORDS, speak

OPEN_QUESTIONS = ["What is said?", "What do you hear?"]  # for every kind of sound
DIGIT_QUESTIONS = [*OPEN_QUESTIONS, "Which digit do you hear?", "Which digit is said?", "Write down the digit."]
ROW_QUESTIONS = [*OPEN_QUESTIONS, "Write down the digits.", "Which digits do you hear?", "Which digits are said?"]
WORD_QUESTIONS = [*OPEN_QUESTIONS, "Which word do you hear?", "Which word is said?", "Write down the word."]


def heard(rng, skill, questions, words, split):
    sound = speak(rng, words, split)
    parts = [rng.choice(questions), sound]
    rng.shuffle(parts)
    return Case(skill, [user(*parts)], " ".join(words), media=[sound])


def spoken_digit(rng, split):
    return heard(rng, "spoken digit", DIGIT_QUESTIONS, [rng.choice(list(DIGITS))], split)


def spoken_row(rng, split):
    while True:
        row = rng.choices(list(DIGITS), k=rng.randint(2, 5))
        if belongs(split, "spoken row", *row):
            return heard(rng, "spoken digits in a row", ROW_QUESTIONS, row, split)


def spoken_word(rng, split):
    return heard(rng, "spoken word", WORD_QUESTIONS, [rng.choice(WORDS)], split)


SKILLS = {
    "spoken digit": (spoken_digit, 1),
    "spoken digits in a row": (spoken_row, 3),
    "spoken word": (spoken_word, 3),
}
