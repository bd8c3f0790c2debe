"""Twelve tools: calling the right one with the right arguments, telling what it gave, and doing without.

A request offers one to four of them. The values in the arguments are copied from the request; a test asks for values
that training did not use with that tool. Results come as strings, mostly JSON, as clients send them; in training also
as objects, which the chat format prints in its own way.
"""
import dataclasses
import json

from skills import arithmetic, knowledge, words
from skills.case import Call, Case, belongs, called, model, result, user
from skills.memory import NAMES, TOWNS

CITIES = TOWNS + "Bergen Hamburg Munich Milan Venice Lyon Porto Seville Leeds Boston Chicago Dallas Kyoto Osaka".split()
CURRENCIES = "EUR USD GBP CHF JPY".split()
ROOMS = "kitchen bathroom bedroom hall office garage garden".split()
SKIES = "sunny cloudy raining snowing windy foggy".split()
ERRORS = ("not found", "no connection", "try again later", "not allowed", "out of order", "too slow")
CITY = TEXT = {"type": "string"}
NUMBER = {"type": "number"}
CURRENCY = {"type": "string", "enum": CURRENCIES}
NO_TOOL = "I have no tool for that."


@dataclasses.dataclass
class Tool:
    descriptions: tuple  # two wordings
    parameters: dict  # name -> JSON schema
    draw: object  # (rng) -> arguments
    orders: tuple  # ways to ask, as a clause that may follow "and"; filled in with the arguments
    questions: tuple  # ways to ask that stand alone
    wish: str  # "The user wants ..."
    give: object  # (rng, arguments) -> what the tool returns
    tell: str  # the answer; filled in with arguments and what was returned


def phrase(rng):
    return " ".join(rng.sample(words.WORDS, rng.randint(2, 4)))


def clock(rng):
    return f"{rng.randint(0, 23)}:{rng.randint(0, 59):02}"


def two_numbers(rng):
    a, b = (rng.randint(0, 10 ** rng.randint(1, 4) - 1) for _ in range(2))
    return {"a": a, "b": b}


def journey(rng):
    start, end = rng.sample(CITIES, 2)
    return {"from": start, "to": end}


def money(rng):
    one, other = rng.sample(CURRENCIES, 2)
    return {"amount": rng.randint(1, 999), "from": one, "to": other}


def done(rng, arguments):
    return {"status": "ok"}


TOOLS = {
    "get_weather": Tool(
        ("The weather in a city.", "Gets the weather of a city."), {"city": CITY},
        lambda rng: {"city": rng.choice(CITIES)}, ("tell me the weather in {city}", "get the weather in {city}"),
        ("What is the weather in {city}?", "How is the weather in {city}?"), "the weather in {city}",
        lambda rng, _: {"degrees": rng.randint(-20, 40), "sky": rng.choice(SKIES)},
        "It is {degrees} degrees and {sky} in {city}."),
    "get_time": Tool(
        ("The time in a city.", "Gets the local time of a city."), {"city": CITY},
        lambda rng: {"city": rng.choice(CITIES)}, ("tell me the time in {city}", "get the time in {city}"),
        ("What time is it in {city}?", "How late is it in {city}?"), "the time in {city}",
        lambda rng, _: {"time": clock(rng)}, "It is {time} in {city}."),
    "add": Tool(
        ("Adds two numbers.", "The sum of two numbers."), {"a": NUMBER, "b": NUMBER}, two_numbers,
        ("add {a} and {b}",), ("What is {a} + {b}?", "{a} plus {b}?", "How much is {a} + {b}?"), "a sum",
        lambda rng, given: {"sum": given["a"] + given["b"]}, "The sum is {sum}."),
    "multiply": Tool(
        ("Multiplies two numbers.", "The product of two numbers."), {"a": NUMBER, "b": NUMBER}, two_numbers,
        ("multiply {a} by {b}",), ("What is {a} times {b}?", "{a} times {b}?", "How much is {a} * {b}?"), "a product",
        lambda rng, given: {"product": given["a"] * given["b"]}, "The product is {product}."),
    "set_timer": Tool(
        ("Sets a timer.", "Starts a timer of some minutes."), {"minutes": NUMBER},
        lambda rng: {"minutes": rng.randint(2, 120)},
        ("set a timer of {minutes} minutes", "start a timer for {minutes} minutes"),
        ("Wake me in {minutes} minutes.",), "a timer", done, "The timer is set for {minutes} minutes."),
    "send_message": Tool(
        ("Sends a message to a person.", "Sends a short text to someone."), {"to": TEXT, "text": TEXT},
        lambda rng: {"to": rng.choice(NAMES), "text": phrase(rng)}, (),
        ("Send {to} the message: {text}", "Tell {to}: {text}", "Write to {to}: {text}"), "to write to {to}", done,
        "The message to {to} is sent."),
    "find_train": Tool(
        ("The next train between two cities.", "Finds a train."), {"from": CITY, "to": CITY}, journey,
        ("find a train from {from} to {to}",),
        ("When is the next train from {from} to {to}?", "How do I get from {from} to {to} by train?"),
        "a train from {from} to {to}", lambda rng, _: {"departs": clock(rng), "platform": rng.randint(1, 20)},
        "The next train from {from} to {to} leaves at {departs} from platform {platform}."),
    "convert": Tool(
        ("Converts money.", "Changes an amount into another currency."),
        {"amount": NUMBER, "from": CURRENCY, "to": CURRENCY},
        money, ("convert {amount} {from} to {to}", "change {amount} {from} into {to}"),
        ("How much is {amount} {from} in {to}?",), "to convert money",
        lambda rng, _: {"result": rng.randint(1, 2000)}, "{amount} {from} are {result} {to}."),
    "set_light": Tool(
        ("Turns a light on or off.", "Switches the light of a room."),
        {"room": {"type": "string", "enum": ROOMS}, "on": {"type": "boolean"}},
        lambda rng: {"room": rng.choice(ROOMS), "on": rng.random() < 0.5},
        ("turn {switch} the light in the {room}", "turn the {room} light {switch}"),
        ("Light {switch} in the {room}, please.",), "the {room} light {switch}", done,
        "The light in the {room} is {switch}."),
    "play": Tool(
        ("Plays a piece of music.", "Plays a song by its title."), {"title": TEXT},
        lambda rng: {"title": phrase(rng).title()}, ("play {title}", "play the song {title}"),
        ("I want to hear {title}.",), "to hear {title}", done, "Now playing {title}."),
    "remember": Tool(
        ("Keeps a note.", "Writes down a note for later."), {"note": TEXT}, lambda rng: {"note": phrase(rng)}, (),
        ("Remember: {note}", "Make a note: {note}", "Note this: {note}"), "a note", done, "I noted: {note}"),
    "search": Tool(
        ("Searches the web.", "Looks something up on the web."), {"query": TEXT}, lambda rng: {"query": phrase(rng)},
        ("search for {query}", "look up {query}"), ("Find pages about {query}.",), "pages about {query}",
        lambda rng, _: {"title": phrase(rng)}, "I found: {title}"),
}


def sentence(text):
    return text[0].upper() + text[1:] + "."


def fill(form, values):
    return form.format(**values, switch="on" if values.get("on") else "off")


def declaration(rng, name):
    tool = TOOLS[name]
    return {"type": "function", "function": {
        "name": name, "description": rng.choice(tool.descriptions),
        "parameters": {"type": "object", "properties": tool.parameters, "required": list(tool.parameters)}}}


def offer_any(rng, needed, forbidden=()):
    """One to four tools in any order, all `needed` (names without repetition) among them."""
    others = [name for name in TOOLS if name not in needed and name not in forbidden]
    names = list(needed) + rng.sample(others, max(rng.choice((1, 2, 2, 3, 4)) - len(needed), 0))
    rng.shuffle(names)
    return [declaration(rng, name) for name in names]


def a_call(rng, split, name):
    while True:
        arguments = TOOLS[name].draw(rng)
        if belongs(split, name, sorted(arguments.items())):
            return Call(name, arguments)


def request(rng, call):
    tool = TOOLS[call.name]
    forms = [sentence(order) for order in tool.orders] + list(tool.questions)
    return fill(rng.choice(forms), call.arguments)


def thought_before(call):
    return f"The user wants {fill(TOOLS[call.name].wish, call.arguments)}. I call {call.name}."


def tool_call(rng, split, offer=offer_any):
    call = a_call(rng, split, rng.choice(list(TOOLS)))
    before, needed = [], [call.name]
    way = rng.random()
    if way < 0.1:
        case = rng.choice(PLAIN)(rng, split)
        before = [case.messages[0], model(case.text)]
    elif way < 0.2:
        earlier = a_call(rng, split, rng.choice(list(TOOLS)))
        given, text = returned(rng, earlier)
        before = [user(request(rng, earlier)), called(earlier), result(earlier, json.dumps(given)), model(text)]
        needed = dict.fromkeys([call.name, earlier.name])
    return Case("tool call", before + [user(request(rng, call))], calls=[call], tools=offer(rng, needed))


def returned(rng, call):
    """What the tool gives, and the sentence that tells it. One call in ten fails."""
    if rng.random() < 0.1:
        error = rng.choice(ERRORS)
        return {"error": error}, f"That did not work: {error}."
    given = TOOLS[call.name].give(rng, call.arguments)
    return given, fill(TOOLS[call.name].tell, call.arguments | given)


def as_objects(messages, calls, given):
    """The same with results as objects. The reference template takes them only inside the message that called."""
    answered = messages[-1] | {"tool_responses": [
        {"name": call.name, "response": response} for call, response in zip(calls, given)]}
    return messages[:-1] + [answered]


def tool_result(rng, split, offer=offer_any):
    if rng.random() < 0.2:
        question, calls = pair_of_calls(rng, split)
    else:
        calls = [a_call(rng, split, rng.choice(list(TOOLS)))]
        question = request(rng, calls[0])
    given, texts = zip(*(returned(rng, call) for call in calls))
    messages = [user(question), called(*calls)]
    if split == "train" and rng.random() < 0.25:
        messages = as_objects(messages, calls, given)
    else:
        messages += [result(call, json.dumps(response), i) for i, (call, response) in enumerate(zip(calls, given))]
    return Case("tool result", messages, " ".join(texts), tools=offer(rng, dict.fromkeys(call.name for call in calls)))


PLAIN = (arithmetic.small_sum, arithmetic.small_difference, knowledge.capitals, knowledge.about_itself, words.spelling,
         words.reversing, words.upper_case, words.sorting, words.largest_number)


def without_tool(rng, split, offer):
    """A question, the answer, tools that do not help, and a thought about it."""
    if rng.random() < 0.45:
        call = a_call(rng, split, rng.choice([name for name in TOOLS if name != "add"]))
        return request(rng, call), NO_TOOL, offer(rng, [], {call.name, "search"}), "No tool here can do that."
    case = rng.choice(PLAIN)(rng, split)
    return case.messages[0]["content"], case.text, offer(rng, [], {"add", "search"}), "I need no tool for that."


def no_tool_needed(rng, split, offer=offer_any):
    question, answer, tools, _ = without_tool(rng, split, offer)
    return Case("no tool needed", [user(question)], answer, tools=tools)


def tool_with_thinking(rng, split, offer=offer_any):
    way = rng.random()
    if way < 0.2:
        question, answer, tools, thought = without_tool(rng, split, offer)
        return Case("tool with thinking", [user(question)], answer, thought=thought, tools=tools)
    call = a_call(rng, split, rng.choice(list(TOOLS)))
    messages, tools = [user(request(rng, call))], offer(rng, [call.name])
    if way < 0.65:
        return Case("tool with thinking", messages, thought=thought_before(call), calls=[call], tools=tools)
    given, text = returned(rng, call)
    # Within the tool loop a client shows the model its thought again, if it kept it.
    kept = {"reasoning": thought_before(call)} if rng.random() < 0.7 else {}
    messages += [called(call) | kept, result(call, json.dumps(given))]
    said = " and ".join(str(value) for value in given.values())
    return Case("tool with thinking", messages, text, thought=f"The tool says {said}.", tools=tools)


def different_calls(rng, split, names):
    """A call to each of two tools; of one tool asked twice, about two places."""
    while True:
        calls = [a_call(rng, split, name) for name in names]
        one, other = ([call.arguments.get(key) for key in ("city", "room")] for call in calls)
        if names[0] != names[1] or one != other:
            return calls


def pair_of_calls(rng, split):
    """Two orders in one sentence, or the same question about two cities."""
    if rng.random() < 0.4:
        name = rng.choice(("get_weather", "get_time"))
        calls = different_calls(rng, split, [name, name])
        what = "Weather" if name == "get_weather" else "Time"
        form = rng.choice((f"{what} in {{}} and in {{}}?", f"What is the {what.lower()} in {{}} and in {{}}?"))
        return form.format(*(call.arguments["city"] for call in calls)), calls
    names = rng.sample([name for name in TOOLS if TOOLS[name].orders], 2)
    if rng.random() < 0.15:
        names = ["set_light", "set_light"]
    calls = different_calls(rng, split, names)
    orders = [fill(rng.choice(TOOLS[call.name].orders), call.arguments) for call in calls]
    return sentence(" and ".join(orders)), calls


def two_calls(rng, split, offer=offer_any):
    question, calls = pair_of_calls(rng, split)
    tools = offer(rng, dict.fromkeys(call.name for call in calls))
    return Case("two calls", [user(question)], calls=calls, tools=tools)


SKILLS = {
    "tool call": (tool_call, 6),
    "tool result": (tool_result, 3),
    "no tool needed": (no_tool_needed, 5),
    "tool with thinking": (tool_with_thinking, 3),
    "two calls": (two_calls, 2.5),
}


class DoesNotFit(Exception):
    """A case needs a tool that is not among those given, or must not have one that is."""


def offer_given(tools):
    names = {tool["function"]["name"] for tool in tools}

    def offer(rng, needed, forbidden=()):
        if not names.issuperset(needed) or names.intersection(forbidden):
            raise DoesNotFit
        return tools
    return offer


def siblings(rng, case, count):
    """So many more cases of training under the same system message as this one's: the same tools, thinking or not."""
    found, head = [], [message for message in case.messages[:1] if message["role"] == "system"]
    makers = [(maker, weight) for maker, weight in SKILLS.values() if case.thinking == (maker is tool_with_thinking)]
    while len(found) < count:
        maker = rng.choices(*zip(*makers))[0]
        for _ in range(40):  # till one fits; some makers can make none with these tools
            try:
                other = maker(rng, "train", offer_given(case.tools))
            except DoesNotFit:
                continue
            found.append(dataclasses.replace(other, messages=head + other.messages))
            break
    return found
