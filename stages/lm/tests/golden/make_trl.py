"""What TRL trains on, and where transformers ends a text -> trl.json.

`joint`: prompts and completions through `SFTTrainer._prepare_dataset`, with the end of text that it appends.
`ends`: tiny models whose files name different ends, made to write the tokens 3, 4, 5 ... by `generate`.

    pip install torch==2.5.1 transformers==4.57.1 trl==0.24.0 && python make_trl.py
"""
import json
import pathlib
import tempfile
from types import SimpleNamespace

import torch
import transformers
import trl
from datasets import Dataset
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, LogitsProcessor, PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer

from make_joint import PAIRS

HERE = pathlib.Path(__file__).parent
EOS = {"byte_level": "<|endoftext|>", "sentencepiece_bpe": "</s>", "unigram": "</s>"}


def joint(kind):
    file = HERE / "tokenizers" / kind / "tokenizer.json"
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(file), eos_token=EOS[kind])
    rows = Dataset.from_list([{"prompt": prompt, "completion": completion} for prompt, completion in PAIRS])
    trainer = SimpleNamespace(_is_vlm=False)
    args = SFTConfig(output_dir=tempfile.mkdtemp(), max_length=None, report_to=[], use_cpu=True, bf16=False)
    made = SFTTrainer._prepare_dataset(trainer, rows, tokenizer, args, False, None, "train")
    return [
        {"prompt": prompt, "completion": completion, "eos": tokenizer.eos_token_id, "ids": row["input_ids"],
         "mask": row["completion_mask"], "mismatch": not starts_as(tokenizer(prompt)["input_ids"], row["input_ids"])}
        for (prompt, completion), row in zip(PAIRS, made)
    ]


def starts_as(prompt, whole):
    """Where it does not, TRL warns, and masks as many tokens as the prompt alone has."""
    return whole[: len(prompt)] == prompt


class Counting(LogitsProcessor):
    def __call__(self, ids, scores):
        forced = torch.full_like(scores, -1e9)
        forced[:, ids.shape[1] + 2] = 0.0
        return forced


def ends(config, generation):
    """The last token that is written, of 3, 4, 5 ... 14; a model that does not stop gets to 14."""
    sizes = dict(vocab_size=16, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1)
    model = LlamaForCausalLM(LlamaConfig(**sizes, bos_token_id=1, eos_token_id=None, pad_token_id=0))
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        model.save_pretrained(folder)
        text = json.loads((folder / "config.json").read_text())
        text["eos_token_id"] = config
        (folder / "config.json").write_text(json.dumps(text))
        (folder / "generation_config.json").unlink()
        if generation is not None:
            (folder / "generation_config.json").write_text(json.dumps(generation))
        loaded = AutoModelForCausalLM.from_pretrained(folder)
        ids = loaded.generate(torch.tensor([[1]]), max_new_tokens=12, do_sample=False, logits_processor=[Counting()])
    return {"config": config, "generation": generation, "last": int(ids[0, -1])}


CASES = [
    (5, None), ([5, 6], None), (None, None), (5, {}), (5, {"eos_token_id": 7}), (5, {"eos_token_id": [8, 6]}),
    (5, {"temperature": 0.5, "do_sample": True}), (None, {"eos_token_id": 9}), (5, {"eos_token_id": None}),
]

if __name__ == "__main__":
    made = {
        "versions": {"transformers": transformers.__version__, "trl": trl.__version__, "torch": torch.__version__},
        "joint": {kind: joint(kind) for kind in EOS},
        "ends": [ends(*case) for case in CASES],
    }
    (HERE / "trl.json").write_text(json.dumps(made, ensure_ascii=False, indent=1) + "\n")
