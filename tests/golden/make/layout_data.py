"""layout.json: how the reference's processor expands placeholders in text into tokens."""
import json

import numpy as np
from PIL import Image
from transformers.video_utils import VideoMetadata

import requests_data

LAYOUTS = [  # pictures [width, height], sounds in samples, videos [frames, width, height, frames a second]
    {"text": "<bos><|turn>user\n<|image|>Hi<turn|>\n", "images": [[640, 480]]},
    {"text": "<bos>a<|image|><|image|>b", "images": [[1, 1], [1920, 1080]]},
    {"text": "<bos><|audio|><|audio|>What?", "audio": [1, 641]},
    {"text": "<bos>see <|video|> end", "videos": [[40, 160, 120, 1.0]]},
    {"text": "<bos><|image|> and <|audio|> and <|video|>", "images": [[100, 1000]], "audio": [1600],
     "videos": [[64, 64, 48, 0.5]]},
    {"text": "<bos><|video|><|video|>", "videos": [[32, 64, 48, 24.0], [33, 48, 64, 0.1]]},
]


def expand(processor, entry):
    media = {}
    if "images" in entry:
        media["images"] = [[Image.new("RGB", tuple(size)) for size in entry["images"]]]
    if "audio" in entry:
        media["audio"] = [np.zeros(n, np.float32) for n in entry["audio"]]
    if "videos" in entry:
        media["videos"] = [[np.zeros((f, h, w, 3), np.uint8) for f, w, h, _ in entry["videos"]]]
        media["video_metadata"] = [[VideoMetadata(total_num_frames=f, fps=fps) for f, _, _, fps in entry["videos"]]]
    result = processor(text=[entry["text"]], add_special_tokens=False, return_tensors="pt", **media)
    runs = []
    for token, kind in zip(result["input_ids"][0].tolist(), result["mm_token_type_ids"][0].tolist()):
        if runs and runs[-1][:2] == [token, kind]:
            runs[-1][2] += 1
        else:
            runs.append([token, kind, 1])
    return dict(entry, runs=runs, tokens=sum(run[2] for run in runs))


def write(out, folder, template):
    processor = requests_data.load_processor(folder, template)
    with open(f"{out}/layout.json", "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(expand(processor, entry)) for entry in LAYOUTS) + "\n]\n")
