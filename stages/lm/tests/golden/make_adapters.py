"""Adapters written by PEFT for golden checkpoints, with logits alone and merged -> adapters/*.

Made with peft 0.21.2, transformers 5.23.0, torch 2.15.0 (f32, CPU). Run: python make_adapters.py (after make_logits.py)
"""
import json
import pathlib

import peft
import torch
import transformers

HERE = pathlib.Path(__file__).parent
CASES = {
    "names": ("llama2_gqa", dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"])),
    "all_linear": ("qwen2", dict(r=2, lora_alpha=8, target_modules="all-linear", use_rslora=True)),
    "patterns": ("llama2_gqa", dict(r=4, lora_alpha=6, target_modules=r".*\.(q_proj|down_proj)", rank_pattern={"down_proj": 2, r"layers\.0\.self_attn\.q_proj": 3},
                                    alpha_pattern={"down_proj": 5})),
    "one_layer": ("llama2_gqa", dict(r=4, lora_alpha=4, target_modules=["o_proj"], layers_to_transform=[1])),
    "fused": ("mpt", dict(r=4, lora_alpha=8, target_modules=["Wqkv", "down_proj"])),
}
for name, (base, options) in CASES.items():
    torch.manual_seed(3)
    out = HERE / "adapters" / name
    model = transformers.AutoModelForCausalLM.from_pretrained(HERE / "logits" / base, dtype=torch.float32)
    model = peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", **options)).eval()
    for key, parameter in model.named_parameters():
        if "lora_" in key:
            torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(out)
    (out / "README.md").unlink()
    config = json.loads((out / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = base
    config["target_modules"] = sorted(config["target_modules"]) if isinstance(config["target_modules"], list) else config["target_modules"]
    (out / "adapter_config.json").write_text(json.dumps(config, indent=1, sort_keys=True))
    ids = torch.tensor([[3, 17, 5, 9, 1, 12, 30, 4]])
    with torch.no_grad():
        logits = model(ids).logits[0]
        merged = model.merge_and_unload()
        same = merged(ids).logits[0]
    module = next(k for k, _ in merged.named_parameters() if any(t in k for t in ("down_proj", "q_proj", "o_proj")))
    expected = {"versions": {"peft": peft.__version__, "transformers": transformers.__version__, "torch": torch.__version__},
                "base": base, "ids": ids[0].tolist(), "logits": [[round(float(x), 6) for x in row] for row in logits],
                "merged_logits_differ_by": float((logits - same).abs().max())}
    (out / "expected.json").write_text(json.dumps(expected))
    print(name, expected["merged_logits_differ_by"])
