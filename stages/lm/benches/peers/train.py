"""Training speed of PyTorch and PEFT on the shapes of `shapes.json` or on a checkpoint: the peer of
`examples/train_bench.rs`, which takes the same options.

    python train.py --shape llama-6.9m --method full --rows 16 --len 256 --steps 8

Versions: torch 2.15.0, transformers 5.23.0, peft 0.21.2. CPU, f32, two threads, attention by SDPA, the loss on every
token as in `train_bench`. Rows are of equal length, so nothing is padded.
"""

import argparse
import json
import time
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

options = argparse.ArgumentParser()
options.add_argument("--shape", default="llama-6.9m")
options.add_argument("--model")
options.add_argument("--method", default="lora", choices=["lora", "full"])
for name, default in {"rows": 16, "len": 256, "steps": 8, "r": 16, "threads": 2}.items():
    options.add_argument(f"--{name}", type=int, default=default)
options = options.parse_args()

torch.set_num_threads(options.threads)
torch.manual_seed(1)
if options.model:
    model = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32)
else:
    shapes = json.loads((Path(__file__).parent / "shapes.json").read_text())
    model = LlamaForCausalLM(LlamaConfig(**shapes[options.shape]))
if options.method == "lora":
    lora = LoraConfig(r=options.r, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(model, lora)
model.config.use_cache = False
model.train()
trainable = [p for p in model.parameters() if p.requires_grad]
optimizer = torch.optim.AdamW(trainable, lr=1e-3, weight_decay=0.0)

seconds, losses = [], []
for _ in range(options.steps):
    ids = torch.randint(0, model.config.vocab_size, (options.rows, options.len + 1))
    start = time.perf_counter()
    logits = model(input_ids=ids[:, :-1]).logits
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
    loss.backward()
    torch.nn.utils.clip_grad_norm_(trainable, 1.0)
    optimizer.step()
    optimizer.zero_grad()
    losses.append(loss.item())
    seconds.append(time.perf_counter() - start)

warm = sorted(seconds[min(options.steps // 4, 2):])
median = warm[len(warm) // 2]
print("loss", " ".join(f"{x:.4f}" for x in losses))
print(f"{options.rows * options.len / median:.0f} tokens/s (median step {median:.3f} s, fastest {warm[0]:.3f})")
