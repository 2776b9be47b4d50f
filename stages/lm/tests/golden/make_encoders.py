"""Tiny random encoders of every family, and the sentence vectors that transformers computes with them -> encoders/FAMILY/.

Made with torch 2.15.0, transformers 5.24.0 and tokenizers 0.23.3 (CPU, f32). Run: python make_encoders.py (it needs no network).

The tokenizer is that of bert/ (made before by make_bert.py), whose ids are as good as others. `expected.json` holds, per text, the
normalised mean-pooled vector; `logit` is what the model says of `other` and the text: every folder holds one for sequence
classification with one label (a cross-encoder), whose encoder is read out of it for the vectors. Norm weights and biases are
perturbed: at their initial values a model that ignores them passes.
"""
import json
import pathlib
import shutil

import tokenizers as tk
import torch
import transformers as tf

HERE = pathlib.Path(__file__).parent
TEXTS = [
    "insulin lowers glucose",
    "Which enzyme does the liver make?",
    "x",
    "the heart pumps blood through the arteries and the veins bring it back to the heart again and again and again",
]
LONGEST = 64  # no pair is cut
SHAPE = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, initializer_range=0.2)


def families(vocab):
    longer = dict(vocab_size=vocab, max_position_embeddings=LONGEST + 2)
    yield "bert", tf.BertConfig(vocab_size=vocab, max_position_embeddings=LONGEST, **SHAPE)
    yield "xlm-roberta", tf.XLMRobertaConfig(pad_token_id=1, type_vocab_size=1, **longer, **SHAPE)
    yield "mpnet", tf.MPNetConfig(pad_token_id=1, **longer, **SHAPE)
    yield "distilbert", tf.DistilBertConfig(vocab_size=vocab, dim=32, n_layers=2, n_heads=4, hidden_dim=48, max_position_embeddings=LONGEST,
                                            initializer_range=0.2)
    yield "modernbert", tf.ModernBertConfig(vocab_size=vocab, max_position_embeddings=LONGEST, local_attention=8, global_attn_every_n_layers=2,
                                            pad_token_id=0, bos_token_id=2, eos_token_id=3, cls_token_id=2, sep_token_id=3,
                                            **SHAPE | {"num_hidden_layers": 3})


def perturb(model):
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "norm" in name.lower() or name.endswith("bias"):
                p.add_(torch.randn_like(p) * 0.2)
            elif "bias" in name:
                p.mul_(3)
    return model.eval()


def main():
    tok = tk.Tokenizer.from_file(str(HERE / "bert/tokenizer.json"))
    pair = tk.Tokenizer.from_file(str(HERE / "bert/tokenizer.json"))
    pair.post_processor = tk.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(t, tok.token_to_id(t)) for t in ["[CLS]", "[SEP]"]])
    for number, (name, config) in enumerate(families(tok.get_vocab_size())):
        torch.manual_seed(11 + number)
        folder = HERE / "encoders" / name
        shutil.rmtree(folder, ignore_errors=True)
        config.num_labels = 1
        ranker = perturb(tf.AutoModelForSequenceClassification.from_config(config, attn_implementation="eager"))
        ranker.save_pretrained(folder)
        pair.save(str(folder / "tokenizer.json"))
        model = ranker.base_model
        rows = []
        for at, text in enumerate(TEXTS):
            ids = tok.encode(text).ids
            if len(ids) > LONGEST:
                ids = ids[: LONGEST - 1] + ids[-1:]
            both = pair.encode(TEXTS[at - 1] if at < 3 else TEXTS[0], text)
            pairs = dict(input_ids=torch.tensor([both.ids]))
            if name == "bert":
                pairs["token_type_ids"] = torch.tensor([both.type_ids])
            with torch.no_grad():
                hidden = model(torch.tensor([ids])).last_hidden_state[0]
                logit = ranker(**pairs).logits.item()
            mean = torch.nn.functional.normalize(hidden.mean(0), dim=0).tolist()
            rows.append({"text": text, "tokens": len(ids), "mean": mean, "other": TEXTS[at - 1] if at < 3 else TEXTS[0], "logit": logit})
        (folder / "expected.json").write_text(json.dumps(rows))
        print(name, [(r["tokens"], r["logit"]) for r in rows])


main()
