"""The files that the quick start shows Chip: a sign, spoken words, tools. Drawn and spoken by the makers of the skills, in
a font and by a voice that training never used, about numbers kept back from training."""
import json
import pathlib
import random
import sys

import soundfile

from cases import picture_file
from skills import pictures, sounds, tools

SEED = "samples"


def first(maker, fits):
    rng = random.Random(SEED)
    while True:
        case = maker(rng, "unseen")
        if fits(case):
            return case


def write(folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    sign = first(pictures.digits_in_a_picture, lambda case: len(case.text) == 3)
    drawn = pictures.written(random.Random(SEED), sign.text, "unseen", sign=True)
    (folder / "sign.png").write_bytes(picture_file(drawn))
    row = first(sounds.spoken_row, lambda case: len(case.text.split()) == 4)
    soundfile.write(folder / "spoken.wav", row.media[0].samples, 16000, subtype="PCM_16")
    declared = [tools.declaration(random.Random(SEED), name) for name in ("get_weather", "set_timer", "find_train")]
    (folder / "tools.json").write_text(json.dumps(declared, indent=2) + "\n")
    print(f"sign.png shows {sign.text}, spoken.wav says {row.text}")


if __name__ == "__main__":
    write(sys.argv[1])
