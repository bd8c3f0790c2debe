"""Cases drawn in the mix that Chip learns from, and packed into rows of a batch. A step's batch is a function of the
seed and the step alone, so a run can stop and go on."""
import dataclasses
import functools
import random

import numpy as np
import torch

import prompt
from network import SHAPE, Batch
from skills import arithmetic, knowledge, lists, memory, mixed, pictures, sounds, tools, words
from skills.case import system

# Shares of the conversations. Soft tokens make pictures and sounds long, so by tokens they weigh more.
MIX = {pictures: 22, sounds: 13, mixed: 10, arithmetic: 22, words: 34, knowledge: 30, memory: 10, lists: 13, tools: 12}
# What the courses before leave weak. In the second and third, these get such shares, and all others together "rest".
WEAK = {
    2: {"digits in a picture": 4, "word in a picture": 10, "colour and shape": 5, "counting shapes": 13,
        "spoken digit": 3, "spoken digits in a row": 9, "spoken word": 9, "two pictures": 14, "picture and sound": 14,
        "sorting": 9, "largest number": 8, "long lists": 6, "JSON": 11,
        "tool call": 3, "tool result": 3, "no tool needed": 4, "tool with thinking": 2, "two calls": 2, "rest": 38},
    3: {"digits in a picture": 2, "word in a picture": 3, "colour and shape": 2, "counting shapes": 18,
        "spoken digits in a row": 5, "spoken word": 5, "two pictures": 5, "picture and sound": 6,
        "sums with thinking": 9, "differences with thinking": 7, "spelling": 5, "sorting": 6, "memory": 5,
        "about itself": 3, "languages": 4, "counting": 6, "long lists": 6, "JSON": 7,
        "tool result": 4, "no tool needed": 4, "rest": 20}}
TOKENS = 3072  # of a batch
LENGTHS = {256: 0.45, 512: 0.5, 1024: 0.05}  # of its rows, and how often; a conversation that is longer is dropped
PLEASANTRIES = ["You are a helpful assistant.", "You are Chip.", "Be brief.", "You are a helpful assistant. Be brief."]
POOL = 1.15  # tokens drawn for a batch, in its size; what does not fit any more is dropped
BRANCHES = 5  # requests at most that share one declaration of tools, which is far longer than they are


@functools.cache
def makers(course):
    """The makers of all skills, and their weights in a course of training (1 to 3)."""
    weights = {}
    for kind, share in MIX.items():
        total = sum(weight for _, weight in kind.SKILLS.values())
        weights |= {name: share * weight / total for name, (_, weight) in kind.SKILLS.items()}
    if course > 1:
        weak = WEAK[course]
        others = sum(weight for name, weight in weights.items() if name not in weak)
        weights = {name: weak.get(name, weak["rest"] * weight / others) for name, weight in weights.items()}
    return list(skills().values()), list(weights.values())


def skills():
    return {name: maker for kind in MIX for name, (maker, _) in kind.SKILLS.items()}


def draw_case(rng, split, course=1):
    """A case in the mix of training. One in twelve has a system message of those that say nothing."""
    case = rng.choices(*makers(course))[0](rng, split)
    if case.messages[0]["role"] != "system" and rng.random() < 1 / 12:
        case.messages.insert(0, system(rng.choice(PLEASANTRIES)))
    return case


def siblings(rng, case):
    """Cases that begin as this one does: with the same offer of tools, or with the same picture."""
    if case.tools:
        return tools.siblings(rng, case, BRANCHES - 1)
    head = [message for message in case.messages[:1] if message["role"] == "system"]
    return [dataclasses.replace(case, messages=head + messages, text=text) for messages, text in case.siblings]


def draw(rng, length, course):
    """A sample for training of at most `length` tokens, or None; with the case's siblings, where it has any."""
    case = draw_case(rng, "train", course)
    first = prompt.sample(case)
    if len(first.ids) > length:
        return None
    return prompt.join([first] + [prompt.sample(c) for c in siblings(rng, case)], length)


def pack(samples, rows, length):
    """Rows of whole samples: each goes where it leaves the least room; what fits nowhere is left out."""
    room, packed = [length] * rows, [[] for _ in range(rows)]
    for sample in samples:
        fitting = [r for r in range(rows) if room[r] >= len(sample.ids)]
        if fitting:
            row = min(fitting, key=lambda r: room[r])
            room[row] -= len(sample.ids)
            packed[row].append(sample)
    return packed


def masks(conversation, branch, positions, block, window):
    """bool [R, 1, T, T], query by key: within a conversation and its branch, what came before; in sliding layers only the window,
    and of its own picture also what comes after (specification of the model: bidirectional "vision")."""
    same = conversation[:, :, None] == conversation[:, None, :]
    same &= (branch[:, None, :] == 0) | (branch[:, :, None] == branch[:, None, :])
    behind = positions[:, :, None] - positions[:, None, :]
    picture = (block[:, :, None] == block[:, None, :]) & (block[:, :, None] > 0)
    full = same & (behind >= 0)
    sliding = same & (behind < window) & ((behind >= 0) | picture)
    return sliding[:, None], full[:, None]


def collate(packed, length):
    rows = len(packed)
    ids, kinds, positions, branch, block = (np.zeros((rows, length), np.int64) for _ in range(5))
    wanted, heard = np.full((rows, length), -1), np.full((rows, length), -1)
    weight = np.zeros((rows, length), np.float32)
    conversation = np.full((rows, length), -1)
    for r, samples in enumerate(packed):
        at = 0
        for number, s in enumerate(samples):
            span = slice(at, at + len(s.ids))
            ids[r, span], kinds[r, span], heard[r, span] = s.ids, s.kinds, s.heard
            positions[r, span], branch[r, span], conversation[r, span] = s.positions, s.branch, number
            block[r, span] = s.block
            for start, end in s.answers:
                answer = slice(at + start - 1, at + end - 1)
                wanted[r, answer] = s.ids[start:end]
                weight[r, answer] = (end - start) ** -0.5  # long answers count more, but not in proportion
            at += len(s.ids)
        positions[r, at:] = np.arange(length - at)  # filler attends to filler
    flat = kinds.reshape(-1)
    everything = [s for samples in packed for s in samples]

    def all_of(name):
        return torch.from_numpy(np.concatenate([getattr(s, name) for s in everything]))

    sliding, full = masks(*map(torch.from_numpy, (conversation, branch, positions, block)), SHAPE["sliding_window"])
    return Batch(torch.from_numpy(ids), torch.from_numpy(positions), sliding, full,
                 torch.from_numpy(np.flatnonzero(flat == prompt.IMAGE)),
                 torch.from_numpy(np.flatnonzero(flat == prompt.AUDIO)), all_of("tiles"), all_of("places"),
                 all_of("frames"), torch.from_numpy(wanted), torch.from_numpy(weight), torch.from_numpy(heard))


def make(seed, step, course=1):
    """The batch of a step. Its tiles are still bytes; `ready` makes them numbers."""
    rng = random.Random(f"{seed}/{step}")
    length = rng.choices(list(LENGTHS), list(LENGTHS.values()))[0]
    drawn, tokens = [], 0
    while tokens < TOKENS * POOL:
        sample = draw(rng, length, course)
        if sample is not None:
            drawn.append(sample)
            tokens += len(sample.ids)
    return collate(pack(drawn, TOKENS // length, length), length)


def ready(batch):
    """Tiles as the reference rescales them."""
    return dataclasses.replace(batch, tiles=batch.tiles.float() / 255)
