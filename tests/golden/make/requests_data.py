"""requests.json: whole requests, from messages and media files to the answer's text, by the reference alone:
chat template, tokenizer, image processor, feature extractor, model."""
import json

import numpy as np
import torch
from transformers import (AutoTokenizer, Gemma4UnifiedAudioFeatureExtractor, Gemma4UnifiedImageProcessor,
                          Gemma4UnifiedProcessor)
from transformers.models.gemma4_unified.video_processing_gemma4_unified import Gemma4UnifiedVideoProcessor
from transformers.video_utils import VideoMetadata

import media_data
import tiny_model


def text(value):
    return {"text": value}


def message(role, *parts):
    return {"role": role, "parts": [text(p) if isinstance(p, str) else p for p in parts]}


def image(name):
    return {"image": f"pictures/{name}"}


def audio(name):
    return {"audio": f"sounds/{name}"}


def video(names, fps, frames_max):
    return {"video": {"frames": [f"pictures/{name}" for name in names], "fps": fps, "frames_max": frames_max}}


# Longer than the window of 32 means: in expanded tokens. `stops`: the answer must end with a stop id.
REQUESTS = [
    {"name": "text_short", "messages": [message("user", "What is in the soup?")]},
    {"name": "text_turns", "messages": [
        message("system", "You are a terse assistant. Answer in one line, and say so when you do not know."),
        message("user", "Where does the train to the coast leave?"),
        message("model", "At the old harbour, at seven in the morning."),
        message("user", "And the next one? Please be brief.")]},
    {"name": "text_unicode", "messages": [
        message("user", "Straße 中 👩‍🚀:\n\n\t- naïve   café ½\n", " Ünï \U0001F680?")]},
    {"name": "picture", "messages": [message("user", image("photo_200x150.jpg"), "What is in the picture?")]},
    {"name": "picture_exif", "image_token_budget": 140,
     "messages": [message("user", image("exif6_160x100.jpg"))]},
    {"name": "sound", "messages": [message("user", audio("chirp_12000.wav"), "Is that a bell?")]},
    {"name": "mixed", "messages": [
        message("system", "Look and listen."),
        message("user", "The first picture: ", image("text_240x160.png"), " and the second: ",
                image("alpha_96x72.png"), "Then a sound: ", audio("noise_4001.wav"), "Which is better?")]},
    {"name": "video", "messages": [
        message("user", "Watch: ", video(media_data.VIDEO_FRAMES, 0.4, 3), "What moves?")]},
    {"name": "video_sampled", "messages": [
        message("user", image("gray_120x90.png"), video(media_data.VIDEO_FRAMES, 1.0, 2), "And now, which way?")]},
    {"name": "thinking", "thinking": True, "messages": [message("user", "Who counts the boats?")]},
    {"name": "stops", "stops": True, "messages": [message("user", "Do you like soup?")]},
]
MAX_OUTPUT_TOKENS = 24


def load_processor(folder, template_path):
    with open(template_path, encoding="utf-8") as f:
        template = f.read()
    return Gemma4UnifiedProcessor(
        feature_extractor=Gemma4UnifiedAudioFeatureExtractor(), image_processor=Gemma4UnifiedImageProcessor(),
        video_processor=Gemma4UnifiedVideoProcessor(), tokenizer=AutoTokenizer.from_pretrained(folder),
        chat_template=template)


def template_message(message):
    """A lone text is handed to the template as a string, anything else as a list. It makes a difference in the
    system message only, where the template prints a space after each element of a list."""
    parts = message["parts"]
    if len(parts) == 1 and "text" in parts[0]:
        return {"role": message["role"], "content": parts[0]["text"]}
    content = [{"type": "text", "text": p["text"]} if "text" in p else {"type": next(iter(p))} for p in parts]
    return {"role": message["role"], "content": content}


class RequestPrompt:
    """The processor's output for a request."""

    def __init__(self, request, processor, data):
        parts = [p for m in request["messages"] for p in m["parts"]]
        pictures = [media_data.open_upright(f"{data}/{p['image']}") for p in parts if "image" in p]
        sounds = [media_data.read_wav(f"{data}/{p['audio']}") for p in parts if "audio" in p]
        videos = [p["video"] for p in parts if "video" in p]
        rendered = processor.apply_chat_template(
            [template_message(m) for m in request["messages"]], tokenize=False, add_generation_prompt=True,
            enable_thinking=request["thinking"])
        named = {}
        if pictures:
            named.update(images=[pictures], images_kwargs={"max_soft_tokens": request["image_token_budget"]})
        if sounds:
            named.update(audio=sounds)
        if videos:
            clips = [np.stack([np.asarray(media_data.open_upright(f"{data}/{name}")) for name in v["frames"]])
                     for v in videos]
            counts = {v["frames_max"] for v in videos}
            assert len(counts) == 1
            named.update(videos=[clips], videos_kwargs={
                "num_frames": counts.pop(), "video_metadata": [
                    [VideoMetadata(total_num_frames=len(v["frames"]), fps=v["fps"]) for v in videos]]})
        result = processor(text=[rendered], add_special_tokens=False, return_tensors="pt", **named)
        self.ids, self.types = result["input_ids"], result["mm_token_type_ids"]
        self.arguments = {k: result[k] for k in ("pixel_values", "image_position_ids", "pixel_values_videos",
                                                 "video_position_ids", "num_frames_per_video", "input_features", "input_features_mask") if k in result}

    def media(self):
        return self.arguments


def run(model, processor, request, data, ids):
    """The request with its prompt, its tokens and its text; and the smallest lead of a token over the second."""
    stops = request.pop("stops", False)
    request = {"image_token_budget": 70, "thinking": False, "max_output_tokens": MAX_OUTPUT_TOKENS, **request}
    prompt = RequestPrompt(request, processor, data)
    suppressed, stop_ids = tiny_model.suppressed_ids(ids), tiny_model.stop_ids(ids)
    out, cache = tiny_model.prefill(model, prompt)
    answer = tiny_model.Continuation(model, out, cache, MAX_OUTPUT_TOKENS, suppressed, stop_ids)
    generated = tiny_model.generate(model, prompt, MAX_OUTPUT_TOKENS, suppressed, eos_token_id=stop_ids)
    assert generated == answer.tokens, (generated, answer.tokens)
    assert not stops or (1 < len(answer.tokens) < MAX_OUTPUT_TOKENS)
    ends = answer.tokens[-1] in stop_ids
    shown = answer.tokens[:-1] if ends else answer.tokens
    request.update(prompt_ids=prompt.ids[0].tolist(), greedy_tokens=answer.tokens,
                   finish_reason="stop" if ends else "max_tokens", smallest_lead=round(answer.smallest_lead, 6),
                   text=processor.tokenizer.decode(shown, skip_special_tokens=True).strip())
    # The prompt tells the two mask rules of the reference apart.
    if "pixel_values" in prompt.arguments or "pixel_values_videos" in prompt.arguments:
        with torch.no_grad():
            other = model(input_ids=prompt.ids, mm_token_type_ids=prompt.types, **prompt.media()).logits[0, -1]
        request["other_mask_rule_logit_difference"] = round(float((other - out.logits[0, -1]).abs().max()), 4)
    return request


def write(out, folder, template):
    with open(f"{folder}/tokenizer.json", encoding="utf-8") as f:
        ids = json.load(f)["model"]["vocab"]
    model, processor = tiny_model.load(folder, torch.float32), load_processor(folder, template)
    requests = []
    for request in REQUESTS:
        done = run(model, processor, dict(request), out, ids)
        print(f"request {done['name']}: {len(done['prompt_ids'])} tokens, smallest lead {done['smallest_lead']:.4f}, "
              f"{done['finish_reason']}, {done['text']!r}", flush=True)
        assert done["smallest_lead"] > 0.01
        requests.append(done)
    with open(f"{out}/requests.json", "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(r) for r in requests) + "\n]\n")
