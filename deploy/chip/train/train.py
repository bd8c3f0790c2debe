"""Trains Chip. Resumable: run it again and it goes on from the last saved step.

Matrices of the layers learn by Muon, everything else by AdamW. The rates fall over most of a course, which brings most of
the gain; two more courses go on with more of what those before left weak (batches.WEAK). Beside the answers there is a
second loss in the middle of the network: every tile and frame is to say what it shows or says. It is used in training only.
"""
import torch
from torch.nn import functional as F

import batches
import first_weights
import loop
from network import Chip
from paths import WORK

SEED = 5
COURSES = [loop.Course(steps=6500, height=1, warm_up=100, fall=0.85),
           loop.Course(steps=5500, height=0.6, warm_up=100, fall=0.98),
           loop.Course(steps=800, height=0.3, warm_up=50, fall=0.95)]
RATES = {"matrices": 0.02, "table": 2e-3, "tiles": 2e-4, "sounds": 5e-4, "places": 4e-3}
LAST = 0.6  # share of the last course in the mean that is released; the other is the course before's
HEARD, NOTHING = 0.3, 0.05  # weights: of the loss in the middle; in it, of background


def group_of(name, parameter):
    if "layers." in name and parameter.dim() == 2:
        return "matrices"
    if name.endswith("pos_embedding"):
        return "places"
    if "patch_" in name:
        return "tiles"
    return "sounds" if "embed_audio" in name else "table"


def loss_of(chip, batch):
    """Of the answers and, in the middle, of the soft tokens; and each by itself, with the share of tokens right."""
    with torch.autocast("cpu", torch.bfloat16):
        hidden, middle, _ = chip(batch)
        answers = batch.wanted.flatten() >= 0
        logits = chip.logits(hidden.flatten(0, 1)[answers])
        soft = batch.heard.flatten() >= 0
        heard_logits = chip.logits(middle.flatten(0, 1)[soft])
    wanted, heard = batch.wanted.flatten()[answers], batch.heard.flatten()[soft]
    weight = batch.weight.flatten()[answers]
    loss = (F.cross_entropy(logits, wanted, reduction="none") * weight).sum() / weight.sum()
    right = (logits.argmax(-1) == wanted).float().mean()
    figures = {"answer": loss.detach(), "right": right, "soft": loss.new_zeros(())}
    if len(heard) == 0:
        return loss, figures
    weight_heard = torch.where(heard == batches.prompt.label_token(batches.prompt.BACKGROUND), NOTHING, 1.0)
    each = F.cross_entropy(heard_logits, heard, reduction="none")
    soft = (each * weight_heard).sum() / weight_heard.sum().clamp(min=1)
    return loss + HEARD * soft, figures | {"soft": soft.detach()}


def train():
    torch.manual_seed(SEED)
    chip = Chip()
    first_weights.place(chip)
    for layer in chip.model.language_model.layers:
        layer.compile(dynamic=False)
    loop.run(chip, loop.optimizers(chip, group_of, RATES), lambda batch: loss_of(chip, batch), WORK / "target.pt", SEED,
             COURSES)


def average():
    """What is released: a mean of the weights after the last two courses, which is better over all skills together than
    either (Wortsman et al., Model soups, ICML 2022)."""
    before, last = (torch.load(loop.after_course(WORK / "target.pt", n))["model"] for n in (len(COURSES) - 1, len(COURSES)))
    mean = {name: (1 - LAST) * before[name] + LAST * last[name] for name in last}
    torch.save({"model": mean}, WORK / "target_mean.pt")


if __name__ == "__main__":
    train()
    average()
