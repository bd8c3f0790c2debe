"""The tiny checkpoint's tokenizer.json: the structure of Gemma 4's file, a vocabulary of our own.

As there: a space is U+2581; runs of newlines, of tabs and of spaces have pieces; a word may start with one
space; a character without a piece falls back to the bytes of its UTF-8; 24 added tokens; pieces that no merge
leads to (`<unused0>`, `</s>`), which only the model can emit. As there, too, `merges` lists every pair of pieces
that makes a piece, in the order of the products: this is what makes it equal to a SentencePiece model.
"""
import collections
import json
import re

from sentencepiece import sentencepiece_model_pb2 as spm_proto

SIZE = 1024
SPACE = "\u2581"
RUN_MAX = 8  # Gemma 4 has 31
FIRST = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "[multimodal]", "<unused0>", "<unused1>", "<|tool>", "<tool|>",
         "<|tool_call>", "<tool_call|>", "<|tool_response>", "<tool_response|>", '<|"|>', "<unused2>", "<|think|>",
         "<unused3>", "<|channel>", "<channel|>", "<unused4>", "<|turn>", "<turn|>"]
HTML = ["<table>", "</table>", "<h1>", "</h1>", "<s>", "</s>"]
LAST = ["<|image>", "<|audio>", "<unused5>", "<|image|>", "<|audio|>", "<image|>", "<audio|>", "<|video|>"]
UNMERGEABLE = {p for p in FIRST + LAST if p.startswith("<unused")} | {"[multimodal]"} | set(HTML)
ADDED = [p for p in FIRST + LAST if p not in UNMERGEABLE]
CHARACTERS = ([chr(c) for c in range(0x21, 0x7F)] + [SPACE] + list("äöüßéèêàâáíóúñçåøæœÄÖÜÉ–—’“”…°€£½×·«»¿¡") +
              list("日本語中の") + list("αβπΩ"))
MARKUP = ["</", SPACE + "</", ">" + SPACE + "</"]  # the one piece with a space inside, as in Gemma 4

# Words of the chat format, which stand after a control token, not after a space: one piece each.
FORMAT_WORDS = ["user", "model", "system", "thought"]

# The names that tokenizer_config.json gives the added tokens.
NAMES = {"bos": "<bos>", "eos": "<eos>", "pad": "<pad>", "unk": "<unk>", "mask": "<mask>", "image": "<|image|>",
         "boi": "<|image>", "eoi": "<image|>", "audio": "<|audio|>", "boa": "<|audio>", "eoa": "<audio|>",
         "sot": "<|turn>", "eot": "<turn|>", "soc": "<|channel>", "eoc": "<channel|>", "think": "<|think|>",
         "escape": '<|"|>', "std": "<|tool>", "etd": "<tool|>", "stc": "<|tool_call>", "etc": "<tool_call|>",
         "str": "<|tool_response>", "etr": "<tool_response|>"}


def train(text, count, word):
    """The `count` pieces that byte-pair merging of the text's words makes, in order. Ties go to the pair that
    sorts first."""
    words = collections.Counter(w.replace(" ", SPACE) for w in re.findall(word, text.replace("\n", " ")))
    words.update({word: 20 for word in FORMAT_WORDS})
    split = {word: list(word) for word in words}
    made = []
    while len(made) < count:
        pairs = collections.Counter()
        for word, parts in split.items():
            for pair in zip(parts, parts[1:]):
                pairs[pair] += words[word]
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        if best[0] + best[1] not in made:
            made.append(best[0] + best[1])
        for parts in split.values():
            i = 0
            while i + 1 < len(parts):
                if (parts[i], parts[i + 1]) == best:
                    parts[i:i + 2] = [best[0] + best[1]]
                i += 1
    return made


def run_merges():
    """Merges of runs, in the order of Gemma 4's: long left parts first."""
    return [[c * left, c * right] for left in range(RUN_MAX - 1, 0, -1)
            for right in range(min(left, RUN_MAX - left), 0, -1) for c in ("\n", SPACE, "\t")]


def build(text, size=SIZE, word=r" ?[A-Za-z]+"):
    """The content of tokenizer.json: `size` pieces, merged inside what the expression `word` takes for a word."""
    runs = ["\n" * n for n in range(1, RUN_MAX + 1)] + [SPACE * n for n in range(2, RUN_MAX + 1)]
    tabs = ["\t" * n for n in range(1, RUN_MAX + 1)]
    data = [f"<0x{b:02X}>" for b in range(256)]
    fixed = FIRST + runs + HTML + data + MARKUP + CHARACTERS + tabs + LAST
    words = train(text, size - len(fixed), word)
    seen = collections.Counter(text.replace(" ", SPACE))
    characters = sorted(CHARACTERS, key=lambda c: (-seen[c], c))
    pieces = FIRST + runs + HTML + data + words + MARKUP + characters + tabs + LAST
    ids = {piece: i for i, piece in enumerate(pieces)}
    assert len(ids) == len(pieces) == size
    merges = run_merges()
    text_pieces = set(words + MARKUP + characters)
    for product in words + MARKUP:
        parts = [[product[:i], product[i:]] for i in range(1, len(product))]
        parts = [p for p in parts if p[0] in text_pieces and p[1] in text_pieces]
        merges += sorted(parts, key=lambda p: (ids[p[0]], ids[p[1]]))
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    sequence = [{"Sequence": {"id": "A", "type_id": 0}}]
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i, "content": p, **flags} for p, i in ids.items() if p in ADDED],
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": SPACE},
        "pre_tokenizer": {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious",
                          "invert": False},
        "post_processor": {"type": "TemplateProcessing", "single": sequence,
                           "pair": sequence + [{"Sequence": {"id": "B", "type_id": 1}}], "special_tokens": {}},
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": SPACE}, "content": " "}, {"type": "ByteFallback"},
            {"type": "Fuse"}]},
        "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
                  "vocab": ids, "merges": merges},
    }


def build_config():
    """The content of tokenizer_config.json."""
    return {"tokenizer_class": "GemmaTokenizer", "processor_class": "Gemma4UnifiedProcessor", "padding_side": "left",
            "add_bos_token": False, "model_max_length": 4096, "extra_special_tokens": ["<|video|>"],
            **{f"{name}_token": spelling for name, spelling in NAMES.items()}}


def write(text, folder, **options):
    """Writes both files; returns the id of every piece."""
    content = build(text, **options)
    with open(f"{folder}/tokenizer.json", "w", encoding="utf-8") as f:
        json.dump(content, f, ensure_ascii=False, indent=1)
    with open(f"{folder}/tokenizer_config.json", "w", encoding="utf-8") as f:
        json.dump(build_config(), f, indent=2, sort_keys=True)
    return content["model"]["vocab"]


def to_sentencepiece(path):
    """The same tokenizer as a SentencePiece model, the second opinion on every id. A piece takes part in merging
    only where the merges can build it or it is one character; every other piece is stored as CONTROL."""
    with open(path, encoding="utf-8") as f:
        content = json.load(f)
    pieces = sorted(content["model"]["vocab"], key=content["model"]["vocab"].get)
    rank = {}
    for i, (a, b) in enumerate(content["model"]["merges"]):
        rank.setdefault(a + b, i)
    kind = spm_proto.ModelProto.SentencePiece
    model = spm_proto.ModelProto()
    for spelling in pieces:
        piece = model.pieces.add()
        piece.piece, piece.score, piece.type = spelling, 0.0, kind.CONTROL
        if spelling == "<unk>":
            piece.type = kind.UNKNOWN
        elif re.fullmatch(r"<0x[0-9A-F]{2}>", spelling):
            piece.type = kind.BYTE
        elif spelling not in ADDED and (len(spelling) == 1 or spelling in rank):
            piece.type, piece.score = kind.NORMAL, -float(rank.get(spelling, len(content["model"]["merges"])))
    trainer, normalizer = model.trainer_spec, model.normalizer_spec
    trainer.model_type, trainer.vocab_size, trainer.byte_fallback = spm_proto.TrainerSpec.BPE, len(pieces), True
    trainer.pad_id, trainer.eos_id, trainer.bos_id, trainer.unk_id = 0, 1, 2, 3
    trainer.pad_piece, trainer.eos_piece, trainer.bos_piece, trainer.unk_piece = pieces[:4]
    normalizer.name, normalizer.precompiled_charsmap = "identity", b""
    normalizer.add_dummy_prefix = normalizer.remove_extra_whitespaces = False
    normalizer.escape_whitespaces = True
    return model.SerializeToString()
