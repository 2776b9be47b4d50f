"""Inverse frequencies of every rope type -> rope.json.

Made with transformers 5.23.0, torch 2.15.0 (CPU). Run: python make_rope.py > rope.json
"""
import json
import sys

import torch
import transformers
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

CASES = [
    (64, 512, 512, {"rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0}),
    (64, 512, 512, {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}),
    (64, 512, 1300, {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}),
    (128, 131072, 1, {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                      "original_max_position_embeddings": 8192, "rope_theta": 500000.0}),
    (64, 131072, 1, {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                     "original_max_position_embeddings": 8192, "rope_theta": 500000.0}),
    (128, 131072, 1, {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768,
                      "rope_theta": 1000000.0}),
    (64, 8192, 1, {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 1024, "beta_fast": 16.0,
                   "beta_slow": 2.0, "mscale": 0.7, "mscale_all_dim": 1.0, "truncate": False, "rope_theta": 10000.0}),
]
out = []
for head_dim, longest, seq_len, rope in CASES:
    config = LlamaConfig(hidden_size=2 * head_dim, num_attention_heads=2, num_hidden_layers=1, intermediate_size=8,
                         vocab_size=8, max_position_embeddings=longest, rope_parameters=dict(rope))
    saved = json.loads(config.to_json_string(use_diff=False))
    keep = ["model_type", "hidden_size", "num_attention_heads", "num_hidden_layers", "intermediate_size", "vocab_size",
            "max_position_embeddings", "rope_parameters"]
    inv_freq, factor = ROPE_INIT_FUNCTIONS[rope["rope_type"]](config, "cpu", seq_len=seq_len)
    out.append({"config": {k: saved[k] for k in keep} | {"architectures": ["LlamaForCausalLM"]}, "seq_len": seq_len,
                "inv_freq": inv_freq.tolist(), "factor": float(factor)})
json.dump({"versions": {"transformers": transformers.__version__, "torch": torch.__version__}, "cases": out}, sys.stdout)
