"""A tiny random BERT and the sentence vectors that transformers computes with it -> bert/.

Made with torch 2.15.0, transformers 5.23.0 and tokenizers 0.23.3 (CPU, f32). Run: python make_bert.py (it needs no network).

`config.json`, `model.safetensors` and `tokenizer.json` are as transformers saves them; `expected.json` holds, per text, the ids and
the normalised mean- and CLS-pooled vectors. Norm weights and biases are perturbed: at their initial values (ones, zeros) a model
that ignores them passes.
"""
import json
import pathlib
import shutil

import tokenizers as tk
import torch
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertConfig, BertModel

HERE = pathlib.Path(__file__).parent / "bert"
TEXTS = [
    "insulin lowers glucose",
    "Which enzyme does the liver make?",
    "x",
    "the heart pumps blood through the arteries and the veins bring it back to the heart again and again and again",
]
LONGEST = 16  # max_position_embeddings: the last text is cut


def tokenizer():
    t = tk.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    t.normalizer = normalizers.BertNormalizer(lowercase=True)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    t.train_from_iterator(TEXTS * 5, trainers.WordPieceTrainer(vocab_size=80, special_tokens=special, show_progress=False))
    t.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", t.token_to_id("[CLS]")), ("[SEP]", t.token_to_id("[SEP]"))])
    return t


def main():
    torch.manual_seed(7)
    tok = tokenizer()
    config = BertConfig(vocab_size=tok.get_vocab_size(), hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
                        intermediate_size=48, max_position_embeddings=LONGEST, initializer_range=0.2)
    model = BertModel(config, add_pooling_layer=False).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "LayerNorm" in name or name.endswith("bias"):
                p.add_(torch.randn_like(p) * 0.2)
    shutil.rmtree(HERE, ignore_errors=True)
    model.save_pretrained(HERE)
    tok.save(str(HERE / "tokenizer.json"))
    rows = []
    for text in TEXTS:
        ids = tok.encode(text).ids
        if len(ids) > LONGEST:
            ids = ids[: LONGEST - 1] + ids[-1:]
        with torch.no_grad():
            hidden = model(torch.tensor([ids])).last_hidden_state[0]
        unit = lambda v: torch.nn.functional.normalize(v, dim=0).tolist()
        rows.append({"text": text, "ids": ids, "mean": unit(hidden.mean(0)), "cls": unit(hidden[0])})
    (HERE / "expected.json").write_text(json.dumps(rows))


main()
