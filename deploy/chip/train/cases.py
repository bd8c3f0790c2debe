"""Fresh test cases as files, for asking a running cluster: one JSON object a line with a skill, a request in
protobuf's JSON (cleave.v1.GenerateRequest, media inside) and the answer wanted. `chip_score` (tests/chip) asks them.

    cases.py --count 200 --seed mine > cases.jsonl
"""
import argparse
import base64
import io
import json
import random
import sys

import soundfile
from PIL import Image

import batches
from evaluate import MEDIA
from prompt import BUDGET
from skills.case import Picture

ROLES = {"system": "ROLE_SYSTEM", "user": "ROLE_USER", "assistant": "ROLE_MODEL", "tool": "ROLE_TOOL"}
JPEG_FROM = 40000  # bytes; a picture with noise is a JPEG file, as it would be in life
JPEG_QUALITY = 95


def picture_file(picture):
    image, png, jpeg = Image.fromarray(picture.pixels), io.BytesIO(), io.BytesIO()
    image.save(png, "png", optimize=True)
    if png.tell() < JPEG_FROM:
        return png.getvalue()
    image.save(jpeg, "jpeg", quality=JPEG_QUALITY)
    return jpeg.getvalue()


def sound_file(sound):
    file = io.BytesIO()
    soundfile.write(file, sound.samples, 16000, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def media_part(medium):
    kind, data = ("image", picture_file(medium)) if isinstance(medium, Picture) else ("audio", sound_file(medium))
    return {kind: {"data": base64.b64encode(data).decode()}}


def message(source, media):
    content, out = source["content"], {"role": ROLES[source["role"]]}
    if source["role"] == "tool":
        out["parts"] = [{"toolResult": {"callId": source["tool_call_id"], "text": content}}]
        return out
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    out["parts"] = [{"text": part["text"]} if part["type"] == "text" else media_part(next(media))
                    for part in parts if part.get("text", "media")]
    if source.get("tool_calls"):
        out["toolCalls"] = [{"id": call["id"], "name": call["function"]["name"],
                             "arguments": json.dumps(call["function"]["arguments"])} for call in source["tool_calls"]]
    if source.get("reasoning"):
        out["thought"] = source["reasoning"]
    return out


def as_json(case, split):
    media = iter(case.media)
    request = {"messages": [message(m, media) for m in case.messages], "sampling": {"temperature": 0},
               "maxOutputTokens": 512, "imageTokenBudget": BUDGET, "includeThoughts": True}
    if case.thinking:
        request["thinking"] = "THINKING_MODE_ON"
    if case.tools:
        request["tools"] = [{"name": tool["function"]["name"], "description": tool["function"]["description"],
                             "parameters": json.dumps(tool["function"]["parameters"])} for tool in case.tools]
    calls = [{"name": call.name, "arguments": call.arguments} for call in case.calls]
    skill = case.skill + (" (unseen)" if split == "unseen" else "")
    return {"skill": skill, "request": request, "text": case.text, "calls": calls}


def write(count, seed, file):
    for kind in batches.MIX:
        for name, (maker, _) in kind.SKILLS.items():
            for split in ("test", "unseen") if kind in MEDIA else ("test",):
                rng = random.Random(f"{seed}/{name}/{split}")
                for _ in range(count):
                    file.write(json.dumps(as_json(maker(rng, split), split), ensure_ascii=False) + "\n")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--count", type=int, default=200, help="of each skill and split")
    arguments.add_argument("--seed", default="cases")
    given = arguments.parse_args()
    write(given.count, given.seed, sys.stdout)
