"""Small tokenizers of each kind and the ids they give -> tokenizers/*.json.

Made with tokenizers 0.23.3. Run: python make_tokenizers.py (it needs no network; the training text is below).
"""
import json
import pathlib

import tokenizers as tk
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = pathlib.Path(__file__).parent / "tokenizers"
TRAIN = """The patient was given 250 mg of aspirin. Which symptoms improved, and why?
Insulin lowers glucose; the liver stores it as glycogen. It's late -- don't wait!
Der Löffel liegt neben der Tasse. Où est la bibliothèque? 日本語のテキスト 한국어 텍스트
def f(x):
    return x ** 2  # tabs\tand\nnewlines
Instruction: Name two causes of anaemia.
Output: Iron deficiency and blood loss.
""".split("\n") * 20
TEXTS = [
    "", " ", "  two  spaces ", "Hello world", "hello", "\n", "a\n\nb\t c\r\n", "naïve café", "e\u0301 vs \u00e9", "日本語",
    "🦀🧬 family: 👨‍👩‍👧", "\u0000\u0007 control", "x" * 40, "250mg, 3.14; 1e-9", "don't I'LL we've", "<s> in text </s>",
    "<|im_start|>user\nhi<|im_end|>", " <s>", "a<s>b", "zero\u200bwidth\u00a0nbsp", "ﬁ ligature Ⅷ", "\ud7ff\ue000\ufffd",
    "Instruction: Name\nOutput:", "▁already▁there", "mixed 日本 text и кириллица",
]


def byte_level():
    """GPT-2, Llama 3, Qwen: byte-level BPE."""
    t = tk.Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    t.train_from_iterator(TRAIN, trainers.BpeTrainer(vocab_size=420, special_tokens=special, show_progress=False,
                          initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return t


def sentencepiece_bpe():
    """Llama 1 and 2, Mistral: BPE over a normalised text with byte fallback; a document starts with <s>."""
    t = tk.Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                   decoders.Strip(" ", 1, 0)])
    special = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    t.train_from_iterator(TRAIN, trainers.BpeTrainer(vocab_size=620, special_tokens=special, show_progress=False))
    # Bytes are ordinary tokens of the model, not special ones.
    state = json.loads(t.to_str())
    state["added_tokens"] = [a for a in state["added_tokens"] if not a["content"].startswith("<0x")]
    t = tk.Tokenizer.from_str(json.dumps(state))
    t.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)])
    return t


def unigram():
    """T5-like SentencePiece unigram with Metaspace and a closing token."""
    t = tk.Tokenizer(models.Unigram())
    t.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(tk.Regex(" {2,}"), " ")])
    t.pre_tokenizer = pre_tokenizers.Metaspace()
    t.decoder = decoders.Metaspace()
    special = ["<pad>", "</s>", "<unk>"]
    t.train_from_iterator(TRAIN, trainers.UnigramTrainer(vocab_size=300, special_tokens=special, unk_token="<unk>",
                                                         show_progress=False))
    t.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>",
                                                     special_tokens=[("</s>", t.token_to_id("</s>"))])
    return t


for make in (byte_level, sentencepiece_bpe, unigram):
    t = make()
    folder = HERE / make.__name__
    folder.mkdir(parents=True, exist_ok=True)
    t.save(str(folder / "tokenizer.json"), pretty=False)
    cases = []
    for text in TEXTS:
        ids = t.encode(text).ids
        cases.append({"text": text, "ids": ids, "bare": t.encode(text, add_special_tokens=False).ids,
                      "decoded": t.decode(ids), "with_special": t.decode(ids, skip_special_tokens=False)})
    (folder / "expected.json").write_text(json.dumps({"tokenizers": tk.__version__, "cases": cases}))
