"""Writes Chip as a released checkpoint: bf16 weights under the released names, and the files that stand beside them.
The reference implementation loads the result, and its logits are compared with the training code's."""
import json
import random
import shutil
import sys

import torch
from safetensors.torch import load_file, save_file

import batches
import drafter
import evaluate
import golden
from drafter import DRAFTER_KINDS, DRAFTER_SHAPE
from network import KINDS, SHAPE, TILE_POSITIONS
from paths import CHECKPOINT, TEMPLATE_FOLDER, WORK
from prompt import BUDGET

sys.path.insert(0, str(TEMPLATE_FOLDER))
import tiny_model  # noqa: E402
from drafter_data import older_sharing_rule  # noqa: E402
from transformers import (Gemma4UnifiedAssistantConfig, Gemma4UnifiedAssistantForCausalLM,  # noqa: E402
                          Gemma4UnifiedConfig, Gemma4UnifiedForConditionalGeneration)


def piece_ids():
    with open(WORK / "tokenizer" / "tokenizer.json", encoding="utf-8") as f:
        return json.load(f)["model"]["vocab"]


def text_settings(ids, **changes):
    shape = {k: v for k, v in SHAPE.items() if k != "mm_embed_dim"}
    settings = dict(tiny_model.text_settings(ids), **shape, layer_types=KINDS)
    return dict(settings, **changes)


def target_config(ids):
    config = tiny_model.model_config(ids).to_dict()
    vision = {"model_type": "gemma4_unified_vision", "mm_embed_dim": SHAPE["mm_embed_dim"],
              "output_proj_dims": SHAPE["mm_embed_dim"], "mm_posemb_size": TILE_POSITIONS}
    return Gemma4UnifiedConfig(**dict(config, text_config=text_settings(ids), vision_config=vision))


def assistant_config(ids, shape, kinds):
    text = text_settings(ids, hidden_size=shape["hidden_size"], intermediate_size=shape["intermediate_size"],
                         num_hidden_layers=len(kinds), num_kv_shared_layers=len(kinds), layer_types=kinds,
                         final_logit_softcapping=None, use_bidirectional_attention=None)
    return Gemma4UnifiedAssistantConfig(text_config=text, backbone_hidden_size=SHAPE["hidden_size"])


def save(state, reference, folder):
    """The reference writes its own files first, for the configuration and to compare every tensor's name and shape."""
    reference.to(torch.bfloat16).save_pretrained(folder)
    path = f"{folder}/model.safetensors"
    expected = {name: tuple(tensor.shape) for name, tensor in load_file(path).items()}
    assert expected == {name: tuple(tensor.shape) for name, tensor in state.items()}
    save_file({name: tensor.to(torch.bfloat16).contiguous() for name, tensor in sorted(state.items())}, path,
              metadata={"format": "pt"})


def export_target(chip, folder):
    ids = piece_ids()
    save(chip.state_dict(), Gemma4UnifiedForConditionalGeneration(target_config(ids)), folder)
    tiny_model.write_configs(str(folder), ids)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(WORK / "tokenizer" / name, folder)
    processor = json.loads((folder / "processor_config.json").read_text())
    processor["image_processor"]["max_soft_tokens"] = processor["image_seq_length"] = BUDGET
    tiny_model.write_json(processor, folder / "processor_config.json")


def export_drafter(trained, folder):
    ids = piece_ids()
    config = assistant_config(ids, DRAFTER_SHAPE, DRAFTER_KINDS)
    with older_sharing_rule():
        save(trained.state_dict(), Gemma4UnifiedAssistantForCausalLM(config), folder)
    tiny_model.write_json(tiny_model.respell_config(folder), folder / "config.json")
    tiny_model.write_json({"bos_token_id": ids["<bos>"], "pad_token_id": ids["<pad>"],
                           "eos_token_id": tiny_model.stop_ids(ids)}, folder / "generation_config.json")


@torch.no_grad()
def compare(chip, folder, count=40):
    """The largest difference of a logit between the training code and the reference, over some cases."""
    model, rng, largest = tiny_model.load(folder, torch.float32), random.Random("compare"), 0.0
    for _ in range(count):
        case = batches.draw_case(rng, "test")
        whole = batches.prompt.sample(case)
        out, _ = tiny_model.prefill(model, golden.CasePrompt(case))
        batch = batches.ready(batches.collate([[whole]], len(whole.ids)))
        ours = chip.logits(chip(batch)[0][0, :whole.answer])
        largest = max(largest, float((ours - out.logits[0]).abs().max()))
    return largest


if __name__ == "__main__":
    trained = evaluate.load()
    export_target(trained, CHECKPOINT)
    export_drafter(drafter.load(), CHECKPOINT / "assistant")
    for path in (CHECKPOINT, CHECKPOINT / "assistant"):
        (path / "config.per_layer.json").unlink()  # the second spelling, which the released files do not have
    print(f"largest difference from the reference's logits: {compare(trained, CHECKPOINT):.2g}")
