"""Chip's tokenizer.json: Gemma 4's structure with 1,536 pieces, merged from the text of a few thousand cases.

Pieces of letters are merged inside lower-case words only. A word in capitals is one piece a letter, so that reading
a sign is reading letters, and digits are single pieces as in Gemma 4. The words that Chip spells and reverses count for
nothing in merging: they fall into short pieces, whose letters can be learned from many words.
"""
import pathlib
import random
import re
import sys

from batches import draw_case
from paths import TEMPLATE_FOLDER, WORK
from prompt import render
from skills import words

sys.path.insert(0, str(TEMPLATE_FOLDER))
import tiny_tokenizer  # noqa: E402

SIZE = 1536
WORD = r" ?[A-Z]?[a-zäöüßéèêàâáíóúñçãõëïôûìò]+"
CASES = 6000


def write(folder):
    rng = random.Random("vocabulary")
    text = "\n".join(render(draw_case(rng, "train")) for _ in range(CASES))
    text = re.sub(rf"\b({'|'.join(words.WORDS)})\b", "", text)
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    return tiny_tokenizer.write(text, folder, size=SIZE, word=WORD)


if __name__ == "__main__":
    ids = write(WORK / "tokenizer")
    print(f"{len(ids)} pieces in {WORK / 'tokenizer'}")
