"""cases/: whole runs of the model, stage by stage, on random prompts."""
import os

import numpy as np
import torch
from safetensors.torch import save_file

import tiny_model
from tiny_model import AUDIO, IMAGE, TEXT, reference

STEPS = 32
# A prompt is <bos> and then: ["text", n] n random ordinary tokens; ["image", rows, columns] begin, soft tokens,
# end; ["audio", n] begin, n soft tokens, end. `detail` stores the inside of one sliding and one full layer.
CASES = [
    {"name": "text_40", "seed": 131, "prompt": [["text", 39]]},  # longer than the window of 32
    {"name": "image", "seed": 132, "prompt": [["text", 3], ["image", 2, 3], ["text", 4]]},
    {"name": "audio", "seed": 33, "prompt": [["text", 2], ["audio", 4], ["text", 2]], "detail": True},
    {"name": "mixed", "seed": 334, "bf16": True,
     "prompt": [["text", 9], ["image", 2, 2], ["text", 5], ["audio", 4], ["text", 2], ["image", 1, 3],
                ["text", 5]]},
]


def smooth_picture(rng, h, w):
    """uint8 [h, w, 3]: a slow colour pattern, edges and a little noise."""
    y, x = np.mgrid[0:h, 0:w].astype(np.float64)
    planes = []
    for _ in range(3):
        a, b, c = rng.uniform(0.01, 0.12, size=3)
        p = 110 + 60 * np.sin(a * x + 1.7 * b * y) + 50 * np.cos(c * (x - y)) + 35 * ((x // 29 + y // 31) % 2)
        planes.append(p + rng.normal(0, 6, size=(h, w)))
    return np.clip(np.rint(np.stack(planes, -1)), 0, 255).astype(np.uint8)


def cut_tiles(picture):
    """uint8 [h, w, 3] -> tiles uint8 [n, 6912] (row, column, channel) and positions int32 [n, 2] as (x, y)."""
    rows, columns = picture.shape[0] // 48, picture.shape[1] // 48
    tiles = picture.reshape(rows, 48, columns, 48, 3).transpose(0, 2, 1, 3, 4).reshape(rows * columns, 6912)
    y, x = np.divmod(np.arange(rows * columns), columns)
    return tiles, np.stack([x, y], -1).astype(np.int32)


def waveform(rng, samples):
    t = np.arange(samples) / 16000.0
    wave = 0.4 * np.sin(2 * np.pi * rng.uniform(80, 900) * t) * np.exp(-3 * t) + rng.normal(0, 0.05, samples)
    return np.clip(wave, -1, 1).astype(np.float32)


class RandomPrompt:
    """Token ids, their types, and the media in order of appearance."""

    def __init__(self, case, ids):
        rng = np.random.default_rng(case["seed"])
        control = {i for piece, i in ids.items() if piece.startswith("<") and piece.endswith(">")}
        ordinary = [i for i in range(len(ids)) if i not in control]
        tokens, types = [ids["<bos>"]], [TEXT]
        self.tiles, self.positions, self.frames = [], [], []
        for what, *size in case["prompt"]:
            if what == "text":
                tokens += [int(i) for i in rng.choice(ordinary, size=size[0])]
                types += [TEXT] * size[0]
                continue
            if what == "audio":
                count, kind = size[0], AUDIO
                self.frames.append(waveform(rng, count * 640).reshape(count, 640))
            else:
                count, kind = size[0] * size[1], IMAGE
                tiles, positions = cut_tiles(smooth_picture(rng, size[0] * 48, size[1] * 48))
                self.tiles.append(tiles)
                self.positions.append(positions)
            tokens += [ids[f"<|{what}>"]] + [ids[f"<|{what}|>"]] * count + [ids[f"<{what}|>"]]
            types += [TEXT] + [kind] * count + [TEXT]
        self.ids, self.types = torch.tensor([tokens]), torch.tensor([types])

    def media(self):
        """Pictures and sounds are padded to two more than the longest, so that padding is always there."""
        arguments = {}
        if self.tiles:
            longest = max(map(len, self.tiles)) + 2
            values = np.zeros((len(self.tiles), longest, 6912), np.float32)
            places = np.full((len(self.tiles), longest, 2), -1)
            for row, (tiles, positions) in enumerate(zip(self.tiles, self.positions)):
                values[row, :len(tiles)] = (torch.from_numpy(tiles) * (1 / 255)).numpy()
                places[row, :len(tiles)] = positions
            arguments.update(pixel_values=torch.from_numpy(values),
                             image_position_ids=torch.from_numpy(places).long())
        if self.frames:
            longest = max(map(len, self.frames)) + 2
            values = np.zeros((len(self.frames), longest, 640), np.float32)
            mask = np.zeros((len(self.frames), longest), bool)
            for row, frames in enumerate(self.frames):
                values[row, :len(frames)], mask[row, :len(frames)] = frames, True
            arguments.update(input_features=torch.from_numpy(values), input_features_mask=torch.from_numpy(mask))
        return arguments

    def tensors(self):
        out = {"input_ids": self.ids[0].int(), "mm_token_type_ids": self.types[0].int()}
        if self.tiles:
            out["tiles"] = torch.from_numpy(np.concatenate(self.tiles))
            out["tile_positions"] = torch.from_numpy(np.concatenate(self.positions))
            out["tiles_per_picture"] = torch.tensor([len(t) for t in self.tiles], dtype=torch.int32)
        if self.frames:
            out["audio_frames"] = torch.from_numpy(np.concatenate(self.frames))
            out["frames_per_audio"] = torch.tensor([len(f) for f in self.frames], dtype=torch.int32)
        return out


class Taps:
    """Records tensors inside the reference while it runs."""

    def __init__(self, model, detail_layers):
        self.store, self.handles = {}, []
        language = model.model.language_model
        self.handles.append(language.register_forward_pre_hook(
            lambda _, __, named: self.store.update(embeddings=named["inputs_embeds"].clone()), with_kwargs=True))
        for i, layer in enumerate(language.layers):
            self.keep(layer, f"layer.{i:02d}.out")
            if i in detail_layers:
                self.detail(layer, f"layer.{i:02d}.")
        vision, audio = model.model.embed_vision, model.model.embed_audio
        for name in ("patch_dense", "patch_ln2", "pos_norm"):
            self.keep(getattr(vision, name), f"vision.{name}")
        for prefix, embedder in (("vision", vision.multimodal_embedder), ("audio", audio)):
            self.keep(embedder.embedding_pre_projection_norm, f"{prefix}.rms")
            self.keep(embedder.embedding_projection, f"{prefix}.soft")
        self.original = reference.eager_attention_forward
        reference.eager_attention_forward = lambda module, query, key, value, mask, **named: self.attention(
            detail_layers, module, query, key, value, mask, **named)

    def keep(self, module, name):
        self.handles.append(module.register_forward_hook(
            lambda _, __, output: self.store.update({name: output.detach().clone()})))

    def keep_input(self, module, name):
        self.handles.append(module.register_forward_pre_hook(
            lambda _, inputs: self.store.update({name: inputs[0].detach().clone()})))

    def detail(self, layer, prefix):
        attention, mlp = layer.self_attn, layer.mlp
        outputs = {"input_norm": layer.input_layernorm, "q_raw": attention.q_proj, "k_raw": attention.k_proj,
                   "v_raw": attention.v_proj, "q_normed": attention.q_norm, "k_normed": attention.k_norm,
                   "o_proj": attention.o_proj, "post_attention_norm": layer.post_attention_layernorm,
                   "pre_feedforward_norm": layer.pre_feedforward_layernorm, "gate": mlp.gate_proj,
                   "up": mlp.up_proj, "down": mlp.down_proj,
                   "post_feedforward_norm": layer.post_feedforward_layernorm}
        for name, module in outputs.items():
            if module is not None:  # full layers have no v_proj
                self.keep(module, prefix + name)
        self.keep_input(attention.o_proj, prefix + "attention")
        self.keep_input(mlp.down_proj, prefix + "gelu_times_up")
        self.keep_input(layer.pre_feedforward_layernorm, prefix + "residual_1")

    def attention(self, detail_layers, module, query, key, value, mask, **named):
        out, probabilities = self.original(module, query, key, value, mask, **named)
        prefix = f"layer.{module.layer_idx:02d}."
        self.store[prefix + "k"], self.store[prefix + "v"] = key.clone(), value.clone()
        if module.layer_idx in detail_layers:
            self.store[prefix + "q"], self.store[prefix + "probabilities"] = query.clone(), probabilities.clone()
        return out, probabilities

    def close(self):
        reference.eager_attention_forward = self.original
        for handle in self.handles:
            handle.remove()
        return self.store


def drop_padding(store, prompt):
    """The reference embeds padded rows of media too and drops them later."""
    for name in store:
        if name.startswith(("vision.", "audio.")):
            media = prompt.tiles if name.startswith("vision.") else prompt.frames
            store[name] = torch.cat([store[name][i, :len(rows)] for i, rows in enumerate(media)])


def make_case(case, dtype, folder, ids, path):
    model = tiny_model.load(folder, dtype)
    prompt, suppressed = RandomPrompt(case, ids), tiny_model.suppressed_ids(ids)
    kinds = model.config.get_text_config().layer_types
    taps = Taps(model, (0, kinds.index("full_attention")) if case.get("detail") else ())
    out, cache = tiny_model.prefill(model, prompt)
    store = taps.close()
    drop_padding(store, prompt)
    tensors = {k: v[0] if v.dim() > 1 and v.shape[0] == 1 else v for k, v in store.items()}
    answer = tiny_model.Continuation(model, out, cache, STEPS, suppressed)
    tensors.update(prompt.tensors(), final_hidden=out.hidden_states[-1][0], logits=out.logits[0],
                   greedy_tokens=torch.tensor(answer.tokens, dtype=torch.int32),
                   greedy_hidden=torch.stack(answer.hidden))
    if dtype == torch.float32:
        assert tiny_model.generate(model, prompt, STEPS, suppressed) == answer.tokens
    else:  # the inputs are in the float32 file
        left_out = ("tiles", "audio_frames", "greedy_hidden")
        tensors = {k: v for k, v in tensors.items() if not k.endswith((".k", ".v")) and k not in left_out}
    save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, path)
    return {"checkpoint": tiny_model.NAME, "dtype": str(dtype).split(".")[1], "tokens": prompt.ids.shape[1],
            "prompt": case["prompt"], "greedy_tokens": answer.tokens,
            "greedy_smallest_lead": round(answer.smallest_lead, 6),
            "logit_std": round(float(out.logits.float().std()), 4)}


def write(out, folder, ids):
    os.makedirs(f"{out}/cases", exist_ok=True)
    index = {}
    for case in CASES:
        for dtype in [torch.float32] + [torch.bfloat16] * case.get("bf16", False):
            name = case["name"] + ("" if dtype == torch.float32 else ".bf16")
            index[name] = make_case(case, dtype, folder, ids, f"{out}/cases/{name}.safetensors")
            print(f"case {name}: {index[name]['tokens']} tokens, smallest lead "
                  f"{index[name]['greedy_smallest_lead']:.4f}", flush=True)
            assert dtype != torch.float32 or index[name]["greedy_smallest_lead"] > 0.01
    tiny_model.write_index(index, f"{out}/cases/index.json")
