"""Where the media projections start: not from noise, but from what eyes and ears start with."""
import math

import torch


def tile_waves(count):
    """[count, 6912]: two-dimensional cosines, slow ones first, half of them of brightness, a quarter each of two
    colour directions. Faster waves are louder, since pictures hold less of them."""
    colours = torch.tensor([[1.0, 1, 1], [1, -1, 0], [1, 1, -2]])
    colours = colours / colours.norm(dim=1, keepdim=True)
    at = (torch.arange(48) + 0.5) * math.pi / 48
    waves = sorted(((u, v) for u in range(16) for v in range(16)), key=lambda w: (math.hypot(*w), w))
    rows = []
    for colour, share in zip(colours, (count - 2 * (count // 4), count // 4, count // 4)):
        for u, v in waves[:share]:
            wave = torch.cos(u * at)[:, None] * torch.cos(v * at)[None, :]
            row = (wave[:, :, None] * colour).flatten()
            rows.append(row / row.norm() * (1 + math.hypot(u, v)) * 0.5)
    return torch.stack(rows)


def ear_waves(count):
    """[count, 640]: pairs of a sine and a cosine under a window, their pitches spaced as an ear's are."""
    highest = 2595 * math.log10(1 + 7600 / 700)
    lowest = 2595 * math.log10(1 + 70 / 700)
    mel = torch.linspace(lowest, highest, count // 2)
    pitch = 700 * (10 ** (mel / 2595) - 1)
    angle = 2 * math.pi * pitch[:, None] * (torch.arange(640) / 16000)[None, :]
    window = torch.hann_window(640, periodic=False)
    rows = torch.cat([torch.sin(angle), torch.cos(angle)]) * window
    return rows / rows.norm(dim=1, keepdim=True) * 1.5 * (pitch / 500).clamp(min=0.3).sqrt().repeat(2)[:, None]


def place(chip):
    with torch.no_grad():
        dense = chip.model.vision_embedder.patch_dense.weight
        dense.copy_(tile_waves(len(dense)))
        sounds = chip.model.embed_audio.embedding_projection.weight
        sounds.copy_(ear_waves(len(sounds)))
