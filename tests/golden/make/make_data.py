#!/usr/bin/env python3
"""Makes tests/golden/data with the reference implementation. See README.md.

    python make_data.py [--out DIR]
                        [--part tokenizer checkpoint cases drafter media layout text requests]
"""
import argparse
import json
import os

import corpus
import drafter_data
import layout_data
import media_data
import model_cases
import requests_data
import text_data
import tiny_model
import tiny_tokenizer


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    # Later parts read earlier ones' files.
    parts = ["tokenizer", "checkpoint", "cases", "drafter", "media", "layout", "text", "requests"]
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", default=os.path.join(os.path.dirname(here), "data"))
    parser.add_argument("--part", nargs="+", choices=parts, default=parts)
    arguments = parser.parse_args()
    out = arguments.out
    folder = f"{out}/checkpoints/{tiny_model.NAME}"
    os.makedirs(folder, exist_ok=True)
    if "tokenizer" in arguments.part:
        tiny_tokenizer.write(corpus.ENGLISH, folder)
    with open(f"{folder}/tokenizer.json", encoding="utf-8") as f:
        ids = json.load(f)["model"]["vocab"]
    template = f"{here}/chat_template.jinja"
    if "checkpoint" in arguments.part:
        tiny_model.write(folder, ids)
    if "cases" in arguments.part:
        model_cases.write(out, folder, ids)
    if "drafter" in arguments.part:
        drafter_data.write(out, folder, ids)
    if "media" in arguments.part:
        media_data.write(out)
    if "layout" in arguments.part:
        layout_data.write(out, folder, template)
    if "text" in arguments.part:
        text_data.write(out, folder, template)
    if "requests" in arguments.part:
        requests_data.write(out, folder, template)
    for root, _, files in os.walk(out):
        for name in files:
            os.chmod(os.path.join(root, name), 0o644)


if __name__ == "__main__":
    main()
