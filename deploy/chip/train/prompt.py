"""A case as the model sees it: token ids, tiles of pictures, frames of sounds, and what it is to predict.

This is what the gateway and the prefill worker do to a request, done with the reference's own chat template and the
tokenizers library; ../../../ARCHITECTURE.md names the C++ files.
"""
import dataclasses
import functools
import math

import jinja2
import numpy as np
import tokenizers
from PIL import Image

from paths import TEMPLATE_FOLDER, WORK
from skills.case import Picture

TILE = 48  # pixels; one tile of a picture is one soft token
BUDGET = 70  # soft tokens of a picture, at most
FRAME = 640  # samples of 16 kHz sound in one soft token
TEXT, IMAGE, AUDIO = 0, 1, 3  # kinds of tokens, as the reference numbers them
BACKGROUND = "<pad>"  # what a tile or a frame is to predict that shows or says nothing


@functools.cache
def template():
    def refuse(message):
        raise ValueError(message)

    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = refuse
    return environment.from_string((TEMPLATE_FOLDER / "chat_template.jinja").read_text())


@functools.cache
def tokenizer():
    return tokenizers.Tokenizer.from_file(str(WORK / "tokenizer" / "tokenizer.json"))


def encode(text):
    return tokenizer().encode(text, add_special_tokens=False).ids


@functools.cache
def token(piece):
    return tokenizer().token_to_id(piece)


@functools.cache
def label_token(word):
    return encode(word)[0]


def render_prompt(case):
    return template().render(messages=case.messages, tools=case.tools or None, add_generation_prompt=True,
                             enable_thinking=case.thinking, bos_token="<bos>")


def render_answer(case):
    """What the model is to generate, up to and with the token that ends it."""
    text = ""
    if case.thinking:
        opened = case.messages[-1]["role"] == "tool"  # then the prompt ends inside the thought
        text = ("" if opened else "<|channel>thought\n") + case.thought + "\n<channel|>"
    if case.calls:
        turn = {"role": "assistant", "content": "", "tool_calls": [
            {"function": {"name": call.name, "arguments": call.arguments}} for call in case.calls]}
        written = template().render(messages=[turn], bos_token="")
        return text + written.removeprefix("<|turn>model\n")  # it ends with <|tool_response>
    return text + case.text + "<turn|>"


def render(case):
    return render_prompt(case) + render_answer(case)


def picture_size(height, width):
    """Rows and columns of tiles that a picture is resized to."""
    factor = math.sqrt(BUDGET * TILE * TILE / (height * width))
    rows, columns = int(factor * height / TILE), int(factor * width / TILE)
    return max(rows, 1), max(columns, 1)


def cut_picture(picture):
    """Tiles [n, 6912] as (row, column, channel), their places [n, 2] as (x, y), and the word of each tile."""
    height, width = picture.pixels.shape[:2]
    rows, columns = picture_size(height, width)
    pixels = picture.pixels
    if (height, width) != (rows * TILE, columns * TILE):
        resized = Image.fromarray(pixels).resize((columns * TILE, rows * TILE), Image.Resampling.BICUBIC)
        pixels = np.asarray(resized)
    tiles = pixels.reshape(rows, TILE, columns, TILE, 3).transpose(0, 2, 1, 3, 4).reshape(rows * columns, -1)
    y, x = np.divmod(np.arange(rows * columns), columns)
    middle_x, middle_y = (x + 0.5) * width / columns, (y + 0.5) * height / rows
    words = np.full(len(tiles), BACKGROUND, object)
    for left, top, right, bottom, word in picture.labels:
        words[(left <= middle_x) & (middle_x < right) & (top <= middle_y) & (middle_y < bottom)] = word
    return tiles, np.stack([x, y], -1), words


def cut_sound(sound):
    """Frames [n, 640], and the word of each: the one that it is in the middle of."""
    count = -(-len(sound.samples) // FRAME)
    frames = np.zeros(count * FRAME, np.float32)
    frames[:len(sound.samples)] = sound.samples
    middle = (np.arange(count) + 0.5) * FRAME / 16000
    words = np.full(count, BACKGROUND, object)
    for start, end, word in sound.labels:
        words[(start <= middle) & (middle < end)] = word
    return frames.reshape(count, FRAME), words


@dataclasses.dataclass
class Sample:
    ids: np.ndarray  # int64 [n]; placeholders stand for the soft tokens
    kinds: np.ndarray  # int64 [n]
    block: np.ndarray  # int64 [n]; which picture a soft token belongs to, from 1; 0: none
    positions: np.ndarray  # int64 [n]
    branch: np.ndarray  # int64 [n]; a token sees those of its own branch and of branch 0
    answers: list  # (start, end) of every answer; one but for joined samples
    heard: np.ndarray  # int64 [n]; what a soft token shows or says; -1 where it is none
    tiles: np.ndarray  # uint8 [tiles, 6912]
    places: np.ndarray  # int64 [tiles, 2]
    frames: np.ndarray  # float32 [frames, 640]

    @property
    def answer(self):
        return self.answers[0][0]


def expand(ids, media):
    """Puts the soft tokens in place of every medium's placeholder."""
    parts, tiles, places, frames = [], [], [], []
    media, block = iter(media), 0

    def add(new, kind=TEXT, of=0, heard=-1):
        heard = np.broadcast_to(heard, len(new))
        parts.append((np.asarray(new), np.full(len(new), kind), np.full(len(new), of), heard))

    for i in ids:
        if i not in (token("<|image|>"), token("<|audio|>")):
            add([i])
            continue
        medium = next(media)
        if isinstance(medium, Picture):
            cut, where, words = cut_picture(medium)
            tiles.append(cut)
            places.append(where)
            block += 1
            add([token("<|image>")])
            add([i] * len(cut), IMAGE, block, [label_token(w) for w in words])
            add([token("<image|>")])
        else:
            cut, words = cut_sound(medium)
            frames.append(cut)
            add([token("<|audio>")])
            add([i] * len(cut), AUDIO, 0, [label_token(w) for w in words])
            add([token("<audio|>")])
    joined = [np.concatenate(part).astype(np.int64) for part in zip(*parts)]
    return joined, tiles, places, frames


def sample(case):
    (ids, kinds, block, heard), tiles, places, frames = expand(encode(render_prompt(case)), case.media)
    answer = np.array(encode(render_answer(case)), np.int64)
    none = np.zeros(len(answer), np.int64)

    def together(arrays, empty):
        return np.concatenate(arrays) if arrays else empty

    end = len(ids) + len(answer)
    return Sample(np.concatenate([ids, answer]), np.concatenate([kinds, none + TEXT]),
                  np.concatenate([block, none]), np.arange(end), np.zeros(end, np.int64), [(len(ids), end)],
                  np.concatenate([heard, none - 1]),
                  together(tiles, np.zeros((0, TILE * TILE * 3), np.uint8)),
                  together(places, np.zeros((0, 2), np.int64)), together(frames, np.zeros((0, FRAME), np.float32)))


def join(samples, length):
    """As many of the samples as fit into `length` tokens, as one: what they begin with stands once, tools and media too,
    and each goes on from it unseen by the others. Every token's inputs are as they were, at less cost."""
    first = samples[0]
    shared = min(s.answer for s in samples)
    for s in samples:
        shared = min([shared, *np.flatnonzero(s.ids[:shared] != first.ids[:shared])])
    joined, branch, answers, at = [], [np.zeros(shared, np.int64)], [], shared
    for number, s in enumerate(samples, 1):
        assert (s.kinds[shared:] == TEXT).all()
        size = len(s.ids) - shared
        if at + size > length:
            break
        joined.append(s)
        branch.append(np.full(size, number))
        answers += [(start - shared + at, end - shared + at) for start, end in s.answers]
        at += size

    def whole(name):
        return np.concatenate([getattr(first, name)[:shared]] + [getattr(s, name)[shared:] for s in joined])

    return dataclasses.replace(first, ids=whole("ids"), kinds=whole("kinds"), block=whole("block"),
                               positions=whole("positions"), branch=np.concatenate(branch), answers=answers,
                               heard=whole("heard"))
