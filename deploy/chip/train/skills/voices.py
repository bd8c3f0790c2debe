"""The bank of spoken clips, and speech made of them.

espeak-ng says every digit and every word of WORDS in many voices, at several speeds and pitches. This is done once; the
clips are kept in a file below $CHIP_WORK. Tests use other renditions than training does, and "unseen" other voices.
Call bank() once before starting processes that draw cases: they then share it.
"""
import concurrent.futures
import functools
import hashlib
import os
import random
import subprocess

import numpy as np

from paths import WORK
from skills.case import Sound

RATE = 16000  # samples per second, as the model takes them
ESPEAK_RATE = 22050

DIGITS = dict(zip("0123456789", "zero one two three four five six seven eight nine".split()))
WORDS = ("red green blue yellow orange purple black yes no stop go left right down open help hello thanks "
         "dog rabbit tiger elephant monkey horse Monday Friday January April October December "
         "apple banana water music window summer winter coffee garden doctor").split()

# A language variant of espeak-ng and a voice variant. No voice variant of UNSEEN_VOICES is in VOICES.
VOICES = ("en-us+m1 en-us+m3 en-us+m7 en-us+f1 en-us+f2 en-us+f4 en-us+Andy en-us+Annie en-us+Alex en-us+Michael "
          "en-us+linda en+m2 en+Denis en+m8 en+f2 en+f3 en+Andrea en+belinda en+john "
          "en-gb-scotland+m5 en-gb-scotland+f1 en-029+m3 en-029+f4 en-gb-x-rp+m1 en-gb-x-rp+f3 en-us-nyc+m2 "
          "en-us-nyc+steph en-gb-x-gbclan+m4 en-us+aunty en-us+antonio en-us+benjamin en+caleb en-us+edward en-us+Gene "
          "en+Hugo en-us+Jacky en+Lee en-us+marcelo en-us+Marco en+max en-us+michel en+miguel en-us+paul en+pedro "
          "en-us+rob en+robert en-us+Alicia en+Diogo en-us+Gene2 en+Henrique en-us+Mario en+adam en-us+boris en+ed "
          "en-us+edward2 en+gustave en-us+m4 en+norbert en-us+pablo en+quincy en-us+sandro en+travis en-us+victor "
          "en+zac en-us+steph2 en+steph3 en-us+grandma en+grandpa en-us+iven en+klatt2").split()
UNSEEN_VOICES = "en-us+m6 en+f5 en-gb-scotland+Mike en-us+anika en+david en-us+shelby".split()
RENDITIONS = {"train": 4, "test": 1, "unseen": 3}  # of each word by each voice
SPEEDS, PITCHES = (120, 190), (25, 75)
SEED = 1


def voices_of(split):
    return UNSEEN_VOICES if split == "unseen" else VOICES


def resample(samples):
    """From espeak's rate to ours, by the spectrum, with a soft edge below the new Nyquist frequency."""
    blocks = -(-(len(samples) + 2000) // 441)  # 441 samples become 320; the rest is silence against wrapping around
    spectrum = np.fft.rfft(samples, blocks * 441)[:blocks * 160 + 1]
    frequency = np.linspace(0, RATE / 2, len(spectrum))
    edge = np.clip((RATE / 2 - frequency) / 500, 0, 1)
    return np.fft.irfft(spectrum * np.sin(edge * np.pi / 2) ** 2, blocks * 320) * (320 / 441)


def trim(samples):
    """Without the silence at both ends, and with the loudest sample at 1."""
    samples = samples / np.abs(samples).max()
    loud = np.flatnonzero(np.abs(samples) > 0.015)
    return samples[max(0, loud[0] - 80):loud[-1] + 160]


def rendition(voice, word, speed, pitch):
    wav = subprocess.run(["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "--stdout",
                          DIGITS.get(word, word)], stdout=subprocess.PIPE, check=True).stdout
    samples = np.frombuffer(wav[44:len(wav) // 2 * 2], np.int16)
    return np.round(trim(resample(samples)) * 32767).astype(np.int16)


def jobs():
    """(split, voice, word, speed, pitch) of every clip, always the same ones."""
    rng = random.Random(SEED)
    return [(split, voice, word, rng.randint(*SPEEDS), rng.randint(*PITCHES))
            for split, count in RENDITIONS.items() for voice in voices_of(split)
            for word in (*DIGITS, *WORDS) for _ in range(count)]


def build(path, todo):
    with concurrent.futures.ThreadPoolExecutor(2) as threads:  # the work is done by espeak's processes
        clips = list(threads.map(lambda job: rendition(*job[1:]), todo))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    part = f"{path}.{os.getpid()}.npz"
    np.savez(part, samples=np.concatenate(clips), ends=np.cumsum([len(clip) for clip in clips]))
    os.replace(part, path)


@functools.cache
def bank():
    """{(split, voice, word): [int16 samples of each rendition]}"""
    todo = jobs()
    name = hashlib.sha256(repr(todo).encode()).hexdigest()[:12]
    path = str(WORK / f"voices-{name}.npz")
    if not os.path.exists(path):
        build(path, todo)
    with np.load(path) as stored:
        clips = np.split(stored["samples"], stored["ends"][:-1])
    found = {}
    for (split, voice, word, _, _), clip in zip(todo, clips):
        found.setdefault((split, voice, word), []).append(clip)
    return found


def clip(rng, word, split, voice=None):
    """One rendition of a word of WORDS or a digit ("7"), somewhat faster and higher or slower and lower than stored,
    with some more or less treble and with an echo so near that it colours the voice."""
    voice = voice or rng.choice(voices_of(split))
    stored = rng.choice(bank()[split, voice, word])
    step, treble = rng.uniform(0.87, 1.15), rng.uniform(-0.5, 0.5)
    echo, behind = rng.uniform(-0.35, 0.35), rng.randint(2, 12)  # 12 samples are 0.75 ms
    samples = np.interp(np.arange(0, len(stored) - 1, step), np.arange(len(stored)), stored) / 32768
    samples[1:] -= treble * samples[:-1].copy()
    samples[behind:] += echo * samples[:-behind].copy()
    return samples.astype(np.float32)


def speak(rng, words, split):
    """One voice saying the words with pauses, at some loudness, in most cases with a little noise; 16-bit steps."""
    voice = rng.choice(voices_of(split))
    pieces, labels = [silence(rng, 20, 300)], []
    at = len(pieces[0])
    for i, word in enumerate(words):
        if i:
            pieces.append(silence(rng, 30, 250))
            at += len(pieces[-1])
        pieces.append(clip(rng, word, split, voice) * np.float32(rng.uniform(0.7, 1)))
        labels.append((at / RATE, (at + len(pieces[-1])) / RATE, word))
        at += len(pieces[-1])
    samples = np.concatenate([*pieces, silence(rng, 20, 300)])
    samples *= rng.uniform(0.25, 0.95) / np.abs(samples).max()
    if rng.random() < 0.75:
        noise = np.random.default_rng(rng.getrandbits(64)).standard_normal(len(samples), np.float32)
        samples += noise * (np.abs(samples).max() * 10 ** (rng.uniform(-55, -35) / 20))
    return Sound((np.round(np.clip(samples, -1, 1) * 32767) / 32768).astype(np.float32), labels)


def silence(rng, shortest, longest):
    """That many milliseconds."""
    return np.zeros(int(rng.uniform(shortest, longest) * RATE / 1000), np.float32)
