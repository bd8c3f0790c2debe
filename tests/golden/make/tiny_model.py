"""The tiny checkpoint: its weights and configuration, and the reference implementation run on it."""
import json
import os

os.environ["CUDA_VISIBLE_DEVICES"] = ""
import numpy as np
import torch
import transformers
from transformers import (DynamicCache, Gemma4UnifiedAudioFeatureExtractor, Gemma4UnifiedConfig,
                          Gemma4UnifiedForConditionalGeneration, Gemma4UnifiedImageProcessor)
from transformers.models.gemma4_unified import modeling_gemma4_unified as reference
from transformers.models.gemma4_unified.video_processing_gemma4_unified import Gemma4UnifiedVideoProcessor

torch.set_num_threads(1)  # tiny matrices: a second thread only costs, and one thread fixes the order of sums
torch.use_deterministic_algorithms(True)
transformers.logging.set_verbosity_error()

NAME = "tiny"
SEED = 18
TEXT, IMAGE, AUDIO = 0, 1, 3  # mm_token_type_ids; 2 is video
SHAPE = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 6, "num_attention_heads": 4,
         "num_key_value_heads": 2, "num_global_key_value_heads": 1, "head_dim": 16, "global_head_dim": 32,
         "sliding_window": 32, "max_position_embeddings": 4096}
TILE_DIM = 32  # mm_embed_dim; the table of 1120 positions and the dense layer are most of the file
TILE_POSITIONS = 1120


def stop_ids(ids):
    return [ids["<eos>"], ids["<turn|>"], ids["<|tool_response>"]]


def suppressed_ids(ids):
    return [ids["<audio|>"], ids["<image|>"]]


# ---- The checkpoint


def text_settings(ids):
    return dict(SHAPE, vocab_size=len(ids), model_type="gemma4_unified_text", attention_k_eq_v=True,
                final_logit_softcapping=30.0, use_bidirectional_attention="vision", pad_token_id=ids["<pad>"],
                bos_token_id=ids["<bos>"], eos_token_id=ids["<eos>"])


def model_config(ids):
    vision = {"model_type": "gemma4_unified_vision", "mm_embed_dim": TILE_DIM, "output_proj_dims": TILE_DIM,
              "mm_posemb_size": TILE_POSITIONS}
    config = Gemma4UnifiedConfig(
        text_config=text_settings(ids), vision_config=vision, audio_config={"model_type": "gemma4_unified_audio"},
        boi_token_id=ids["<|image>"], eoi_token_id=ids["<image|>"], image_token_id=ids["<|image|>"],
        video_token_id=ids["<|video|>"], boa_token_id=ids["<|audio>"], eoa_token_index=ids["<audio|>"],
        audio_token_id=ids["<|audio|>"])
    config._attn_implementation = "eager"  # plain matmul and softmax: no fused kernel between us and the formula
    return config


def row_scales(ids):
    """Factors on rows of the table, which is also the output matrix. A louder row wins more often. So answers are
    made of words, end now and then, and would often run into a suppressed id if it were not suppressed."""
    scales = np.ones(len(ids), np.float32)
    for piece, i in ids.items():
        if piece.startswith("<") and piece.endswith(">") and len(piece) > 2:
            scales[i] = 0.4  # control tokens, bytes, <unused0>, markup
        elif len(piece) == 1 or not any(c.isalpha() for c in piece):
            scales[i] = 0.7
    scales[ids["[multimodal]"]] = 0.4
    scales[ids["<turn|>"]] = 1.3
    for i in suppressed_ids(ids):
        scales[i] = 2.0
    return scales


def fill(model, ids, seed=SEED):
    """Random weights that behave like the real ones: norm weights around 1, before a sublayer with outliers and some
    negative; logits of a few units; a residual stream that does not blow rounding up. So that greedy answers wander
    rather than repeat one token, the first layer_scalar is small, as in the real model (or the last token would win
    again through the tied table), and k_norm makes the unscaled attention scores differ by about 2.
    """
    rng = np.random.default_rng(seed)

    def normal(shape, std, mean=0.0):
        return torch.from_numpy(rng.normal(mean, std, size=tuple(shape)).astype(np.float32))

    tensors = dict(model.named_parameters())
    tensors.update({k: v for k, v in model.named_buffers() if k.endswith("layer_scalar")})
    with torch.no_grad():
        for name in sorted(tensors):
            shape = tensors[name].shape
            if name.endswith("layer_scalar"):
                value = torch.from_numpy(rng.uniform(0.5, 0.95, size=(1,)).astype(np.float32))
                value *= 0.15 if "layers.0." in name else 1.0
            elif name.endswith("embed_tokens.weight"):
                value = normal(shape, 0.35) * torch.from_numpy(row_scales(ids))[:, None]
            elif name.endswith("q_norm.weight"):
                value = normal(shape, 0.1, 1.02)
            elif name.endswith("k_norm.weight"):
                value = normal(shape, 0.04, 2.0 / shape[0] ** 0.5)
            elif name.endswith("model.norm.weight"):
                value = normal(shape, 0.3, 1.3)
            elif "layernorm.weight" in name:
                value = normal(shape, 0.3, 1.0)
                if ".post_" in name:
                    value *= 0.5
                else:
                    value[rng.integers(0, shape[0], size=3)] = torch.tensor([-2.5, 4.0, -0.7])
            elif name.endswith(("patch_ln1.weight", "patch_ln2.weight", "pos_norm.weight")):
                value = normal(shape, 0.2, 1.0)
            elif name.endswith(".bias"):
                value = normal(shape, 0.3)
            elif name.endswith("pos_embedding"):
                value = normal(shape, 0.5)
            else:  # projections: unit variance in, about unit variance out
                value = normal(shape, shape[-1] ** -0.5)
            tensors[name].copy_(value)


def write_json(content, path):
    with open(path, "w") as f:
        json.dump(content, f, indent=2, sort_keys=True)


def write_index(index, path):
    """What there is to say of each case, a line to a case."""
    with open(path, "w") as f:
        f.write("{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in sorted(index.items())) + "\n}\n")


def respell_config(folder):
    """transformers 5.23.0 spells the shapes of the full layers as `per_layer_config`; the released config.json has
    flat fields. Leaves its spelling as config.per_layer.json and returns the released one, for config.json."""
    with open(f"{folder}/config.json") as f:
        config = json.load(f)
    write_json(config, f"{folder}/config.per_layer.json")
    text = config["text_config"]
    full = list(text.pop("per_layer_config").values())[0]
    text.update(global_head_dim=full["head_dim"], num_global_key_value_heads=full["num_key_value_heads"],
                enable_moe_block=False, hidden_size_per_layer_input=0, vocab_size_per_layer_input=0,
                num_experts=None, top_k_experts=None, moe_intermediate_size=None)
    return config


def write_configs(folder, ids):
    config = respell_config(folder)
    config["vision_config"].update(model_patch_size=48, num_soft_tokens=280)
    config["audio_config"].update(hidden_size=640, output_proj_dims=640, audio_samples_per_token=640)
    config["eos_token_id"] = stop_ids(ids)[:2]
    write_json(config, f"{folder}/config.json")
    write_json({"bos_token_id": ids["<bos>"], "pad_token_id": ids["<pad>"], "eos_token_id": stop_ids(ids),
                "do_sample": True, "temperature": 1.0, "top_k": 64, "top_p": 0.95,
                "suppress_tokens": suppressed_ids(ids)}, f"{folder}/generation_config.json")
    write_json({"processor_class": "Gemma4UnifiedProcessor", "image_seq_length": 280, "audio_seq_length": 750,
                "audio_ms_per_token": 40, "image_processor": Gemma4UnifiedImageProcessor().to_dict(),
                "video_processor": Gemma4UnifiedVideoProcessor().to_dict(),
                "feature_extractor": Gemma4UnifiedAudioFeatureExtractor().to_dict()},
               f"{folder}/processor_config.json")


def write(folder, ids):
    model = Gemma4UnifiedForConditionalGeneration(model_config(ids)).eval()
    fill(model, ids)
    model.to(torch.bfloat16).save_pretrained(folder)
    write_configs(folder, ids)


def load(folder, dtype):
    """The stored weights, computed in `dtype`. The embedding multiplier is sqrt(hidden) rounded to the stored dtype,
    bfloat16; for a square, as here, it is the root in any case."""
    model = Gemma4UnifiedForConditionalGeneration.from_pretrained(folder, dtype=dtype,
                                                                 attn_implementation="eager").eval()
    assert float(model.model.language_model.embed_tokens.embed_scale) ** 2 == model.config.text_config.hidden_size
    model.generation_config.eos_token_id = None
    model.generation_config.do_sample = False
    for field in ("temperature", "top_k", "top_p", "suppress_tokens"):
        setattr(model.generation_config, field, None)
    return model


# ---- Running it. A prompt has `ids` and `types` [1, T] and `media()`, the reference's keyword arguments.


def media_arguments(model, prompt):
    return {k: v.to(model.dtype) if v.is_floating_point() else v for k, v in prompt.media().items()}


def prefill_masks(model, prompt, cache):
    """Full layers causal, sliding layers (causal or same picture) and window. This is the reference's own
    `create_masks_for_vision_model`, which its `generate` uses with a static cache. With a dynamic cache, and in a
    plain forward, 5.23.0 builds other masks, those of Gemma 3, which the model was not made with."""
    empty = torch.empty((1, prompt.ids.shape[1], 0), dtype=model.dtype)
    blocks = reference.get_block_sequence_ids_for_mask(prompt.types, device=empty.device)
    return reference.create_masks_for_vision_model(
        config=model.config.get_text_config(), inputs_embeds=empty, attention_mask=None, past_key_values=cache,
        position_ids=None, block_sequence_ids=blocks)


@torch.no_grad()
def prefill(model, prompt, **arguments):
    """One forward over the whole prompt. Returns (outputs, cache)."""
    cache = DynamicCache(config=model.config.get_text_config())
    masks = prefill_masks(model, prompt, cache)
    out = model(input_ids=prompt.ids, mm_token_type_ids=prompt.types, attention_mask=masks, past_key_values=cache,
                use_cache=True, output_hidden_states=True, **media_arguments(model, prompt), **arguments)
    return out, cache


class Continuation:
    """Greedy continuation of a prefilled prompt, one forward a token, with the suppressed ids left out. Stops at a
    stop id (which is then the last token) when any are given."""

    @torch.no_grad()
    def __init__(self, model, out, cache, steps, suppressed, stops=()):
        self.tokens, self.hidden, self.smallest_lead = [], [], float("inf")
        while True:
            self.hidden.append(out.hidden_states[-1][0, -1])
            logits = out.logits[0, -1].float().clone()
            logits[suppressed] = float("-inf")
            best = logits.topk(2).values
            self.smallest_lead = min(self.smallest_lead, float(best[0] - best[1]))
            self.tokens.append(int(logits.argmax()))
            if len(self.tokens) == steps or self.tokens[-1] in stops:
                return
            out = model(input_ids=torch.tensor([self.tokens[-1:]]), past_key_values=cache, use_cache=True,
                        output_hidden_states=True)


@torch.no_grad()
def generate(model, prompt, steps, suppressed, **arguments):
    """The reference's own generation, greedy, with a static cache: the new tokens."""
    sequence = model.generate(input_ids=prompt.ids, mm_token_type_ids=prompt.types,
                              attention_mask=torch.ones_like(prompt.ids), max_new_tokens=steps, do_sample=False,
                              suppress_tokens=suppressed, cache_implementation="static",
                              **media_arguments(model, prompt), **arguments)
    return sequence[0, prompt.ids.shape[1]:].tolist()
