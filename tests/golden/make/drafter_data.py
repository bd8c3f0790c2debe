"""checkpoints/tiny_assistant, the MTP drafter of the tiny checkpoint, and drafter/: draft steps and whole speculative
decodings. README.md says which position and which keys a draft has."""
import contextlib
import copy
import os

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import Gemma4UnifiedAssistantConfig, Gemma4UnifiedAssistantForCausalLM
from transformers.models.gemma4_unified.configuration_gemma4_unified import Gemma4UnifiedTextConfig

import tiny_model
from model_cases import STEPS, RandomPrompt
from tiny_model import TEXT

SEED = 71
DRAFTS = 4  # a round, at most
LEAD = 0.01  # of every winner over the runner-up, target and drafter
KINDS = ["sliding_attention"] * 3 + ["full_attention"]
CASES = [
    {"name": "draft_text_40", "seed": 231, "prompt": [["text", 39]]},  # longer than the window of 32
    {"name": "draft_mixed", "seed": 232,  # shorter; grows beyond it
     "prompt": [["text", 5], ["image", 2, 2], ["text", 3], ["audio", 3], ["text", 4]]},
]


@contextlib.contextmanager
def older_sharing_rule():
    """transformers 5.23.0 rejects a drafter, whose layers all reuse another model's K/V, and a target without shared
    layers hands none out. Up to 5.12 the last layer of each kind did. This is that rule, for as long as needed."""

    def modes(config):
        own = config.num_hidden_layers - config.num_kv_shared_layers
        last = {kind: i for i, kind in enumerate(config.layer_types[:own])}
        return ["store" if i in last.values() else None for i in range(own)] + ["reuse"] * config.num_kv_shared_layers

    present = Gemma4UnifiedTextConfig.kv_sharing_modes
    Gemma4UnifiedTextConfig.kv_sharing_modes = property(modes)
    try:
        yield
    finally:
        Gemma4UnifiedTextConfig.kv_sharing_modes = present


# ---- What the target knows


class Target:
    """A prompt, its greedy continuation, and for both the hidden states and the K/V that a drafter sees: from one
    forward over everything, which equals one forward a token, because what follows a prompt is causal."""

    def __init__(self, model, prompt, ids):
        self.prompt = prompt
        self.length = self.prompt.ids.shape[1]
        self.window = model.config.get_text_config().sliding_window
        suppressed = tiny_model.suppressed_ids(ids)
        answer = tiny_model.Continuation(model, *tiny_model.prefill(model, self.prompt), STEPS, suppressed)
        self.tokens, self.smallest_lead = answer.tokens, answer.smallest_lead
        whole = copy.copy(self.prompt)
        whole.ids = torch.cat([whole.ids, torch.tensor([self.tokens])], 1)
        whole.types = torch.cat([whole.types, torch.full((1, STEPS), TEXT)], 1)
        out, _ = tiny_model.prefill(model, whole, return_shared_kv_states=True)
        self.hidden, self.kv = out.hidden_states[-1][0], dict(out.shared_kv_states)
        self.table = model.model.language_model.embed_tokens  # with its multiplier

    def verified(self, count):
        """The K/V of the first `count` positions, on sliding layers of the last of them that lie in the window of
        position `count`. The drafter's own masks then let it see all it is given."""
        first = {"sliding_attention": max(0, count - self.window + 1), "full_attention": 0}
        return {kind: tuple(x[:, :, first[kind]:count] for x in pair) for kind, pair in self.kv.items()}


# ---- Drafting


@torch.no_grad()
def draft_step(drafter, target, token, previous, cached):
    """One step, and everything in it. Its position is that of the round's newest token, whichever step it is."""
    stages, handles = {}, []
    parts = {"y": drafter.pre_projection, "normed": drafter.model.norm}
    parts.update({f"layer.{i}.out": layer for i, layer in enumerate(drafter.model.layers)})
    for name, part in parts.items():
        handles.append(part.register_forward_hook(
            lambda _, __, output, name=name: stages.update({name: output[0, 0].clone()})))
    x = torch.cat([target.table(torch.tensor([[token]])), previous[None, None]], -1)
    out = drafter(inputs_embeds=x, position_ids=torch.tensor([[cached]]), shared_kv_states=target.verified(cached))
    for handle in handles:
        handle.remove()
    return dict(stages, x=x[0, 0], logits=out.logits[0, 0], projected=out.last_hidden_state[0, 0])


def draft(drafter, target, token, cached, count):
    """`count` tokens after `token`, which stands behind `cached` verified positions, and the steps' stages."""
    drafted, steps, previous = [], [], target.hidden[cached - 1]
    for _ in range(count):
        steps.append(draft_step(drafter, target, token, previous, cached))
        token, previous = int(steps[-1]["logits"].argmax()), steps[-1]["projected"]
        drafted.append(token)
    return drafted, steps


def lead(step):
    best = step["logits"].topk(2).values
    return float(best[0] - best[1])


def decode(drafter, target):
    """A whole speculative decoding: its rounds, the tokens that they emit, the smallest lead of a draft."""
    emitted, rounds, smallest = target.tokens[:1], [], float("inf")
    while len(emitted) < STEPS:
        cached = target.length + len(emitted) - 1
        drafted, steps = draft(drafter, target, emitted[-1], cached, min(DRAFTS, STEPS - len(emitted) - 1))
        smallest = min([smallest] + [lead(step) for step in steps])
        truth, accepted = target.tokens[len(emitted):], 0
        while accepted < len(drafted) and drafted[accepted] == truth[accepted]:
            accepted += 1
        rounds.append({"cached": cached, "token": emitted[-1], "drafted": drafted, "accepted": accepted})
        emitted = emitted + drafted[:accepted] + truth[accepted:accepted + 1]
    return rounds, emitted, smallest


# ---- The checkpoint


def teach(drafter, targets):
    """A random drafter is never right. The output table is fitted (softmax regression on the states that it gets) to
    the targets' greedy tokens; two in seven samples are left out, for drafts that fail. All else stays random."""
    states, wanted = [], []
    for target in targets:
        for start in range(STEPS - 1):
            previous = target.hidden[target.length + start - 1]
            for step in range(min(DRAFTS, STEPS - 1 - start)):
                stages = draft_step(drafter, target, target.tokens[start + step], previous, target.length + start)
                previous = stages["projected"]
                if (3 * start + 5 * step) % 7 > 1:
                    states.append(stages["normed"])
                    wanted.append(target.tokens[start + step + 1])
    x, y = torch.stack(states).double(), torch.tensor(wanted)
    table = torch.zeros(drafter.model.embed_tokens.weight.shape, dtype=torch.double, requires_grad=True)
    optimizer = torch.optim.Adam([table], lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        (torch.nn.functional.cross_entropy(x @ table.T, y) + 1e-4 * table.square().sum()).backward()
        optimizer.step()
    noise = np.random.default_rng(SEED).normal(0, 0.02, size=tuple(table.shape))  # tokens never wanted are all alike
    with torch.no_grad():
        drafter.model.embed_tokens.weight.copy_(table + torch.from_numpy(noise))


def write_checkpoint(folder, ids, targets):
    text = dict(tiny_model.text_settings(ids), hidden_size=32, intermediate_size=64, num_hidden_layers=len(KINDS),
                num_kv_shared_layers=len(KINDS), layer_types=KINDS, final_logit_softcapping=None,
                use_bidirectional_attention=None)
    config = Gemma4UnifiedAssistantConfig(text_config=text, backbone_hidden_size=tiny_model.SHAPE["hidden_size"])
    config._attn_implementation = config.text_config._attn_implementation = "eager"
    drafter = Gemma4UnifiedAssistantForCausalLM(config).eval()
    tiny_model.fill(drafter, ids, SEED)
    teach(drafter, targets)
    drafter.to(torch.bfloat16).save_pretrained(folder)
    tiny_model.write_json(tiny_model.respell_config(folder), f"{folder}/config.json")
    tiny_model.write_json({"bos_token_id": ids["<bos>"], "pad_token_id": ids["<pad>"],
                           "eos_token_id": tiny_model.stop_ids(ids)}, f"{folder}/generation_config.json")


# ---- The cases


def make_case(model, drafter, target, ids, path):
    drafted, steps = draft(drafter, target, target.tokens[0], target.length, DRAFTS)
    tensors = {f"a.step{i}.{name}": value for i, step in enumerate(steps) for name, value in step.items()}
    tensors.update(target.prompt.tensors(), target_hidden=target.hidden,
                   greedy_tokens=torch.tensor(target.tokens, dtype=torch.int32),
                   **{"a.drafted": torch.tensor(drafted, dtype=torch.int32)})
    tensors.update({f"kv.{kind}.{x}": value[0] for kind in target.kv for x, value in zip("kv", target.kv[kind])})
    rounds, emitted, smallest = decode(drafter, target)
    smallest = min([smallest] + [lead(step) for step in steps])
    assert emitted == target.tokens == tiny_model.generate(model, target.prompt, STEPS,
                                                           tiny_model.suppressed_ids(ids))
    check_assisted(model, drafter, target.prompt, ids)
    save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, path)
    return {"tokens": target.length, "rounds": rounds,
            "greedy_tokens": target.tokens, "greedy_smallest_lead": round(target.smallest_lead, 6),
            "drafted_smallest_lead": round(smallest, 6)}


def check_assisted(model, drafter, prompt, ids):
    """The reference's own speculative decoding, which needs a dynamic cache, changes nothing either. Its masks of
    pictures (`tiny_model.prefill_masks`) and its keys after a rejection are others, so the rounds are not ours."""
    drafter.generation_config.num_assistant_tokens = DRAFTS
    arguments = dict(input_ids=prompt.ids, mm_token_type_ids=prompt.types, attention_mask=torch.ones_like(prompt.ids),
                     max_new_tokens=STEPS, do_sample=False, suppress_tokens=tiny_model.suppressed_ids(ids),
                     **tiny_model.media_arguments(model, prompt))
    plain = model.generate(**arguments)
    assert plain.tolist() == model.generate(assistant_model=drafter, **arguments).tolist()


def write(out, folder, ids):
    os.makedirs(f"{out}/drafter", exist_ok=True)
    own, index = f"{folder}_assistant", {}
    with older_sharing_rule():
        model = tiny_model.load(folder, torch.float32)
        targets = [Target(model, RandomPrompt(case, ids), ids) for case in CASES]
        write_checkpoint(own, ids, targets)
        drafter = Gemma4UnifiedAssistantForCausalLM.from_pretrained(own, dtype=torch.float32,
                                                                    attn_implementation="eager").eval()
        for case, target in zip(CASES, targets):
            name = case["name"]
            entry = make_case(model, drafter, target, ids, f"{out}/drafter/{name}.safetensors")
            index[name] = {"checkpoint": tiny_model.NAME, "prompt": case["prompt"]} | entry
            print(f"drafter {name}: accepted {[r['accepted'] for r in entry['rounds']]}, smallest leads "
                  f"{entry['greedy_smallest_lead']:.4f} {entry['drafted_smallest_lead']:.4f}", flush=True)
            assert min(entry["greedy_smallest_lead"], entry["drafted_smallest_lead"]) > LEAD
    rounds = [r for entry in index.values() for r in entry["rounds"]]
    assert {r["accepted"] for r in rounds if len(r["drafted"]) == DRAFTS} == set(range(DRAFTS + 1))
    tiny_model.write_index(index, f"{out}/drafter/index.json")
