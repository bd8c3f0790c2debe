"""Adding and subtracting.

Small numbers are answered at once, with the question restated ("7 + 8 = 15"), so that the digits stand at a fixed distance
whatever the question's words; one pair of numbers in ten is kept for the test. With thinking on, numbers of up to three digits are worked out in columns. The thought has always the same
shape, so that each digit in it is either copied from a fixed distance or looked up from the digits beside it:

    347 + 586                      352 - 087
    ones: 7 + 6 + 0 = 13           ones: 2 - 7 - 0 = 5, borrow 1
    tens: 4 + 8 + 1 = 13           tens: 5 - 8 - 1 = 6, borrow 1
    hundreds: 3 + 5 + 1 = 09       hundreds: 3 - 0 - 1 = 2, borrow 0
    answer: 0933                   answer: 265
"""
from skills.case import Case, belongs, user

COLUMNS = ("ones", "tens", "hundreds")
SUM_QUESTIONS = ("What is {} + {}?", "{} plus {}?", "Add {} and {}.", "How much is {} + {}?", "{} + {} =")
DIFFERENCE_QUESTIONS = ("What is {} - {}?", "{} minus {}?", "How much is {} - {}?", "{} - {} =")


def small_pair(rng, sign):
    """Two numbers whose sum or difference Chip knows by heart."""
    if rng.random() < 0.6:
        a, b = rng.randint(0, 20), rng.randint(0, 20)
        return (max(a, b), min(a, b)) if sign == "-" else (a, b)
    b = rng.randint(0, 9)
    return (rng.randint(10, 99 - b), b) if sign == "+" else (rng.randint(10, 99), b)


def large_pair(rng, sign):
    """Two numbers to think about: mostly of two or three digits each, in a quarter of the cases of one."""
    if rng.random() < 0.25:
        a, b = rng.randint(0, 9), rng.randint(0, 9)
    else:
        a, b = (rng.randint(*rng.choice(((10, 99), (100, 999), (100, 999)))) for _ in range(2))
    return (max(a, b), min(a, b)) if sign == "-" else (a, b)


def columns(a, b, sign):
    """The written calculation, a line to a column from the right."""
    lines, digits, carry = [f"{a:03} {sign} {b:03}"], "", 0
    for column, name in enumerate(COLUMNS):
        above, below = a // 10**column % 10, b // 10**column % 10
        work = f"{name}: {above} {sign} {below} {sign} {carry} = "
        if sign == "+":
            total = above + below + carry
            carry, digit = divmod(total, 10)
            lines.append(f"{work}{total:02}")
        else:
            total = above - below - carry
            carry, digit = int(total < 0), total % 10
            lines.append(f"{work}{digit}, borrow {carry}")
        digits = str(digit) + digits
    return "\n".join(lines + ["answer: " + (str(carry) if sign == "+" else "") + digits])


def restated(a, b, sign):
    return f"{a} {sign} {b} = {a + b if sign == '+' else a - b}"


def calculation(rng, split, skill, sign, pair, thinking):
    while True:
        a, b = pair(rng, sign)
        if belongs(split, sign, a, b):
            break
    question = rng.choice(SUM_QUESTIONS if sign == "+" else DIFFERENCE_QUESTIONS).format(a, b)
    if thinking:
        return Case(skill, [user(question)], str(a + b if sign == "+" else a - b), thought=columns(a, b, sign))
    return Case(skill, [user(question)], restated(a, b, sign))


def small_sum(rng, split):
    return calculation(rng, split, "small sums", "+", small_pair, thinking=False)


def small_difference(rng, split):
    return calculation(rng, split, "small differences", "-", small_pair, thinking=False)


def sum_with_thinking(rng, split):
    return calculation(rng, split, "sums with thinking", "+", large_pair, thinking=True)


def difference_with_thinking(rng, split):
    return calculation(rng, split, "differences with thinking", "-", large_pair, thinking=True)


SKILLS = {
    "small sums": (small_sum, 7),
    "small differences": (small_difference, 7),
    "sums with thinking": (sum_with_thinking, 2),
    "differences with thinking": (difference_with_thinking, 2),
}
