"""Loads the adapters that the test `what_we_write_is_the_same_adapter_again` left in DIR into PEFT, and compares logits with the crate's own.

Run with peft 0.21.2, transformers 5.23.0:
    cargo test -p pipe-lm --test load adapter && python check_peft.py ../../../../target/tmp/adapters
"""
import json
import pathlib
import sys

import peft
import torch
import transformers

HERE = pathlib.Path(__file__).parent
for folder in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    ours = json.loads((folder / "ours.json").read_text())
    base = transformers.AutoModelForCausalLM.from_pretrained(HERE / "logits" / ours["base"], dtype=torch.float32)
    model = peft.PeftModel.from_pretrained(base, folder).eval()
    with torch.no_grad():
        logits = model(torch.tensor([ours["ids"]])).logits[0]
    difference = (logits - torch.tensor(ours["logits"])).abs().max().item()
    merged = transformers.AutoModelForCausalLM.from_pretrained(folder / "merged", dtype=torch.float32)
    with torch.no_grad():
        difference_merged = (merged(torch.tensor([ours["ids"]])).logits[0] - logits).abs().max().item()
    print(f"{folder.name}: logits differ by {difference:.2e}, those of our merged model by {difference_merged:.2e}")
    assert difference < 1e-4 and difference_merged < 1e-4
