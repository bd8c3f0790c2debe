"""text/: goldens of the tokenizer, the detokenizer, the chat template and the output parser, for the tiny
tokenizer. JSON Lines, ASCII."""
import hashlib
import json
import os
import random
import re
import unicodedata

import sentencepiece
from tokenizers import Tokenizer
from transformers.utils.chat_template_utils import _compile_jinja_template

import answers
import chat_conversations
import corpus
import tiny_tokenizer
import tool_conversations
from tiny_tokenizer import SPACE

SEED = 51
TEMPLATE_SHA256 = "ae53464bf3be25802b3a5b37def7fd89667067d7577049b3b2d74c4d8de4c6d4"


def write_lines(lines, path):
    with open(path, "w", encoding="ascii", newline="\n") as f:
        for i, line in enumerate(lines):
            f.write(json.dumps({"id": i, **line}, separators=(",", ":")) + "\n")
    print(f"{os.path.basename(path)}: {len(lines)} lines", flush=True)


class Encoders:
    """Hugging Face `tokenizers`, special tokens matched in the text or not; SentencePiece has to agree."""

    def __init__(self, folder):
        path = f"{folder}/tokenizer.json"
        self.matching, self.plain = Tokenizer.from_file(path), Tokenizer.from_file(path)
        self.plain.encode_special_tokens = True
        self.sentencepiece = sentencepiece.SentencePieceProcessor(
            model_proto=tiny_tokenizer.to_sentencepiece(path))
        self.ids = self.plain.get_vocab()
        self.control = {piece: self.ids[piece] for piece in tiny_tokenizer.ADDED}
        longest_first = sorted(self.control, key=len, reverse=True)
        self.control_pattern = re.compile("(" + "|".join(map(re.escape, longest_first)) + ")")

    def encode(self, text, special):
        found = (self.matching if special else self.plain).encode(text, add_special_tokens=False).ids
        expected = []
        for i, piece in enumerate(self.control_pattern.split(text) if special else [text]):
            expected += [self.control[piece]] if i % 2 else self.sentencepiece.encode(piece)
        assert found == expected, text
        return found


# ---- tokenizer.jsonl


def tokenizer_lines(encoders):
    rng, lines = random.Random(SEED), {}

    def add(kind, text, special=False):
        lines.setdefault((text, special), {"kind": kind, "special": special, "text": text,
                                           "ids": encoders.encode(text, special)})

    paragraphs = corpus.ENGLISH.strip().split("\n\n")
    for paragraph in paragraphs[:4]:
        add("lang/en", paragraph.split("\n")[0])
    add("lang/en", paragraphs[0])
    sentences = list(corpus.SENTENCES.values())
    for language, sentence in corpus.SENTENCES.items():
        add(f"lang/{language}", sentence)
    for _ in range(8):
        add("lang/mixed", rng.choice([" ", "\n", "\t", ""]).join(rng.sample(sentences, 2)))
    for text in corpus.CODE:
        add("code", text)
    for n in (1, 2, 3, 7, 8, 9, 16, 17, 31, 33):
        for c in " \n\t":
            add("ws/run", "a" + c * n + "t")
    for _ in range(20):
        add("ws/mix", "".join(rng.choice(" \n\t \r\u00a0" + SPACE) * rng.choice([1, 1, 2, 3, 8, 9]) +
                              rng.choice(["", "t", "</", ">", "the", "x", "中"]) for _ in range(rng.randrange(1, 7))))
    ordinary = [p for p in sorted(encoders.ids) if p not in encoders.control and not re.fullmatch("<.+>", p)]
    for _ in range(30):
        add("pieces", "".join(rng.choices(ordinary, k=rng.randrange(1, 9))).replace(SPACE, " "))
    assigned = [chr(c) for c in range(0x20, 0x20000) if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co")]
    for _ in range(15):
        add("unicode/assigned", "".join(rng.choices(assigned, k=rng.randrange(1, 20))))
    for text in (SPACE, "a" + SPACE + "b", SPACE + " " + SPACE, "\u2028x\u2029y\u0085", "\ufffd", "\ufffe\uffff",
                 "\U0010ffff", "e\u0301\u0327", "ＦＵＬＬ　ｗｉｄｔｈ", "ﬁ ﬂ ﷺ"):
        add("unicode/edge", text)
    add("long", "the sea " * 100)
    add("long", "a" * 500)
    add("long", "中é" * 60)
    for piece in encoders.control:
        add("special", f"a{piece} b", rng.random() < 0.5)
    for _ in range(12):
        text = "".join(rng.choice([*encoders.control, "user\n", " ", "x", "|>", "<|", "<<|turn>>"])
                       for _ in range(rng.randrange(2, 9)))
        add("special/soup", text, True)
        add("special/soup", text, False)
    add("empty", "", False)
    add("empty", "", True)
    return list(lines.values())


# ---- detokenizer.jsonl


def utf8_prefix(data):
    """Whether `data` begins like a well-formed sequence of UTF-8, and whether it is a whole one."""
    first = data[0]
    if first < 0x80:
        length, low, high = 1, 0, 0
    elif 0xC2 <= first <= 0xDF:
        length, low, high = 2, 0x80, 0xBF
    elif 0xE0 <= first <= 0xEF:
        length, low, high = 3, 0xA0 if first == 0xE0 else 0x80, 0x9F if first == 0xED else 0xBF
    elif 0xF0 <= first <= 0xF4:
        length, low, high = 4, 0x90 if first == 0xF0 else 0x80, 0x8F if first == 0xF4 else 0xBF
    else:
        return False, False
    for i, byte in enumerate(data[1:]):
        if not (low if i == 0 else 0x80) <= byte <= (high if i == 0 else 0xBF):
            return False, False
    return True, len(data) == length


class Stream:
    """Releases text as ids arrive: a character made of byte pieces with its last byte, every byte that cannot belong
    to one as U+FFFD. Hugging Face's decode makes U+FFFD of every byte of a run with a bad one, which cannot be
    streamed; SentencePiece agrees with this."""

    def __init__(self, encoders, skip_special):
        self.pieces = {i: piece for piece, i in encoders.ids.items()}
        self.control, self.skip_special, self.held = set(encoders.control.values()), skip_special, b""

    def push(self, i):
        byte = re.fullmatch("<0x(..)>", self.pieces[i])
        if byte:
            return self.push_byte(int(byte.group(1), 16))
        out = self.flush()
        if i in self.control:
            return out + ("" if self.skip_special else self.pieces[i])
        return out + self.pieces[i].replace(SPACE, " ")

    def push_byte(self, byte):
        data, out, first = self.held + bytes([byte]), "", 0
        while first < len(data):
            end = first + 1
            while True:
                possible, whole = utf8_prefix(data[first:end])
                if not possible:
                    out, first = out + "\ufffd", first + 1
                    break
                if whole:
                    out, first = out + data[first:end].decode(), end
                    break
                if end == len(data):
                    self.held = data[first:]
                    return out
                end += 1
        self.held = b""
        return out

    def flush(self):
        out, self.held = "\ufffd" * len(self.held), b""
        return out


def detokenizer_lines(encoders):
    rng, lines, control = random.Random(SEED + 1), [], set(encoders.control.values())

    def add(kind, ids, skip):
        stream = Stream(encoders, skip)
        deltas = [stream.push(i) for i in ids]
        tail = stream.flush()
        text, whole = "".join(deltas) + tail, encoders.plain.decode(ids, skip_special_tokens=skip)
        if not any(encoders.sentencepiece.is_control(i) or i in control for i in ids):
            assert encoders.sentencepiece.decode(ids) == text, ids
        if "\ufffd" not in text and not (skip and control & set(ids)):
            assert whole == text, ids
        lines.append({"kind": kind, "skip_special": skip, "ids": ids, "deltas": deltas, "tail": tail, "text": text,
                      **({"hf_text": whole} if whole != text else {})})

    def data(*values):
        return [encoders.ids[f"<0x{b:02X}>"] for b in values]

    for sentence in corpus.SENTENCES.values():
        add("text", encoders.encode(sentence, False), True)
    x, control_list = encoders.encode("x", False), sorted(control)
    han = 0xE4, 0xB8, 0xAD
    for ids in (data(*han), data(*han[:2]), data(*han[:2], 0x41), data(*han[:2], *han), data(0xF0, 0x9F, 0x98) + x,
                data(0x80), data(0xBF, 0xBF), data(0xC0, 0x80), data(0xE0, 0x9F, 0xBF), data(0xED, 0xA0, 0x80),
                data(0xF4, 0x8F, 0xBF, 0xBF), data(0xF4, 0x90, 0x80, 0x80), data(0xFF), data(0x41, 0x42), data(0x00),
                data(0x0A), data(0xEF, 0xBB, 0xBF), data(0xFF, *han), data(*han, 0xE4), data(0xC2, 0xC2, 0xA9),
                data(0xC3) + [encoders.ids["<turn|>"]] + data(0xA9), data(0xE2, 0x96, 0x81), [encoders.ids[SPACE]],
                [encoders.ids[SPACE * 2], encoders.ids[SPACE]], [encoders.ids[p] for p in tiny_tokenizer.HTML],
                [encoders.ids[p] for p in ("[multimodal]", "<unused0>", "<unused5>")]):
        add("fixed", ids, rng.random() < 0.5)
    chat = "<bos><|turn>user\nHi<turn|>\n<|turn>model\n<|channel>thought\nhm\n<channel|>A 中.<turn|>"
    for skip in (True, False):
        add("fixed", encoders.encode(chat, True), skip)
    for _ in range(12):
        add("random ids", [rng.randrange(len(encoders.ids)) for _ in range(rng.randrange(1, 25))], rng.random() < 0.5)
    for _ in range(24):
        ids = []
        for _ in range(rng.randrange(1, 8)):
            choice = rng.random()
            if choice < 0.4:
                ids += data(*chr(rng.randrange(0x300, 0x3000)).encode()[:rng.randrange(1, 4)])
            elif choice < 0.6:
                ids += data(*rng.choices([0x41, 0x80, 0xBF, 0xC2, 0xE0, 0xED, 0xF0, 0xF4, 0xA0, 0x90, 0xFF], k=2))
            else:
                ids.append(rng.choice(control_list) if choice < 0.7 else rng.choice(x + data(0x20)))
        add("broken", ids, rng.random() < 0.5)
    return lines


# ---- chat.jsonl


def masked(value):
    """The same with "<" in every text replaced, so that control tokens in the rendered prompt are the template's. What
    a model's turn says is left alone: the template itself looks for thoughts in it."""
    if isinstance(value, str):
        return value.replace("<", "\ue000")
    if isinstance(value, list):
        return [masked(element) for element in value]
    if isinstance(value, dict):
        said = value.get("role") in ("assistant", "model")
        return {key: member if said and key == "content" else masked(member) for key, member in value.items()}
    return value


def chat_lines(encoders, template_path):
    with open(template_path, encoding="utf-8") as f:
        source = f.read()
    assert hashlib.sha256(source.encode()).hexdigest() == TEMPLATE_SHA256
    template = _compile_jinja_template(source)

    def render(messages, tools, thinking, preserve, generation_prompt):
        return template.render(messages=messages, tools=tools, documents=None, add_generation_prompt=generation_prompt,
                               bos_token="<bos>", eos_token="<eos>", enable_thinking=thinking,
                               preserve_thinking=preserve)

    plain = [(kind, messages, None, thinking, False, generation_prompt)
             for kind, messages, thinking, generation_prompt in chat_conversations.conversations()]
    lines = []
    for kind, messages, tools, *options in plain + tool_conversations.conversations():
        thinking, preserve, generation_prompt = options
        line = {"kind": kind, "messages": messages, "tools": tools, "enable_thinking": thinking,
                "preserve_thinking": preserve, "add_generation_prompt": generation_prompt}
        lines.append(line)
        try:
            prompt = render(messages, tools, *options)
        except Exception:  # whatever the template stumbles over
            line["error"] = True
            continue
        split = encoders.control_pattern.split(render(masked(messages), masked(tools), *options))
        pieces = [piece.replace("\ue000", "<") for piece in split]
        assert "".join(pieces) == prompt, prompt
        ids = []
        for i, piece in enumerate(pieces):
            ids += [encoders.control[piece]] if i % 2 else encoders.encode(piece, False)
        line.update(prompt=prompt, ids=ids, text_holds_control=ids != encoders.encode(prompt, True))
    return lines


# ---- parser.jsonl


def parser_lines(encoders):
    lines = []
    for kind, pieces, start, expected in answers.answers():
        ids, text = [], ""
        for piece in pieces + [None]:
            if piece is not None and not isinstance(piece, answers.Control):
                text += piece
                continue
            ids += encoders.encode(text, False)
            ids += [] if piece is None else [encoders.control[piece]]
            text = ""
        lines.append({"kind": kind, "start_in_thought": start, "ids": ids, "text": "".join(pieces), **expected})
    return lines


def write(out, folder, template_path):
    os.makedirs(f"{out}/text", exist_ok=True)
    encoders = Encoders(folder)
    write_lines(tokenizer_lines(encoders), f"{out}/text/tokenizer.jsonl")
    write_lines(detokenizer_lines(encoders), f"{out}/text/detokenizer.jsonl")
    write_lines(chat_lines(encoders, template_path), f"{out}/text/chat.jsonl")
    write_lines(parser_lines(encoders), f"{out}/text/parser.jsonl")
