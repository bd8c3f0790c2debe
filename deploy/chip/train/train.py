"""Trains Chip. Resumable: run it again and it goes on from the last saved step.

    train.py [--steps N] [--minutes M]

Matrices of the layers learn by Muon, everything else by AdamW; the rates rise for WARM_UP steps, hold, and fall in a
straight line to zero over most of the run, which brings most of the gain. Beside the answers there is a second loss
in the middle of the network: every tile and frame is to say what it shows or says. It is used in training only.
"""
import argparse
import concurrent.futures
import math
import multiprocessing
import time

import torch
from torch.nn import functional as F

import batches
import first_weights
from network import Chip
from paths import WORK

SEED = 5
STEPS = 7500
WARM_UP, FALL = 100, 0.85  # steps; share of the run over which the rates fall
RATES = {"matrices": 0.02, "table": 2e-3, "tiles": 2e-4, "sounds": 5e-4, "places": 4e-3}
HEARD, NOTHING = 0.3, 0.05  # weights: of the loss in the middle; in it, of background
SAVE_EVERY = 100
PREPARED = 6  # batches ahead


def group_of(name, parameter):
    if "layers." in name and parameter.dim() == 2:
        return "matrices"
    if name.endswith("pos_embedding"):
        return "places"
    if "patch_" in name:
        return "tiles"
    return "sounds" if "embed_audio" in name else "table"


def optimizers(chip):
    groups = {name: [] for name in RATES}
    for name, parameter in chip.named_parameters():
        groups[group_of(name, parameter)].append(parameter)
    muon = torch.optim.Muon(groups.pop("matrices"), lr=RATES["matrices"], momentum=0.95, weight_decay=0.05)
    adam = torch.optim.AdamW([{"params": of, "lr": RATES[name]} for name, of in groups.items()], betas=(0.9, 0.98),
                             weight_decay=0.01)
    return muon, adam


def rate(step, steps):
    return min(1, (step + 1) / WARM_UP, (steps - step) / (steps * FALL))


def losses(chip, batch):
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
    if len(heard) == 0:
        return loss, loss.new_zeros(()), right
    weight_heard = torch.where(heard == batches.prompt.label_token(batches.prompt.BACKGROUND), NOTHING, 1.0)
    each = F.cross_entropy(heard_logits, heard, reduction="none")
    return loss, (each * weight_heard).sum() / weight_heard.sum().clamp(min=1), right


def prepared(seed, first, last):
    """Batches, made ahead by another process."""
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn"),
                                                initializer=torch.set_num_threads, initargs=(1,)) as pool:
        waiting = [pool.submit(batches.make, seed, step) for step in range(first, min(first + PREPARED, last))]
        for step in range(first, last):
            if step + PREPARED < last:
                waiting.append(pool.submit(batches.make, seed, step + PREPARED))
            yield step, batches.ready(waiting.pop(0).result())


def train(steps, minutes, seed=SEED):
    torch.manual_seed(seed)
    chip, path = Chip(), WORK / "target.pt"
    first_weights.place(chip)
    both, first = optimizers(chip), 0
    starts = [[group["lr"] for group in o.param_groups] for o in both]
    if path.exists():
        saved = torch.load(path)
        first, steps = saved["step"], saved["steps"]
        chip.load_state_dict(saved["chip"])
        for optimizer, state in zip(both, saved["optimizers"]):
            optimizer.load_state_dict(state)
    for layer in chip.model.language_model.layers:
        layer.compile(dynamic=False)
    print(f"{sum(p.numel() for p in chip.parameters()):,} parameters, steps {first} to {steps}", flush=True)
    begun, sums, seen = time.monotonic(), [0.0] * 3, 0
    for step, batch in prepared(seed, first, steps):
        for optimizer, start in zip(both, starts):
            for group, full in zip(optimizer.param_groups, start):
                group["lr"] = full * rate(step, steps)
            optimizer.zero_grad()
        answer, heard, right = losses(chip, batch)
        (answer + HEARD * heard).backward()
        torch.nn.utils.clip_grad_norm_(chip.parameters(), 1.0)
        for optimizer in both:
            optimizer.step()
        sums = [a + float(b.detach()) for a, b in zip(sums, (answer, heard, right))]
        seen += batch.ids.numel()
        done = step + 1
        if done % 20 == 0:
            spent = time.monotonic() - begun
            print(f"step {done}/{steps}  answer {sums[0] / 20:.4f}  soft {sums[1] / 20:.3f}  right "
                  f"{100 * sums[2] / 20:.1f} %  {seen / spent:.0f} tokens/s  "
                  f"{spent / (done - first) * (steps - done) / 60:.0f} min to go", flush=True)
            sums = [0.0] * 3
        if done % SAVE_EVERY == 0 or done == steps:
            torch.save({"step": done, "steps": steps, "chip": chip.state_dict(),
                        "optimizers": [o.state_dict() for o in both]}, path.with_suffix(".new"))
            path.with_suffix(".new").replace(path)
        if minutes and time.monotonic() - begun > minutes * 60:
            return


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--steps", type=int, default=STEPS)
    arguments.add_argument("--minutes", type=float, default=0, help="stop, saved, after so long")
    given = arguments.parse_args()
    assert math.isclose(sum(batches.LENGTHS.values()), 1)
    train(given.steps, given.minutes)
