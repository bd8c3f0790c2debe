"""pictures/, sounds/ and media.json: small media files and what the reference's processors make of them."""
import hashlib
import json
import os
import struct
import wave
import zlib

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageOps
from safetensors.torch import save_file
from transformers import Gemma4UnifiedAudioFeatureExtractor, Gemma4UnifiedImageProcessor
from transformers.image_utils import load_image
from transformers.video_utils import VideoMetadata, default_sample_indices_fn

from model_cases import cut_tiles, smooth_picture

SEED = 41
PICTURES = [  # name, width, height, budgets
    ("text_240x160.png", 240, 160, [70, 280]),
    ("photo_200x150.jpg", 200, 150, [70, 140]),
    ("exif6_160x100.jpg", 160, 100, [70]),
    ("gray_120x90.png", 120, 90, [70]),
    ("palette_120x90.png", 120, 90, [70]),
    ("alpha_96x72.png", 96, 72, [70]),
    ("palette_alpha_64x64.png", 64, 64, [70]),
    ("gray16_60x45.png", 60, 45, [70]),  # the reference clips it: media_check compares sizes and tells the means
    ("rgba16_48x32.png", 48, 32, [70]),
    ("cmyk_80x60.jpg", 80, 60, [70]),
    ("webp_100x75.webp", 100, 75, [70]),
    ("alpha_64x48.webp", 64, 48, [70]),
    ("exif6_80x50.webp", 80, 50, [70]),
    ("animated_64x48.webp", 64, 48, [70]),
    ("palette_60x45.gif", 60, 45, [70]),
    ("palette_alpha_60x45.gif", 60, 45, [70]),
    ("animated_60x45.gif", 60, 45, [70]),
    ("strip_2x4000.png", 2, 4000, [70, 1120]),  # with 1120 the largest tile position there is: y = 1119
]
SOUNDS = [("chirp", 12000), ("noise", 4001)]
VIDEOS = [  # frames, frames a second, frames asked for
    (900, 30.0, 32), (33, 25.0, 32), (100, None, 32), (7, 1.0, 4), (1801, 29.97, 32), (5, 30.0, 32), (64, 0.5, 32)]


def draw_picture(name, w, h, rng, path):
    kind, options = name.split("_")[0], {"optimize": True}
    y, x = np.mgrid[0:h, 0:w]
    if kind == "text":
        image = Image.new("RGB", (w, h), "white")
        draw = ImageDraw.Draw(image)
        for i in range(0, h, 14):
            draw.text((6, i), f"Line {i // 14}: the quick brown fox, 0123456789", fill=(i % 200, 40, 255 - i % 200))
    elif kind == "strip":
        image = Image.fromarray(np.stack([x * 255, y * 255 // (h - 1), (y // 40 % 2) * 200], -1).astype(np.uint8))
    else:
        image = Image.fromarray(smooth_picture(rng, h, w))
    if kind == "alpha":
        image.putalpha(Image.fromarray((x * 255 // (w - 1)).astype(np.uint8)))
    elif kind == "gray":
        image = image.convert("L")
    elif kind == "palette":
        image = image.quantize(16, dither=Image.Dither.NONE)
        if "alpha" in name:
            options["transparency"] = 3
    elif kind == "gray16":
        image = Image.fromarray((np.asarray(image.convert("L")).astype(np.uint16) * 257))
    elif kind == "cmyk":
        image = image.convert("CMYK")
    elif kind == "animated":
        second = Image.fromarray(255 - np.asarray(image))
        if name.endswith(".gif"):
            image, second = (p.quantize(16, dither=Image.Dither.NONE) for p in (image, second))
        options = {"save_all": True, "append_images": [second], "duration": 100}
    elif kind == "exif6":
        exif = Image.Exif()
        exif[0x0112] = 6  # orientation: turn by 90 degrees clockwise to view
        options["exif"] = exif
    if kind == "rgba16":
        return write_rgba16(path, np.dstack([x * 1300 + y, y * 2000 + x, x * y * 20, x * 1390]).astype(">u2"))
    if name.endswith((".jpg", ".webp")):
        options["quality"] = 80
    if not name.endswith((".jpg", ".png")):
        options.pop("optimize", None)
    image.save(path, **options)


def write_rgba16(path, samples):
    """A PNG that Pillow reads and does not write."""
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    h, w = samples.shape[:2]
    rows = b"".join(b"\0" + samples[i].tobytes() for i in range(h))
    with open(path, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, 16, 6, 0, 0, 0)) +
                chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))


def open_upright(path):
    """What the processor is handed: EXIF orientation applied; it lays transparency on white itself. (The reference's
    loader for paths applies EXIF too, but drops the alpha channel of RGBA.)"""
    return ImageOps.exif_transpose(Image.open(path))


VIDEO_FRAMES = [f"frame_{i}_72x48.webp" for i in range(3)]  # of one video


def write_frames(folder):
    """Three pictures of one size: something moves."""
    y, x = np.mgrid[0:48, 0:72]
    for i, name in enumerate(VIDEO_FRAMES):
        ball = ((x - 14 - 20 * i) ** 2 + (y - 24) ** 2 < 120).astype(np.uint8)
        Image.fromarray(np.stack([x * 3, 200 * ball, y * 5], -1).astype(np.uint8)).save(
            f"{folder}/{name}", lossless=True)


def read_wav(path):
    """The samples as float32, int16 / 32768."""
    with wave.open(path) as f:
        assert (f.getnchannels(), f.getsampwidth(), f.getframerate()) == (1, 2, 16000)
        return np.frombuffer(f.readframes(f.getnframes()), "<i2").astype(np.float32) / 32768.0


def crc(data, bits, polynomial):
    value = 0
    for byte in data:
        value ^= byte << (bits - 8)
        for _ in range(8):
            value = value << 1 ^ (polynomial if value >> (bits - 1) else 0)
            value &= (1 << bits) - 1
    return value.to_bytes(bits // 8, "big")


def write_flac(path, samples, block=4000):
    """16 kHz mono as FLAC (RFC 9639) with the samples as they are: it must decode to the same numbers."""
    info = struct.pack(">HH", block, block) + bytes(6) + (
        16000 << 44 | 0 << 41 | 15 << 36 | len(samples)).to_bytes(8, "big") + bytes(16)
    data = b"fLaC" + b"\x80" + len(info).to_bytes(3, "big") + info
    for number, at in enumerate(range(0, len(samples), block)):
        part = samples[at:at + block]
        head = b"\xff\xf8\x75\x08" + bytes([number]) + struct.pack(">H", len(part) - 1)
        frame = head + crc(head, 8, 0x07) + b"\x02" + part.astype(">i2").tobytes()
        data += frame + crc(frame, 16, 0x8005)
    with open(path, "wb") as f:
        f.write(data)


def at_budget(processor, upright, budget):
    """The processor's result for one budget: rows, columns and tiles uint8 [n, 48, 48, 3]."""
    result = processor(images=[upright], return_tensors="pt", max_soft_tokens=budget)
    count = int(result["num_soft_tokens_per_image"][0])
    places, values = result["image_position_ids"][0], result["pixel_values"][0]
    columns, rows = (places[:count].max(0).values + 1).tolist()
    assert rows * columns == count and bool((places[count:] == -1).all())
    levels = torch.round(values[:count] * 255)
    assert torch.equal(levels * (1 / 255), values[:count])
    tiles = levels.to(torch.uint8).reshape(count, 48, 48, 3)
    y, x = np.divmod(np.arange(count), columns)
    assert np.array_equal(places[:count].numpy(), np.stack([x, y], -1))
    return rows, columns, tiles


def write_pictures(folder):
    rng, processor = np.random.default_rng(SEED), Gemma4UnifiedImageProcessor()
    index, tensors = {}, {}
    for file, w, h, budgets in PICTURES:
        name, path = os.path.splitext(file)[0], f"{folder}/{file}"
        draw_picture(file, w, h, rng, path)
        upright = open_upright(path)
        as_rgb = lambda picture: processor.process_image(picture, do_convert_rgb=True).permute(1, 2, 0).numpy()
        rgb = np.ascontiguousarray(as_rgb(upright))
        with Image.open(path) as opened:
            item = {"file": file, "file_mode": opened.mode, "file_size": list(opened.size),
                    "exif_orientation": opened.getexif().get(0x0112), "rgb_size": [rgb.shape[1], rgb.shape[0]],
                    "rgb_sha256": hashlib.sha256(rgb.tobytes()).hexdigest(), "budgets": {},
                    "reference_by_path_agrees": bool(np.array_equal(as_rgb(load_image(path)), rgb))}
        stores_all = rgb.size < 20000
        if stores_all:
            tensors[f"{name}.rgb"] = torch.from_numpy(rgb)
        for budget in budgets:
            rows, columns, tiles = at_budget(processor, upright, budget)
            count = rows * columns
            resized = tiles.reshape(rows, columns, 48, 48, 3).permute(0, 2, 1, 3, 4).reshape(rows * 48, columns * 48, 3)
            assert np.array_equal(cut_tiles(resized.numpy())[0], tiles.reshape(count, 6912).numpy())
            middle = (rows // 3) * columns + columns // 2
            chosen = [middle] if stores_all else sorted({0, middle, count - 1})
            tensors[f"{name}.{budget}.tiles"] = tiles[chosen].contiguous()
            means = tiles.double().mean(dim=(1, 2)).reshape(rows, columns, 3)
            tensors[f"{name}.{budget}.tile_means"] = means.float()
            item["budgets"][str(budget)] = {
                "height": rows * 48, "width": columns * 48, "tokens": count, "stored_tiles": chosen,
                "sha256": hashlib.sha256(resized.numpy().tobytes()).hexdigest()}
        index[name] = item
    save_file(tensors, f"{folder}/expected.safetensors")
    return index


def write_sounds(folder):
    rng, extractor = np.random.default_rng(SEED + 1), Gemma4UnifiedAudioFeatureExtractor()
    index, tensors = {}, {}
    for kind, samples in SOUNDS:
        t = np.arange(samples) / 16000.0
        signal = 0.7 * np.sin(2 * np.pi * (100 + 1500 * t) * t) if kind == "chirp" else rng.normal(0, 0.2, samples)
        name = f"{kind}_{samples}"
        with wave.open(f"{folder}/{name}.wav", "wb") as f:
            f.setnchannels(1), f.setsampwidth(2), f.setframerate(16000)
            f.writeframes(np.clip(np.rint(signal * 32767), -32768, 32767).astype("<i2").tobytes())
        result = extractor(read_wav(f"{folder}/{name}.wav"), return_tensors="pt")
        frames, mask = result["input_features"][0], result["input_features_mask"][0]
        assert bool(mask.all())
        chosen = sorted({0, len(frames) // 2, len(frames) - 1})
        tensors[name] = frames[chosen].contiguous()
        index[name] = {"samples": samples, "tokens": int(mask.sum()), "stored_frames": chosen,
                       "sha256": hashlib.sha256(frames.numpy().tobytes()).hexdigest()}
    with wave.open(f"{folder}/noise_4001.wav") as f:
        write_flac(f"{folder}/noise_4001.flac", np.frombuffer(f.readframes(f.getnframes()), "<i2"))
    index["noise_4001_flac"] = {**index["noise_4001"], "file": "noise_4001.flac"}
    tensors["noise_4001_flac"] = tensors["noise_4001"].clone()
    save_file(tensors, f"{folder}/expected.safetensors")
    return index


def sample_videos():
    """Which frames the reference sees, and the times that it prints."""
    videos = []
    for total, fps, count in VIDEOS:
        entry = {"total_frames": total, "fps": fps, "requested": count}
        try:
            indices = default_sample_indices_fn(VideoMetadata(total_num_frames=total, fps=fps), num_frames=count)
            seconds = [int(i) / (24 if fps is None else fps) for i in indices]
            entry["indices"] = [int(i) for i in indices]
            entry["timestamps"] = [f"{int(s // 60):02d}:{int(s % 60):02d}" for s in seconds]
        except ValueError:
            entry["error"] = "more frames requested than the clip has"
        videos.append(entry)
    return videos


def write(out):
    os.makedirs(f"{out}/pictures", exist_ok=True)
    os.makedirs(f"{out}/sounds", exist_ok=True)
    write_frames(f"{out}/pictures")
    content = {"pictures": write_pictures(f"{out}/pictures"), "sounds": write_sounds(f"{out}/sounds"),
               "videos": sample_videos()}
    with open(f"{out}/media.json", "w") as f:
        json.dump(content, f, indent=1, sort_keys=True)
