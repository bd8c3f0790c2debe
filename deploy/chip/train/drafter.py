"""Trains Chip's MTP drafter: four small layers that guess the next tokens from the target's last hidden state, looking
at the target's own keys and values. Resumable.

One round drafts DRAFTS tokens. Here every place n of an answer starts a round: its token stands at n, the target's
hidden state of n-1 comes with it, keys of places before n are seen (as the C++ drafter does,
model/mtp_drafter.cc). Step k gets the true token n+k-1 and the drafter's own state of step k-1, and is to guess what
the target itself finds likeliest at n+k.
"""
import dataclasses

import torch
from torch import nn
from torch.nn import functional as F

import evaluate
import loop
from network import FULL, SHAPE, SLIDING, Layer, RMSNorm, additive, linear, rotary
from paths import WORK

SEED = 9
DRAFTER_SHAPE = dict(SHAPE, hidden_size=64, intermediate_size=128)
DRAFTER_KINDS = [SLIDING, SLIDING, SLIDING, FULL]
DRAFTS = 5
COURSES = [loop.Course(steps=500, height=1, warm_up=50, fall=0.7),
           loop.Course(steps=100, height=0.4, warm_up=10, fall=0.9)]
RATES = {"matrices": 0.02, "rest": 3e-3}


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
    length = batch.ids.shape[1]
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
        return additive((mine | ~mine.any(-1, keepdim=True))[:, None])  # what fills up the rounds sees anything

    masks = {SLIDING: seen(batch.mask_sliding), FULL: seen(batch.mask_full)}
    previous = hidden.gather(1, (order - 1).clamp(min=0)[:, :, None].expand(-1, -1, hidden.shape[-1]))
    return order, Rounds(embedded, previous, turned, masks, keys_values, wanted)


def loss_of(drafter, rounds):
    """The mean loss, and by itself how often each step's guess was right."""
    state, total, right = rounds.previous, 0, []
    for embedded, wanted in zip(rounds.embedded, rounds.wanted):
        logits, state = drafter(embedded, state, rounds.turned, rounds.masks, rounds.keys_values)
        total = total + F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), ignore_index=-1)
        known = wanted >= 0
        right.append(float((logits.argmax(-1) == wanted)[known].float().mean()))
    loss = total / DRAFTS
    return loss, {"loss": loss.detach()} | {f"draft {k}": share for k, share in enumerate(right, 1)}


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


def group_of(name, parameter):
    return "matrices" if "layers." in name and parameter.dim() == 2 else "rest"


def load():
    drafter = Drafter()
    drafter.load_state_dict(loop.released(WORK / "drafter.pt"))
    return drafter.eval().requires_grad_(False)


def train():
    torch.manual_seed(SEED)
    chip, drafter = evaluate.load(), Drafter()
    loop.run(drafter, loop.optimizers(drafter, group_of, RATES),
             lambda batch: loss_of(drafter, rounds_of(chip, batch)[1]), WORK / "drafter.pt", SEED, COURSES)


if __name__ == "__main__":
    train()
