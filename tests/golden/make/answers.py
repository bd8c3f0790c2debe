"""Answers for parser.jsonl: each is written down together with what a reader must find in it."""
import json
import random

SEED = 52


class Control(str):
    """A control token, by its spelling."""


class Number(str):
    """A number as it is spelled."""


CHANNEL, CHANNEL_END, CALL, CALL_END, QUOTE, TURN_END, EOS, RESPONSE, IMAGE = map(
    Control, ("<|channel>", "<channel|>", "<|tool_call>", "<tool_call|>", '<|"|>', "<turn|>", "<eos>", "<|tool_response>",
              "<|image>"))
WORDS = ["the train leaves at seven", "Hello, you.", "a  b\n\nc", "\u4e2d\u6587 \U0001f469\u200d\U0001f680", '<|"|> <channel|> spelled', "{a:1}", "true"]
NAMES = ["f", "find_train", "search.web", "place-order", "T2"]
KEYS = ["a", "B", "x_1", "key with space", "\u043a\u043b\u044e\u0447", "0"]
NUMBERS = [Number(n) for n in ("0", "-1", "3.14", "-0.0", "1.0", "1e5", "-2.5E+10", "12345678901234567890123")]


def spell(value, quote_keys):
    """The value as the model writes it."""
    if isinstance(value, Number):
        return [str(value)]
    if isinstance(value, str):
        return [QUOTE, value, QUOTE]
    if isinstance(value, list):
        elements = [spell(v, quote_keys) for v in value]
        return ["["] + sum(([","] + e if i else e for i, e in enumerate(elements)), []) + ["]"]
    if isinstance(value, dict):
        members = [([QUOTE, k, QUOTE] if quote_keys else [k]) + [":"] + spell(v, quote_keys) for k, v in value.items()]
        return ["{"] + sum(([","] + m if i else m for i, m in enumerate(members)), []) + ["}"]
    return [json.dumps(value)]


def to_json(value):
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, list):
        return "[" + ",".join(map(to_json, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(json.dumps(k, ensure_ascii=False) + ":" + to_json(v) for k, v in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)


def random_value(rng, depth=0):
    choice = rng.random()
    if depth < 3 and choice < 0.2:
        return {k: random_value(rng, depth + 1) for k in rng.sample(KEYS, rng.randrange(4))}
    if depth < 3 and choice < 0.4:
        return [random_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    return rng.choice(WORDS + NUMBERS + [True, False, None])


def answers():
    """(kind, pieces, starts in a thought, expected), in a fixed order. `pieces` are texts and control tokens."""
    rng, out = random.Random(SEED), []

    def add(kind, pieces, thought="", content="", calls=(), malformed=(), end="stop", start=False):
        expected = {"reasoning": thought, "content": content, "finish_reason": end, "malformed": list(malformed),
                    "tool_calls": [{"name": n, "arguments": a} for n, a in calls]}
        out.append((kind, pieces, start, expected))

    for word in WORDS:
        for end in (TURN_END, EOS, RESPONSE):
            add("plain", [word, end], content=word)
        add("thought", [CHANNEL, "thought\n" + word + "\n", CHANNEL_END, word, TURN_END], word, word)
        add("thought", [word + "\n", CHANNEL_END, word], word, word, end="length", start=True)
        add("string", [CALL, "call:f{s:", QUOTE, word, QUOTE, "}", CALL_END, RESPONSE],
            calls=[("f", '{"s":' + json.dumps(word, ensure_ascii=False) + "}")], end="tool_calls")
    for quote_keys in (False, True):
        for _ in range(12):
            calls = [(rng.choice(NAMES), {k: random_value(rng, 1) for k in rng.sample(KEYS, rng.randrange(4))})
                     for _ in range(rng.choice((1, 1, 2)))]
            pieces = sum(([CALL, f"call:{n}", *spell(a, quote_keys), CALL_END] for n, a in calls), [])
            add("call", [CHANNEL, "thought\n", CHANNEL_END, *pieces, RESPONSE],
                calls=[(n, to_json(a)) for n, a in calls], end="tool_calls")

    two = [CHANNEL, "thought\na\n", CHANNEL_END, "x", CHANNEL, "thought\nb", CHANNEL_END, "y", TURN_END]
    add("thoughts", two, "a\n\nb", "xy")
    add("thoughts", [CHANNEL, "plan\n\n", CHANNEL_END, "x", TURN_END], "plan\n", "x")
    add("thoughts", [CHANNEL, "tho"], end="length")
    add("thoughts", [CHANNEL, "thought", CHANNEL, "thought\n\n", CHANNEL_END, TURN_END])
    add("thoughts", [CHANNEL, "thought\na", CALL, "call:f{}", CALL_END, RESPONSE], "a", calls=[("f", "{}")], end="tool_calls")
    add("content", ["  padded\u3000\n", TURN_END], content="padded")
    add("content", ["a ", CALL, "call:f{}", CALL_END, " b ", TURN_END], content="a  b", calls=[("f", "{}")], end="tool_calls")
    add("content", [" \n", TURN_END])
    add("stray", ["a", CHANNEL_END, CALL_END, QUOTE, IMAGE, "b", TURN_END], content="ab")
    add("stray", ["a", TURN_END, "b", CALL, "call:f{}", CALL_END], content="a")
    add("space", [CALL, " call:f {\n a : 1 ,b:[ 1 , 2 , ] , }\n", CALL_END, RESPONSE],
        calls=[("f", '{"a":1,"b":[1,2]}')], end="tool_calls")
    add("bare", [CALL, "call:f{a:red sky,b:None,c:NIL,d:True,e:007,f:1.,g:null}", CALL_END, RESPONSE],
        calls=[("f", '{"a":"red sky","b":null,"c":null,"d":"True","e":"007","f":"1.","g":null}')], end="tool_calls")
    add("end", [CALL, "call:f{a:1}", RESPONSE], calls=[("f", '{"a":1}')], end="tool_calls")
    add("end", [CALL, "call:f{a:1}", CALL, "call:g{}"], calls=[("f", '{"a":1}'), ("g", "{}")], end="length")
    add("end", [CALL, "call:f{a:", QUOTE, "x", IMAGE, "y", QUOTE, "}", CALL_END, RESPONSE],
        calls=[("f", '{"a":"x<|image>y"}')], end="tool_calls")
    for broken in ("", "ca", "call:f", "call:f{", "call:f{a", "call:f{a:", "call:f{a:1", "call:f{a:[1}", "call:f g{}", "call:{}",
                   "f{}", "call:f{}x", "call:f{,}", "call:f{a:1 b:2,,}", "call:f{:1}", "call:f{a:}"):
        add("malformed", [CALL, broken, CALL_END, TURN_END], malformed=[broken])
        add("cut", ["x", CALL, broken], content="x", malformed=[broken], end="length")
    add("cut", [CALL, "call:f{a:", QUOTE, "x"], malformed=['call:f{a:<|"|>x'], end="length")
    return out
