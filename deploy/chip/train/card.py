"""Writes the model card from card.md, with its tables: scores, accepted drafts, hashes. The scores also go to scores.json,
which the test through the running cluster compares with.

    card.py [--cases N]
"""
import argparse
import hashlib
import json
import random

import torch

import batches
import drafter
import evaluate
from paths import CHECKPOINT, HERE, WORK

# What was asked of each line, in per cent; the last one is for voices and fonts never met.
WANTED = {
    "digits in a picture": 98, "word in a picture": 98, "colour and shape": 98, "counting shapes": 90,
    "spoken digit": 98, "spoken digits in a row": 95, "spoken word": 95, "two pictures": 90, "picture and sound": 90,
    "small sums": 95, "small differences": 95, "sums with thinking": 95, "differences with thinking": 95,
    "spelling": 97, "reversing": 97, "upper case": 97, "sorting": 97, "largest number": 97, "first and last": 97,
    "repeating": 97, "capitals": 98, "about itself": 98, "languages": 95, "modesty": 90, "facts with thinking": 95,
    "memory": 98, "follow-up": 98, "counting": 95, "long lists": 95, "JSON": 97, "tool call": 98, "tool result": 98,
    "no tool needed": 98, "tool with thinking": 98, "two calls": 98}
UNSEEN_WANTED = 93  # of sounds; pictures and mixtures: as above
FILES = ["model.safetensors", "config.json", "generation_config.json", "processor_config.json", "tokenizer.json",
         "tokenizer_config.json", "assistant/model.safetensors", "assistant/config.json",
         "assistant/generation_config.json"]


def wanted(skill, split):
    sound = skill.startswith("spoken")
    return UNSEEN_WANTED if split == "unseen" and sound else WANTED[skill]


def score_table(scores):
    lines = ["| skill | wanted | test | unseen voices, fonts |", "|---|---|---|---|"]
    for skill, by_split in scores.items():
        cells = [f"{100 * by_split[split]:.1f}" + ("" if 100 * by_split[split] >= wanted(skill, split) else " (below)")
                 if split in by_split else "" for split in ("test", "unseen")]
        lines.append(f"| {skill} | {WANTED[skill]} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines)


def rounds_taken(packed, rounds_at):
    """Of every round that a decoder takes through these answers: how many drafts it accepts, of how many."""
    for r, samples in enumerate(packed):
        at = 0
        for sample in samples:
            place, end = at + sample.answer, at + len(sample.ids)
            while place < end - 1 and place in rounds_at[r]:
                accepted, possible = rounds_at[r][place]
                yield accepted, min(possible, end - 1 - place)
                place += accepted + 1
            at += len(sample.ids)


@torch.no_grad()
def draft_rounds(chip, trained, maker, count, seed):
    rng = random.Random(seed)
    samples = [batches.prompt.sample(maker(rng, "test")) for _ in range(count)]
    packed = [row for row in batches.pack(samples, len(samples), evaluate.LENGTH) if row]
    for first in range(0, len(packed), 4):
        some = packed[first:first + 4]
        batch = batches.ready(batches.collate(some, evaluate.LENGTH))
        starts, rounds = drafter.rounds_of(chip, batch)
        counts, possible = drafter.accepted(chip, trained, rounds)
        at = [{place: (a, p) for place, a, p in zip(*lists)}
              for lists in zip(starts.tolist(), counts.tolist(), possible.tolist())]
        yield from rounds_taken(some, at)


def draft_table(chip, trained, count):
    lines = ["| answers | " + " | ".join(f"at least {k}" for k in range(1, drafter.DRAFTS + 1)) + " | mean of 5 |",
             "|---|" + "---|" * (drafter.DRAFTS + 1)]
    everything = []
    for kind in batches.MIX:
        taken = [r for skill, (maker, _) in kind.SKILLS.items()
                 for r in draft_rounds(chip, trained, maker, count, f"drafts/{skill}")]
        everything += taken
        lines.append(draft_line(kind.__name__.removeprefix("skills."), taken))
    lines.append(draft_line("all", everything))
    return "\n".join(lines)


def draft_line(name, taken):
    shares = []
    for k in range(1, drafter.DRAFTS + 1):
        possible = [a for a, p in taken if p >= k]
        shares.append(100 * sum(a >= k for a in possible) / max(1, len(possible)))
    whole = [a for a, p in taken if p == drafter.DRAFTS]
    mean = sum(whole) / max(1, len(whole))
    return f"| {name} | " + " | ".join(f"{share:.0f}" for share in shares) + f" | {mean:.2f} |"


def hashes():
    return "```\n" + "\n".join(
        f"{hashlib.sha256((CHECKPOINT / name).read_bytes()).hexdigest()}  {name}" for name in FILES) + "\n```"


def write(count):
    chip = evaluate.load()
    scores = evaluate.table(chip, count, ["test", "unseen"], seed="released card")  # cases that no choice was made by
    drafts = draft_table(chip, drafter.load(), max(10, count // 4))
    seconds = sum(torch.load(WORK / name)["seconds"] for name in ("target.pt", "drafter.pt"))
    tables = {"SCORES": score_table(scores), "DRAFTS": drafts, "HASHES": hashes(), "MINUTES": f"{seconds / 60:.0f}"}
    text = (HERE / "card.md").read_text()
    for name, table in tables.items():
        text = text.replace(f"<!-- {name} -->", table)
    (CHECKPOINT / "README.md").write_text(text)
    flat = {skill + (" (unseen)" if split == "unseen" else ""): round(100 * share, 1)
            for skill, by_split in scores.items() for split, share in by_split.items()}
    (CHECKPOINT / "scores.json").write_text(json.dumps(flat, indent=1) + "\n")
    print(drafts)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--cases", type=int, default=200, help="of each skill")
    write(arguments.parse_args().cases)
