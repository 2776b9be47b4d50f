"""The cases of ../training.rs with PyTorch, transformers and PEFT: python training.py [CASE...]

Measured with torch 2.15.0, transformers 5.23.0, peft 0.21.2 (`--versions` prints those in use).
"""

import sys
import time

import peft
import torch
import transformers

TINY = (256, 6, 8, 8, 704, 4096)
EMBEDDED = (192, 4, 6, 6, 512, 2048)
SMOL = (576, 30, 9, 3, 1536, 49152)
CASES = {
    "full-6.9m": (TINY, False, (16, 256, 0)),
    "lora-embedded": (EMBEDDED, True, (32, 64, 16)),
    "lora-135m": (SMOL, True, (4, 256, 16)),
}


def model_of(shape, tied):
    hidden, layers, heads, kv_heads, ff, vocab = shape
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads, num_key_value_heads=kv_heads,
        intermediate_size=ff, vocab_size=vocab, max_position_embeddings=2048, tie_word_embeddings=tied,
        bos_token_id=None, eos_token_id=None, pad_token_id=None, attn_implementation="sdpa",
    )
    return transformers.LlamaForCausalLM(config)


def train(model, rows, tokens, rank):
    if rank:
        lora = peft.LoraConfig(r=rank, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
        model = peft.get_peft_model(model, lora)
    model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5, weight_decay=0.0)
    ids = torch.randint(0, model.config.vocab_size, (rows, tokens))

    def step():
        model(input_ids=ids, labels=ids).loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    start = time.perf_counter()
    step()
    step()
    steps = int(min(200, max(2, 8 / ((time.perf_counter() - start) / 2))))
    start = time.perf_counter()
    for _ in range(steps):
        step()
    return rows * tokens * steps / (time.perf_counter() - start)


if __name__ == "__main__":
    if "--versions" in sys.argv:
        print("torch", torch.__version__, "transformers", transformers.__version__, "peft", peft.__version__)
    for name in [arg for arg in sys.argv[1:] if not arg.startswith("-")] or CASES:
        shape, tied, arguments = CASES[name]
        speed = train(model_of(shape, tied), *arguments)
        print(f"{name:20} {speed:10.0f} tokens/s", flush=True)
