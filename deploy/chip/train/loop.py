"""The loop of both trainings: batches made ahead, rates that rise and fall, a state that is saved and found again."""
import concurrent.futures
import dataclasses
import itertools
import multiprocessing
import shutil
import time

import torch

import batches

PREPARED = 6  # batches ahead
SAVE_EVERY, SHOW_EVERY = 100, 20  # steps


def prepared(seed, first, courses):
    """Batches from step `first` to the end of the last course, made ahead by another process."""
    course_of = [number for number, course in enumerate(courses, 1) for _ in range(course.steps)]
    last = len(course_of)
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn"),
                                                initializer=torch.set_num_threads, initargs=(1,)) as pool:
        waiting = [pool.submit(batches.make, seed, step, course_of[step])
                   for step in range(first, min(first + PREPARED, last))]
        for step in range(first, last):
            if step + PREPARED < last:
                waiting.append(pool.submit(batches.make, seed, step + PREPARED, course_of[step + PREPARED]))
            yield step, batches.ready(waiting.pop(0).result())


def optimizers(model, group_of, rates):
    """Muon for the parameters that `group_of` calls "matrices", AdamW for the other groups of `rates`."""
    groups = {name: [] for name in rates}
    for name, parameter in model.named_parameters():
        groups[group_of(name, parameter)].append(parameter)
    muon = torch.optim.Muon(groups.pop("matrices"), lr=rates["matrices"], momentum=0.95, weight_decay=0.05)
    adam = torch.optim.AdamW([{"params": of, "lr": rates[name]} for name, of in groups.items()], betas=(0.9, 0.98),
                             weight_decay=0.01)
    return muon, adam


def coarse(weight):
    """Rounded to four bits of mantissa instead of bfloat16's seven: the file compresses to three quarters, and no score that
    was compared (pictures, sounds) moved by more than its standard error."""
    bits = weight.float().contiguous().view(torch.int32)
    return ((bits + (1 << 18)) & -(1 << 19)).view(torch.float32)


def released(path):
    """The trained weights as they are released, in bfloat16: matrices coarse, the few other numbers whole."""
    return {name: coarse(weight) if weight.dim() > 1 else weight.bfloat16().float()
            for name, weight in torch.load(path)["model"].items()}


@dataclasses.dataclass
class Course:
    """Steps in which the rates rise to `height` of what they are called for `warm_up` steps, hold, and fall in a straight
    line to zero over the share `fall`."""
    steps: int
    height: float
    warm_up: int
    fall: float

    def rate(self, step):
        return self.height * min(1, (step + 1) / self.warm_up, (self.steps - step) / (self.steps * self.fall))


def after_course(path, number):
    """Where the state after a course (from 1) is kept."""
    return path.with_stem(f"{path.stem}_{number}")


def run(model, both, loss_of, path, seed, courses):
    """Trains from the state in `path`, or from the start, through all courses. `loss_of(batch)` gives a loss and figures by
    name to show."""
    first, seconds = 0, 0.0
    rates_of_steps = [course.rate(step) for course in courses for step in range(course.steps)]
    steps = len(rates_of_steps)
    ends = {step: number for number, step in enumerate(itertools.accumulate(c.steps for c in courses), 1)}
    full = [[group["lr"] for group in optimizer.param_groups] for optimizer in both]
    if path.exists():
        saved = torch.load(path)
        first, seconds = saved["step"], saved["seconds"]
        model.load_state_dict(saved["model"])
        for optimizer, state in zip(both, saved["optimizers"]):
            optimizer.load_state_dict(state)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, steps {first} to {steps}", flush=True)
    begun, shown = time.monotonic(), []
    for step, batch in prepared(seed, first, courses):
        rate = rates_of_steps[step]
        for optimizer, rates in zip(both, full):
            for group, highest in zip(optimizer.param_groups, rates):
                group["lr"] = highest * rate
            optimizer.zero_grad()
        loss, figures = loss_of(batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in both:
            optimizer.step()
        shown.append(figures)
        done, spent = step + 1, time.monotonic() - begun
        if done % SHOW_EVERY == 0:
            means = "  ".join(f"{name} {sum(float(f[name]) for f in shown) / len(shown):.3f}" for name in figures)
            left = spent / (done - first) * (steps - done) / 60
            print(f"step {done}/{steps}  {means}  {left:.0f} min to go", flush=True)
            shown = []
        if done % SAVE_EVERY == 0 or done in ends:
            torch.save({"step": done, "seconds": seconds + spent, "model": model.state_dict(),
                        "optimizers": [optimizer.state_dict() for optimizer in both]}, path.with_suffix(".new"))
            path.with_suffix(".new").replace(path)
        if done in ends:
            shutil.copy(path, after_course(path, ends[done]))
