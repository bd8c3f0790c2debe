"""The score of every skill on cases that were not trained on: test content, and voices and fonts never met.

    evaluate.py [--cases N] [--splits test unseen] [--failures N]

A case counts when greedy decoding gives the answer to the letter. That is known without decoding: it does exactly
when, given the true answer so far, the likeliest token is the true one at every place."""
import argparse
import collections
import random

import torch

import batches
import loop
from network import Chip
from paths import WORK

SEED = "evaluation"
LENGTH = 1024
MEDIA = (batches.pictures, batches.sounds, batches.mixed)  # only they know "unseen"


def load():
    """The trained target as it is released."""
    chip = Chip()
    chip.load_state_dict(loop.released(WORK / "target_mean.pt"))
    return chip.eval().requires_grad_(False)


@torch.no_grad()
def right(chip, samples):
    """For every sample, the likeliest next tokens at its answer's places; it is right when they are the answer."""
    packed = batches.pack(samples, len(samples), LENGTH)
    packed = [row for row in packed if row]
    batch = batches.ready(batches.collate(packed, LENGTH))
    hidden = chip(batch)[0]
    verdicts = {}
    for r, row in enumerate(packed):
        at = 0
        for s in row:
            best = chip.logits(hidden[r, at + s.answer - 1:at + len(s.ids) - 1]).argmax(-1).tolist()
            verdicts[id(s)] = (best == s.ids[s.answer:].tolist(), best)
            at += len(s.ids)
    return [verdicts[id(s)] for s in samples]


def score(chip, name, maker, split, count, seed):
    """Share right, and the failures as (case, what was likeliest instead)."""
    rng, failures, asked = random.Random(f"{seed}/{name}/{split}"), [], 0
    while asked < count:
        cases, samples, tokens = [], [], 0
        while tokens < 8 * LENGTH and asked + len(cases) < count:
            case = maker(rng, split)
            sample = batches.prompt.sample(case)
            if len(sample.ids) > LENGTH:
                continue
            cases.append(case)
            samples.append(sample)
            tokens += len(sample.ids)
        failures += [(case, best) for case, (good, best) in zip(cases, right(chip, samples)) if not good]
        asked += len(cases)
    return 1 - len(failures) / count, failures


def table(chip, count, splits, shown=0, seed=SEED):
    scores = collections.defaultdict(dict)
    for kind in batches.MIX:
        for name, (maker, _) in kind.SKILLS.items():
            for split in splits:
                if split == "unseen" and kind not in MEDIA:
                    continue
                scores[name][split], failures = score(chip, name, maker, split, count, seed)
                print(f"{name:28} {split:7} {100 * scores[name][split]:5.1f} %", flush=True)
                for case, best in failures[:shown]:
                    asked = case.messages[-1]["content"]
                    print(f"    {asked}\n      wanted {batches.prompt.render_answer(case)!r}\n      "
                          f"got    {batches.prompt.tokenizer().decode(best, skip_special_tokens=False)!r}")
    return scores


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--cases", type=int, default=200, help="of each skill")
    arguments.add_argument("--splits", nargs="+", default=["test", "unseen"])
    arguments.add_argument("--failures", type=int, default=0, help="print so many of each skill")
    given = arguments.parse_args()
    table(load(), given.cases, given.splits, given.failures)
