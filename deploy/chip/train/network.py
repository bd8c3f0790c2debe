"""Gemma 4 Unified in PyTorch, small: what shared weights, norms, windows and media do, in the order they do it.

Names of modules are the names of the released tensors, so that `state_dict` is the checkpoint. Numbers that are not
here are the configuration's (`SHAPE`). Rows of a batch hold several conversations, one after another; `Batch.mask_*`
keep them apart.
"""
import dataclasses
import math

import torch
from torch import nn
from torch.nn import functional as F

SLIDING, FULL = "sliding_attention", "full_attention"
SHAPE = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 6, "num_attention_heads": 4,
         "num_key_value_heads": 2, "num_global_key_value_heads": 1, "head_dim": 64, "global_head_dim": 128,
         "sliding_window": 128, "max_position_embeddings": 4096, "vocab_size": 1536, "mm_embed_dim": 192}
KINDS = [SLIDING] * 5 + [FULL]
TILE_POSITIONS = 1120
HEARD_AFTER = 3  # layers; where soft tokens are asked what they show or say
EPSILON = 1e-6


@dataclasses.dataclass
class Batch:
    """R rows of T tokens."""
    ids: torch.Tensor  # [R, T]
    positions: torch.Tensor  # [R, T], from 0 in each conversation
    mask_sliding: torch.Tensor  # bool [R, 1, T, T]
    mask_full: torch.Tensor
    soft_tiles: torch.Tensor  # [tiles], where in the flattened [R*T] each tile's soft token is
    soft_frames: torch.Tensor
    tiles: torch.Tensor  # float [tiles, 6912]
    places: torch.Tensor  # [tiles, 2]
    frames: torch.Tensor  # float [frames, 640]
    wanted: torch.Tensor  # [R, T], the next token where it is part of an answer, else -1
    weight: torch.Tensor  # [R, T], of the wanted token in the loss
    heard: torch.Tensor  # [R, T], what a soft token shows, else -1


class RMSNorm(nn.Module):
    def __init__(self, size, start=1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.full((size,), float(start)))

    def forward(self, x):
        return rms(x) * self.weight


def rms(x):
    x = x.float()
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPSILON)


def linear(inputs, outputs):
    layer = nn.Linear(inputs, outputs, bias=False)
    nn.init.normal_(layer.weight, std=inputs ** -0.5)
    return layer


def rotary(positions, kind, dim):
    """cos and sin [R, 1, T, dim]. On full layers only the first quarter of the pairs turns."""
    if kind == SLIDING:
        turns = 10000.0 ** (-torch.arange(0, dim, 2) / dim)
    else:
        turns = 1e6 ** (-torch.arange(0, dim, 2) / dim)
        turns[dim // 8:] = 0
    angles = positions[:, None, :, None] * torch.cat([turns, turns])
    return angles.cos(), angles.sin()


def turn(x, cos, sin):
    half = x.shape[-1] // 2
    return x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin


def additive(mask):
    """0 where something is seen, and so little elsewhere that nothing is left of it."""
    return torch.where(mask, 0.0, -1e9)


class Attention(nn.Module):
    """With `own_keys` False, keys and values come from another model's layer of the same kind (the drafter)."""

    def __init__(self, shape, kind, own_keys=True):
        super().__init__()
        self.kind, self.heads = kind, shape["num_attention_heads"]
        self.dim = shape["head_dim"] if kind == SLIDING else shape["global_head_dim"]
        groups = shape["num_key_value_heads"] if kind == SLIDING else shape["num_global_key_value_heads"]
        hidden = shape["hidden_size"]
        self.q_proj, self.o_proj = linear(hidden, self.heads * self.dim), linear(self.heads * self.dim, hidden)
        self.q_norm = RMSNorm(self.dim)
        if own_keys:
            self.k_proj = linear(hidden, groups * self.dim)
            self.k_norm = RMSNorm(self.dim, 1.5 / math.sqrt(self.dim))  # scores are not scaled; this starts them small
            if kind == SLIDING:
                self.v_proj = linear(hidden, groups * self.dim)

    def split(self, x):
        return x.unflatten(-1, (-1, self.dim)).transpose(1, 2)

    def keys_values(self, x, turned):
        raw = self.split(self.k_proj(x))
        value = rms(self.split(self.v_proj(x)) if self.kind == SLIDING else raw)
        return turn(self.k_norm(raw), *turned), value

    def forward(self, x, turned, mask, keys_values):
        query = turn(self.q_norm(self.split(self.q_proj(x))), *turned).to(x.dtype)
        key, value = (t.to(x.dtype) for t in keys_values)
        # Queries that share a key head stand one behind the other: [R, groups, queries of a group * T, dim].
        groups, queries = key.shape[1], query.shape[2]
        scores = query.unflatten(1, (groups, -1)).flatten(2, 3) @ key.transpose(-2, -1)
        scores = scores.unflatten(2, (-1, queries)).float() + mask[:, None]
        out = scores.softmax(-1).to(x.dtype).flatten(2, 3) @ value
        out = out.unflatten(2, (-1, queries)).flatten(1, 2)
        return self.o_proj(out.transpose(1, 2).flatten(-2))


class FeedForward(nn.Module):
    def __init__(self, hidden, inner):
        super().__init__()
        self.gate_proj, self.up_proj, self.down_proj = linear(hidden, inner), linear(hidden, inner), linear(inner, hidden)

    def forward(self, x):
        return self.down_proj(F.gelu(self.gate_proj(x), approximate="tanh") * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, shape, kind, own_keys=True):
        super().__init__()
        hidden = shape["hidden_size"]
        self.self_attn = Attention(shape, kind, own_keys)
        self.mlp = FeedForward(hidden, shape["intermediate_size"])
        self.input_layernorm, self.pre_feedforward_layernorm = RMSNorm(hidden), RMSNorm(hidden)
        self.post_attention_layernorm, self.post_feedforward_layernorm = RMSNorm(hidden, 0.5), RMSNorm(hidden, 0.5)
        self.layer_scalar = nn.Parameter(torch.full((1,), 0.9))

    def forward(self, x, turned, mask, keys_values=None, half=torch.bfloat16):
        normed = self.input_layernorm(x).to(half)
        keys_values = keys_values or self.self_attn.keys_values(normed, turned)
        x = x + self.post_attention_layernorm(self.self_attn(normed, turned, mask, keys_values))
        x = x + self.post_feedforward_layernorm(self.mlp(self.pre_feedforward_layernorm(x).to(half)))
        return x * self.layer_scalar, keys_values


class VisionEmbedder(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.patch_ln1, self.patch_dense = nn.LayerNorm(6912), nn.Linear(6912, size)
        self.patch_ln2, self.pos_norm = nn.LayerNorm(size), nn.LayerNorm(size)
        self.pos_embedding = nn.Parameter(torch.randn(TILE_POSITIONS, 2, size) * 0.5)
        nn.init.zeros_(self.patch_dense.bias)

    def forward(self, tiles, places):
        x = self.patch_ln2(self.patch_dense(self.patch_ln1(tiles)))
        x = x + self.pos_embedding[places[:, 0], 0] + self.pos_embedding[places[:, 1], 1]
        return rms(self.pos_norm(x.float()))


class Projector(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.embedding_projection = linear(inputs, outputs)

    def forward(self, x):
        return self.embedding_projection(x)


class LanguageModel(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.embed_tokens = nn.Embedding(shape["vocab_size"], shape["hidden_size"])
        nn.init.normal_(self.embed_tokens.weight, std=shape["hidden_size"] ** -0.5)
        self.layers = nn.ModuleList(Layer(shape, kind) for kind in KINDS)
        self.norm = RMSNorm(shape["hidden_size"])


class Chip(nn.Module):
    def __init__(self, shape=SHAPE):
        super().__init__()
        self.shape = shape
        self.model = nn.Module()
        self.model.language_model = LanguageModel(shape)
        self.model.vision_embedder = VisionEmbedder(shape["mm_embed_dim"])
        self.model.embed_vision = Projector(shape["mm_embed_dim"], shape["hidden_size"])
        self.model.embed_audio = Projector(640, shape["hidden_size"])

    def embed(self, ids):
        return self.model.language_model.embed_tokens(ids) * math.sqrt(self.shape["hidden_size"])

    def soft_tokens(self, batch):
        pictures = self.model.embed_vision(self.model.vision_embedder(batch.tiles, batch.places))
        return pictures, self.model.embed_audio(rms(batch.frames))

    def inputs(self, batch):
        """[R, T, hidden]: rows of the table, and soft tokens where a picture or a sound is."""
        pictures, sounds = self.soft_tokens(batch)
        x = self.embed(batch.ids).flatten(0, 1)
        x = x.index_copy(0, batch.soft_tiles, pictures.to(x.dtype)).index_copy(0, batch.soft_frames, sounds.to(x.dtype))
        return x.unflatten(0, batch.ids.shape)

    def forward(self, batch):
        """The last layer's normed output [R, T, hidden], the middle one's, and the keys and values that a drafter
        may look at: those of the last sliding and the last full layer."""
        return self.run(self.inputs(batch), batch.positions, batch.mask_sliding, batch.mask_full)

    def run(self, x, positions, mask_sliding, mask_full):
        language, shape = self.model.language_model, self.shape
        turned = {SLIDING: rotary(positions, SLIDING, shape["head_dim"]),
                  FULL: rotary(positions, FULL, shape["global_head_dim"])}
        masks, kept = {SLIDING: additive(mask_sliding), FULL: additive(mask_full)}, {}
        half = torch.bfloat16 if torch.is_autocast_enabled("cpu") else torch.float32
        for i, (layer, kind) in enumerate(zip(language.layers, KINDS)):
            x, kept[kind] = layer(x, turned[kind], masks[kind], half=half)
            if i + 1 == HEARD_AFTER:
                middle = x
        return language.norm(x), rms(middle), kept

    def logits(self, hidden):
        z = F.linear(hidden, self.model.language_model.embed_tokens.weight).float()
        return 30 * torch.tanh(z / 30)
