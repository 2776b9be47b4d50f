"""Prompts and completions tokenised as TRL's SFTTrainer does it (trl 1.16, `tokenize_fn` in trainer/sft_trainer.py): the whole text is
tokenised, and the completion begins where its tokens and those of the prompt alone diverge (`trl`). `by_offsets` counts the tokens no character of
which belongs to the completion: where TRL counts fewer, it warns, because the prompt alone has other tokens at its end (such as an end of text).

    pip install transformers==5.24.0 && python make_joint.py    # writes joint.json
"""
import json
import pathlib

from transformers import PreTrainedTokenizerFast

HERE = pathlib.Path(__file__).parent
PAIRS = [
    ("Instruction: Name a colour.\nOutput:", " On the whole, blue.\n"),
    ("Instruction: Name a colour.\nOutput: ", "On the whole, blue."),
    ("### Response:\n", "The answer is 42."),
    ("Question: 12 + 3?\nAnswer:", " 15"),
    ("The c", "at sat"),
    ("naïve 🦀 says", " héllo\n\nand goes"),
    ("a", " b"),
]


def joint(tokenizer, prompt, completion):
    alone = tokenizer(prompt)["input_ids"]
    encoding = tokenizer(prompt + completion, return_offsets_mapping=True)
    whole = encoding["input_ids"]
    ends = [end for _, end in encoding["offset_mapping"]]
    by_offsets = next((i for i, end in enumerate(ends) if end > len(prompt)), len(ends))
    length = next((i for i, (a, b) in enumerate(zip(alone, whole)) if a != b), min(len(alone), len(whole)))
    return {"prompt": prompt, "completion": completion, "ids": whole, "trl": length, "by_offsets": by_offsets}


if __name__ == "__main__":
    cases = {}
    for kind in ["byte_level", "sentencepiece_bpe", "unigram"]:
        tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(HERE / "tokenizers" / kind / "tokenizer.json"))
        cases[kind] = [joint(tokenizer, *pair) for pair in PAIRS]
    (HERE / "joint.json").write_text(json.dumps(cases, ensure_ascii=False, indent=1) + "\n")
