"""What the reference implementation makes of Chip's released files: the logits and tokens of its greedy answers, in the
form that `golden_check model` and `golden_check drafter` read.

    golden.py OUT                   a case of every skill
    golden.py OUT --count 5         five of every skill: over 200 prompts
    golden.py OUT --skills NAME...  of these skills alone

Float32 arithmetic on the stored bfloat16 weights. An answer is continued over its end to a fixed length.
"""
import argparse
import os
import random
import sys

import numpy as np
import torch
from safetensors.torch import save_file

import batches
import prompt
from paths import CHECKPOINT, TEMPLATE_FOLDER
from skills.case import Picture

sys.path.insert(0, str(TEMPLATE_FOLDER))
import drafter_data  # noqa: E402
from transformers import Gemma4UnifiedAssistantForCausalLM  # noqa: E402
import tiny_model  # noqa: E402
from model_cases import STEPS, RandomPrompt  # noqa: E402

SEED = "golden"
IDS = {piece: prompt.token(piece) for piece in ("<audio|>", "<image|>")}


class CasePrompt(RandomPrompt):
    """A case's prompt as the reference takes it."""

    def __init__(self, case):
        whole = prompt.sample(case)
        self.ids, self.types = (torch.from_numpy(a[None, :whole.answer]) for a in (whole.ids, whole.kinds))
        pictures = [prompt.cut_picture(m) for m in case.media if isinstance(m, Picture)]
        self.tiles = [tiles for tiles, _, _ in pictures]
        self.positions = [places.astype(np.int32) for _, places, _ in pictures]
        self.frames = [prompt.cut_sound(m)[0] for m in case.media if not isinstance(m, Picture)]


@torch.no_grad()
def write_case(model, case, path):
    """Returns what the index says of it, and whether the answer is the one wanted."""
    asked = CasePrompt(case)
    out, cache = tiny_model.prefill(model, asked)
    answer = tiny_model.Continuation(model, out, cache, STEPS, tiny_model.suppressed_ids(IDS))
    hidden = torch.stack(answer.hidden)
    logits = 30 * torch.tanh(model.lm_head(hidden) / 30)
    tensors = asked.tensors() | {"greedy_tokens": torch.tensor(answer.tokens, dtype=torch.int32),
                                 "greedy_hidden": hidden, "greedy_logits": logits}
    save_file({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, path)
    wanted = prompt.encode(prompt.render_answer(case))[:STEPS]
    entry = {"checkpoint": "chip", "dtype": "float32", "skill": case.skill, "tokens": asked.ids.shape[1],
             "greedy_smallest_lead": round(answer.smallest_lead, 6)}
    return entry, answer.tokens[:len(wanted)] == wanted


def write_drafts(out, names):
    """One case of each skill, drafted and verified by the reference's drafter."""
    os.makedirs(f"{out}/drafter", exist_ok=True)
    index = {}
    with drafter_data.older_sharing_rule():
        model = tiny_model.load(CHECKPOINT, torch.float32)
        drafter = Gemma4UnifiedAssistantForCausalLM.from_pretrained(
            CHECKPOINT / "assistant", dtype=torch.float32, attn_implementation="eager").eval()
        for skill in names:
            case = batches.skills()[skill](random.Random(f"{SEED}/drafter/{skill}"), "test")
            target = drafter_data.Target(model, CasePrompt(case), IDS)
            name = f"draft_{skill.replace(' ', '_')}"
            entry = drafter_data.make_case(model, drafter, target, IDS, f"{out}/drafter/{name}.safetensors")
            index[name] = {"checkpoint": "chip", "skill": skill} | entry
            print(f"{name}: accepted {[r['accepted'] for r in entry['rounds']]}")
    tiny_model.write_index(index, f"{out}/drafter/index.json")


def link_checkpoints(out):
    os.makedirs(f"{out}/checkpoints", exist_ok=True)
    for name, folder in (("chip", CHECKPOINT), ("chip_assistant", CHECKPOINT / "assistant")):
        link = f"{out}/checkpoints/{name}"
        if not os.path.lexists(link):
            os.symlink(os.path.relpath(folder, f"{out}/checkpoints"), link)


def write(out, count, names):
    os.makedirs(f"{out}/cases", exist_ok=True)
    link_checkpoints(out)
    model, index, right = tiny_model.load(CHECKPOINT, torch.float32), {}, 0
    for skill, maker in batches.skills().items():
        rng = random.Random(f"{SEED}/{skill}")
        for i in range(count if not names or skill in names else 0):
            name = f"{skill.replace(' ', '_')}_{i}"
            index[name], good = write_case(model, maker(rng, "test"), f"{out}/cases/{name}.safetensors")
            right += good
    tiny_model.write_index(index, f"{out}/cases/index.json")
    print(f"{len(index)} cases in {out}, {right} answered as wanted")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("out")
    arguments.add_argument("--count", type=int, default=1, help="of each skill")
    arguments.add_argument("--skills", nargs="+", default=[])
    arguments.add_argument("--drafts", nargs="+", default=["sums with thinking"], help="skills")
    given = arguments.parse_args()
    write(given.out, given.count, given.skills)
    write_drafts(given.out, given.drafts)
