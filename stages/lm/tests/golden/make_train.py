"""Golden losses, gradients and weights of the first five optimizer steps, for LoRA, QLoRA and full training.

    python make_train.py      # writes train/* beside this file

Versions: torch 2.15.0, transformers 5.23.0, peft 0.21.2, bitsandbytes 0.50.2, safetensors 0.8.0. CPU, f32.

Each case is a tiny random checkpoint, four rows of different lengths with masked prompts, and a window of two
micro-batches of two rows per optimizer step. Every step sees all four rows, so their order does not matter.
Losses are summed over all unmasked tokens of the window and divided by their number; gradients are recorded before
clipping, which is tight enough to bite.
"""

import json
from pathlib import Path

import torch
import torch.nn.functional as nn
from make_nf4 import quantize
from bitsandbytes import functional as F
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from torch.optim import _muon
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

OUT = Path(__file__).parent / "train"
STEPS, CLIP = 5, 0.5
SHAPE = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
             vocab_size=48, max_position_embeddings=64, initializer_range=0.2)


class FloatMuon:
    """`torch` as the Muon module sees it, iterating in f32 instead of bf16 so that results can be compared closely."""

    bfloat16 = torch.float32

    def __getattr__(self, name):
        return getattr(torch, name)


_muon.torch = FloatMuon()


def models():
    torch.manual_seed(3)
    llama = LlamaForCausalLM(LlamaConfig(**SHAPE, tie_word_embeddings=True))
    qwen = Qwen2ForCausalLM(Qwen2Config(**SHAPE, tie_word_embeddings=False))
    with torch.no_grad():
        for name, p in qwen.named_parameters():
            if name.endswith("bias"):
                p.normal_(std=0.1)
    return {"llama": llama, "qwen2": qwen}


def rows():
    g = torch.Generator().manual_seed(5)
    lengths = [(3, 9), (6, 2), (4, 14), (2, 5)]  # prompt, completion
    out = []
    for i, (prompt, completion) in enumerate(lengths):
        tokens = torch.randint(0, SHAPE["vocab_size"], (prompt + completion,), generator=g).tolist()
        weights = [0.0] * prompt + [1.0] * completion
        if i == 2:  # weights other than 0 and 1, as in pretraining
            weights = [0.03] * prompt + [3.0] * completion
        out.append({"tokens": tokens, "weights": weights})
    return out


def window_loss(model, rows):
    total = sum(sum(r["weights"][1:]) for r in rows)
    loss = 0.0
    for r in rows:
        ids = torch.tensor([r["tokens"]])
        logits = model(input_ids=ids).logits[0, :-1]
        token_losses = nn.cross_entropy(logits, ids[0, 1:], reduction="none")
        loss = loss + (token_losses * torch.tensor(r["weights"][1:])).sum()
    return loss / total


def record(model, rows, optimizers, keep):
    """Steps; returns tensors to compare with. `keep` names the steps whose gradients are kept."""
    trainable = {n.replace(".default", ""): p for n, p in model.named_parameters() if p.requires_grad}
    out, losses, norms = {}, [], []
    for step in range(STEPS):
        model.zero_grad()
        loss = window_loss(model, rows)
        loss.backward()
        losses.append(loss.item())
        for name, p in trainable.items():
            if step in keep:
                out[f"grad.{step}.{name}"] = p.grad.clone()
        norms.append(torch.nn.utils.clip_grad_norm_(trainable.values(), CLIP).item())
        for optimizer in optimizers(model):
            optimizer.step()
    for name, p in trainable.items():
        out[f"final.{name}"] = p.detach().clone()
    out["losses"], out["grad_norms"] = torch.tensor(losses), torch.tensor(norms)
    return out


def once(make):
    made = []

    def get(model):
        if not made:
            made.extend(make(model))
        return made

    return get


def adamw(model):
    return [torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2, weight_decay=0.01)]


def muon(model):
    hidden = {n: p for n, p in model.named_parameters() if p.dim() == 2 and "embed" not in n and "lm_head" not in n}
    rest = [p for n, p in model.named_parameters() if n not in hidden]
    return [torch.optim.Muon(hidden.values(), lr=1e-2, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(rest, lr=1e-2, betas=(0.9, 0.98), weight_decay=0.0)]


def with_adapter(model, folder):
    torch.manual_seed(7)
    config = LoraConfig(r=2, lora_alpha=4, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(model, config)
    initial = {n.replace(".default", ""): p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
    save_file(initial, folder / "lora_init.safetensors")
    return model


def main():
    for name, model in models().items():
        folder = OUT / name
        folder.mkdir(parents=True, exist_ok=True)
        model.save_pretrained(folder)
        (folder / "generation_config.json").unlink(missing_ok=True)
        (folder / "rows.json").write_text(json.dumps(rows()))
        start = {k: v.clone() for k, v in model.state_dict().items()}

        peft = with_adapter(model, folder)
        save_file(record(peft, rows(), once(adamw), range(STEPS)), folder / "lora.safetensors")
        model = peft.unload()

        model.load_state_dict(start)
        with torch.no_grad():
            for n, p in model.named_parameters():
                if "proj" in n and n.endswith("weight"):
                    p.copy_(F.dequantize_4bit(*quantize(p)))
        peft = with_adapter(model, folder)
        save_file(record(peft, rows(), once(adamw), range(STEPS)), folder / "qlora.safetensors")
        model = peft.unload()

        for kind, optimizers in {"full": adamw, "muon": muon}.items():
            if kind == "muon" and name != "llama":
                continue
            model.load_state_dict(start)
            for p in model.parameters():
                p.requires_grad_(True)
            save_file(record(model, rows(), once(optimizers), [0] if kind == "full" else []), folder / f"{kind}.safetensors")


if __name__ == "__main__":
    main()
