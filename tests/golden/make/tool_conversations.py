"""Conversations with tools, calls, results and stored thoughts for chat.jsonl, written for this data."""
from chat_conversations import AUDIO, IMAGE, VIDEO, assistant, system, text, user


def tool(name, description=None, properties=None, required=None, **more):
    function = {"name": name, **({} if description is None else {"description": description})}
    if properties is not None:
        function["parameters"] = {"type": "object", "properties": properties}
        if required is not None:
            function["parameters"]["required"] = required
    return {"type": "function", "function": {**function, **more}}


def call(name, arguments, call_id=None):
    return {**({} if call_id is None else {"id": call_id}), "type": "function",
            "function": {"name": name, "arguments": arguments}}


def calling(*calls, content=None, **more):
    return {"role": "assistant", "content": content, **more, "tool_calls": list(calls)}


def result(content, call_id=None, name=None):
    return {"role": "tool", **({} if call_id is None else {"tool_call_id": call_id}),
            **({} if name is None else {"name": name}), "content": content}


TRAIN = tool("find_train", "Finds a train.",
             {"to": {"type": "string", "description": "Station"}, "seats": {"type": "array", "items": {"type": "integer"}},
              "class": {"type": "string", "enum": ["first", "second"]}}, ["to"])
CLOCK = tool("clock")
SCHEMAS = [
    [TRAIN], [CLOCK], [TRAIN, CLOCK], [tool("empty", "")], [tool("none", parameters=None)],
    [{"type": "function", "function": {"name": "null", "description": None, "parameters": {}}}],
    [tool("o", "Objects", {"free": {"type": "object"}, "closed": {"type": "object", "additionalProperties": False},
                           "inner": {"type": "object", "properties": {"Z": {"type": "boolean"}, "a": {"type": "number"}},
                                     "required": ["a"], "nullable": True}})],
    [tool("u", "Unions", {"a": {"type": ["string", "null"]}, "b": {"anyOf": [{"type": "string"}]}, "c": {"description": "c"},
                          "d": {"type": "array", "items": {"type": ["integer", "null"]}}, "e": {"type": ["it's", 'q"\u00e9\n']}})],
    [tool("arrays", "Arrays", {"m": {"type": "array", "items": {"type": "array", "items": {"type": "number"}}},
                               "o": {"type": "array", "description": "o", "items": {
                                   "type": "object", "properties": {"B": {"type": "string"}, "a": {"type": "array", "items": {}}},
                                   "required": ["B"], "minimum": 1.50, "default": None}}})],
    [tool("order", "Keys", {key: {"type": "string"} for key in ("b", "A", "a", "B", "10", "9", "_", "\u00c4", "z", "\u00df", "\u03a3\u03a3", "\u03c3\u03c2")})],
    [tool("upper", "Case", {"x": {"type": "stra\u00dfe"}, "y": {"type": "\ufb01"}, "n": {"type": "integer", "enum": [1, 2]}})],
    [tool("back", "Response", {}, [], response={"type": "object", "description": "The value"})],
    [tool("odd", "Response", None, None, response={"type": "string"})],
]
ARGUMENTS = [
    {}, None, {"unit": "C", "city": "Oslo", "days": [1, 2]}, {"a": None, "b": True, "c": False, "D": {"y": {"Z": 1, "b": []}, "X": [[]]}},
    {"q": 'two\nlines\t"quoted" \\n', "\u00e9": "\u4e2d\u6587 \U0001f469\u200d\U0001f680"}, {"s": '<|"|>},x:1{', "t": "<tool_call|>"},
]
NUMBERS = [0, -1, 2 ** 53 + 1, 10 ** 22 + 7, 1.0, -0.0, 0.1, 1e-05, 0.0001, 1e15, 1e16, 123456789.125, 1.5e300, 5e-324, 100.0]
RESULTS = ["-3", "", "  padded \n", '{"a": 1}', None, 7, 2.5, True, [text("a"), text(" b ")],
           [IMAGE, text("chart"), AUDIO], [], [VIDEO]]


def conversations():
    """(kind, messages, tools, thinking, preserve thinking, generation prompt), in a fixed order."""
    out = []

    def add(kind, *messages, tools=None, thinking=False, preserve=False, generation_prompt=True):
        out.append((kind, list(messages), tools, thinking, preserve, generation_prompt))

    for i, tools in enumerate(SCHEMAS):
        add("tools", user("Which train?"), tools=tools, thinking=i % 2 == 0)
    add("tools", system("Use them."), user("Which train?"), tools=[TRAIN, CLOCK])
    add("tools", tools=[CLOCK])
    for i, arguments in enumerate(ARGUMENTS):
        add("call", user("q"), calling(call("f", arguments, "1")), result("ok", "1"), thinking=i % 2 == 0)
        add("call/open", user("q"), calling(call("f", arguments)), generation_prompt=i % 2 == 0)
    for number in NUMBERS:
        add("number", user("n"), calling(call("f", {"x": number, "y": [number]}, "1")), result(number, "1"))
    for i, content in enumerate(RESULTS):
        add("result", user("q"), calling(call("f", {}, "1")), result(content, "1"), thinking=i % 2 == 0)
        add("result", user("q"), calling(call("f", {}, "1")), result(content, "1"), assistant("So."), user("Good."))

    pair = calling(call("f", {}, "1"), call("g", {}, "2"))
    for results in ([result("a", "1"), result("b", "2")], [result("b", "2"), result("a", "1")], [result("a", "1")],
                    [result("a", "3")], [result("a", "3", "given")], [result("a")],
                    [result("a", "1"), user("stop"), result("b", "2")]):
        add("match", user("q"), pair, *results)
        add("match", user("q"), pair, *results, assistant("Done."), user("next"), thinking=True)
    add("match", user("q"), calling(call("f", {}), call("g", {})), result("a", None, "given"))
    add("match", user("q"), calling(call("f", {}, "same"), call("g", {}, "same")), result("a", "same"))

    loop = [user("book it")]
    for i in range(3):
        loop += [calling(call("step", {"i": i}, str(i)), reasoning=f" think {i}\n"), result(f"r{i}", str(i))]
        add("loop", *loop, thinking=True)
    for preserve in (False, True):
        add("gate", *loop, assistant("Done.", "assistant"), user("thanks"), thinking=True, preserve=preserve)
        add("gate", user("1"), {**assistant("a"), "reasoning_content": "r"}, user("2"), {**assistant("b"), "reasoning": "s"},
            preserve=preserve)
    add("native", user("q"), calling(call("f", {"a": 1}), tool_responses=[{"name": "f", "response": {"b": 2, "A": "x"}}]))
    add("native", user("q"), calling(call("f", {}), tool_responses=[{"response": [1]}, {"name": "", "response": "t"}]))
    add("native", user("q"), {**assistant(""), "tool_responses": [{"name": "g", "response": {}}]}, thinking=True)

    for thinking in (False, True):
        spoken = calling(call("f", {}, "1"), content="Let me look.")
        add("trap", user("q"), spoken, result("-3", "1"), thinking=thinking)
        add("trap", user("q"), spoken, thinking=thinking)
        add("trap", user("q"), spoken, result("-3", "1"), assistant("It is -3."), user("ok"), thinking=thinking)
        add("trap", result("orphan", "1"), user("q"), thinking=thinking)
        add("trap", user("q"), calling(call("f", {}, "1")), user("never mind"), thinking=thinking)
        add("trap", user("q"), calling(call("f", {}, "1")), result({"a": 1}, "2"), thinking=thinking)
        add("trap", user("q"), assistant("hm"), result({"a": 1}, "2"), thinking=thinking)
    for arguments in ("{}", "", [1], 5, True):
        add("error", user("q"), calling(call("f", arguments, "1")), result("x", "1"))
    return out
