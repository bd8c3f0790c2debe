"""What a skill makes: one conversation, and what Chip must say next in it.

A skill is a function `make(rng, split) -> Case`. `rng` is a random.Random and the only source of chance, so that a
seed says everything. `split` says for what the case is made:
  "train"   what the model learns from
  "test"    what it has never seen: other numbers, other word pairs, other questions (see `belongs`)
  "unseen"  as "test", and also by voices or in fonts that training never uses; only media skills know it
"""
import dataclasses
import hashlib

import numpy as np

TEST_SHARE = 10  # one content in ten is kept back


def belongs(split, *content):
    """Whether a case about `content` (numbers, words) may be used for `split`. A maker draws until it may: so no
    content is ever both trained on and asked in a test. Not for facts that can only be learned by heart (capitals):
    of these a test asks again, in other words."""
    digest = hashlib.sha256(repr(content).encode()).digest()
    return (digest[0] % TEST_SHARE == 0) == (split != "train")


@dataclasses.dataclass
class Picture:
    pixels: np.ndarray  # uint8 [height, width, 3], as a file would hold it
    # What is where, for the loss on soft tokens: (left, top, right, bottom) in pixels, and a word. A tile whose
    # middle lies in a box is to predict that word. Tiles in no box are background.
    labels: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Sound:
    samples: np.ndarray  # float32 [n] in -1..1, 16 kHz
    labels: list = dataclasses.field(default_factory=list)  # (first second, last second, word)


@dataclasses.dataclass
class Call:
    name: str
    arguments: dict


@dataclasses.dataclass
class Case:
    skill: str  # the line of the model card
    messages: list  # as the chat template takes them; the last one is the user's, or tool results
    text: str = ""  # the answer; empty when it is calls
    thought: str = None  # what stands in the thought channel first; None: thinking is off
    calls: list = dataclasses.field(default_factory=list)  # the answer, when it is calls
    tools: list = dataclasses.field(default_factory=list)  # declarations, as the chat template takes them
    media: list = dataclasses.field(default_factory=list)  # Picture and Sound, in order of appearance in messages
    # More to learn from the same media: (messages that begin as these do, answer).
    siblings: list = dataclasses.field(default_factory=list)

    @property
    def thinking(self):
        return self.thought is not None


def user(*parts):
    """A user's message of strings, Pictures and Sounds; the media must be given to the Case too, in this order."""
    if len(parts) == 1 and isinstance(parts[0], str):
        return {"role": "user", "content": parts[0]}
    kinds = {str: lambda part: {"type": "text", "text": part}, Picture: lambda part: {"type": "image"},
             Sound: lambda part: {"type": "audio"}}
    return {"role": "user", "content": [kinds[type(part)](part) for part in parts]}


def system(text):
    return {"role": "system", "content": text}


def model(text):
    return {"role": "assistant", "content": text}


def called(*calls):
    """The model's message that made calls."""
    return {"role": "assistant", "content": "", "tool_calls": [
        {"id": str(i), "type": "function", "function": {"name": c.name, "arguments": c.arguments}}
        for i, c in enumerate(calls)]}


def result(call, content, index=0):
    """What a tool returned: a mapping or a string."""
    return {"role": "tool", "tool_call_id": str(index), "name": call.name, "content": content}
