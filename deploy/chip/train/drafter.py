"""Trains Chip's MTP drafter: four small layers that guess the next tokens from the target's last hidden state, looking
at the target's own keys and values. Resumable.

One round drafts DRAFTS tokens. Here every place n of an answer starts a round: its token stands at n, the target's
hidden state of n-1 comes with it, keys of places before n are seen (as the C++ drafter does,
model/mtp_drafter.cc). Step k gets the true token n+k-1 and the drafter's own state of step k-1, and is to guess what
the target itself finds likeliest at n+k.
"""
import argparse
import dataclasses
import time

import torch
from torch import nn
from torch.nn import functional as F

import batches
import evaluate
from network import FULL, KINDS, SHAPE, SLIDING, Layer, RMSNorm, linear, rotary
from paths import WORK

SEED = 9
DRAFTER_SHAPE = dict(SHAPE, hidden_size=64, intermediate_size=128)
DRAFTER_KINDS = [SLIDING, SLIDING, SLIDING, FULL]
DRAFTS = 5
STEPS = 600
WARM_UP, FALL = 50, 0.7
RATES = {"matrices": 0.02, "rest": 3e-3}
SAVE_EVERY = 100


class Drafter(nn.Module):
    def __init__(self):
        super().__init__()
        hidden, target = DRAFTER_SHAPE["hidden_size"], SHAPE["hidden_size"]
        self.model = nn.Module()
        self.model.embed_tokens = nn.Embedding(SHAPE["vocab_size"], hidden)
        nn.init.normal_(self.model.embed_tokens.weight, std=hidden ** -0.5)
        self.model.layers = nn.ModuleList(Layer(DRAFTER_SHAPE, kind, own_keys=False) for kind in DRAFTER_KINDS)
        self.model.norm = RMSNorm(hidden)
        self.pre_projection, self.post_projection = linear(2 * target, hidden), linear(hidden, target)

    def forward(self, embedded, previous, turned, masks, keys_values):
        """One step for [R, Q] rounds: logits [R, Q, vocabulary], and the state that the next step gets."""
        x = self.pre_projection(torch.cat([embedded, previous], -1))
        for layer, kind in zip(self.model.layers, DRAFTER_KINDS):
            x, _ = layer(x, turned[kind], masks[kind], keys_values[kind], half=torch.float32)
        normed = self.model.norm(x)
        return F.linear(normed, self.model.embed_tokens.weight), self.post_projection(normed)


@dataclasses.dataclass
class Rounds:
    """R x Q rounds of a batch, and all that a drafter needs for them."""
    embedded: list  # for each step [R, Q, hidden]: the true tokens' rows of the target's table
    previous: torch.Tensor  # [R, Q, hidden], the target's, of the place before
    turned: dict
    masks: dict
    keys_values: dict
    wanted: list  # for each step [R, Q]: the target's likeliest token, -1 where the answer is over or went elsewhere


@torch.no_grad()
def rounds_of(chip, batch):
    """Where the rounds start [R, Q], and the rounds."""
    hidden, _, keys_values = chip(batch)
    likeliest = chip.logits(hidden).argmax(-1)  # at place i: of token i+1
    rows, length = batch.ids.shape
    starts = F.pad(batch.wanted[:, :-1] >= 0, (1, 0))  # places that hold an answer's token
    most = int(starts.sum(1).max())
    order = torch.argsort((~starts).long(), dim=1, stable=True)[:, :most]  # the starts of each row come first
    real = starts.gather(1, order)
    wanted, embedded, alive = [], [], real
    for step in range(DRAFTS):
        at = (order + step).clamp(max=length - 1)
        embedded.append(chip.embed(batch.ids.gather(1, at)))
        alive = alive & (batch.wanted.gather(1, at) >= 0)
        guess = likeliest.gather(1, at)
        wanted.append(torch.where(alive, guess, -1))
        alive = alive & (guess == batch.wanted.gather(1, at))
    positions = batch.positions.gather(1, order)
    turned = {kind: rotary(positions, kind, keys_values[kind][0].shape[-1]) for kind in keys_values}

    def seen(mask):  # of a round at place n: what a token there sees, but for itself
        mine = mask[:, 0].gather(1, order[:, :, None].expand(-1, -1, length)).clone()
        mine.scatter_(2, order[:, :, None], False)
        return (mine | ~mine.any(-1, keepdim=True))[:, None]  # what fills up the rounds may see anything

    masks = {SLIDING: seen(batch.mask_sliding), FULL: seen(batch.mask_full)}
    previous = hidden.gather(1, (order - 1).clamp(min=0)[:, :, None].expand(-1, -1, hidden.shape[-1]))
    return order, Rounds(embedded, previous, turned, masks, keys_values, wanted)


def loss_of(drafter, rounds):
    """The mean loss, and how often each step's guess was right."""
    state, total, right = rounds.previous, 0, []
    for embedded, wanted in zip(rounds.embedded, rounds.wanted):
        logits, state = drafter(embedded, state, rounds.turned, rounds.masks, rounds.keys_values)
        total = total + F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), ignore_index=-1)
        known = wanted >= 0
        right.append(float((logits.argmax(-1) == wanted)[known].float().mean()))
    return total / DRAFTS, right


@torch.no_grad()
def accepted(chip, drafter, rounds):
    """How many drafts of each round the target accepts, and how many it could: [R, Q] each. Drafts feed on drafts."""
    state, tokens = rounds.previous, None
    alive, count, possible = rounds.wanted[0] >= 0, 0, 0
    for step, wanted in enumerate(rounds.wanted):
        embedded = rounds.embedded[0] if step == 0 else chip.embed(tokens)
        logits, state = drafter(embedded, state, rounds.turned, rounds.masks, rounds.keys_values)
        tokens = logits.argmax(-1)
        possible = possible + (wanted >= 0)
        alive = alive & (tokens == wanted)
        count = count + alive
    return count, possible


def optimizers(drafter):
    matrices = [p for n, p in drafter.named_parameters() if "layers." in n and p.dim() == 2]
    rest = [p for n, p in drafter.named_parameters() if not ("layers." in n and p.dim() == 2)]
    return (torch.optim.Muon(matrices, lr=RATES["matrices"], momentum=0.95, weight_decay=0.05),
            torch.optim.AdamW(rest, lr=RATES["rest"], betas=(0.9, 0.98), weight_decay=0.01))


def load(path=WORK / "drafter.pt"):
    drafter = Drafter()
    drafter.load_state_dict({k: v.bfloat16().float() for k, v in torch.load(path)["drafter"].items()})
    return drafter.eval().requires_grad_(False)


def train(steps, seed=SEED):
    torch.manual_seed(seed)
    from train import prepared

    chip, drafter, path = evaluate.load(), Drafter(), WORK / "drafter.pt"
    both, first = optimizers(drafter), 0
    starts = [[group["lr"] for group in o.param_groups] for o in both]
    if path.exists():
        saved = torch.load(path)
        first, steps = saved["step"], saved["steps"]
        drafter.load_state_dict(saved["drafter"])
        for optimizer, state in zip(both, saved["optimizers"]):
            optimizer.load_state_dict(state)
    print(f"{sum(p.numel() for p in drafter.parameters()):,} parameters, steps {first} to {steps}", flush=True)
    begun = time.monotonic()
    for step, batch in prepared(seed, first, steps):
        for optimizer, start in zip(both, starts):
            for group, full in zip(optimizer.param_groups, start):
                group["lr"] = full * min(1, (step + 1) / WARM_UP, (steps - step) / (steps * FALL))
            optimizer.zero_grad()
        loss, right = loss_of(drafter, rounds_of(chip, batch)[1])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(drafter.parameters(), 1.0)
        for optimizer in both:
            optimizer.step()
        done = step + 1
        if done % 20 == 0:
            each = " ".join(f"{100 * r:.1f}" for r in right)
            spent = time.monotonic() - begun
            print(f"step {done}/{steps}  loss {float(loss):.4f}  right {each}  "
                  f"{spent / (done - first) * (steps - done) / 60:.0f} min to go", flush=True)
        if done % SAVE_EVERY == 0 or done == steps:
            torch.save({"step": done, "steps": steps, "drafter": drafter.state_dict(),
                        "optimizers": [o.state_dict() for o in both]}, path.with_suffix(".new"))
            path.with_suffix(".new").replace(path)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--steps", type=int, default=STEPS)
    train(arguments.parse_args().steps)
