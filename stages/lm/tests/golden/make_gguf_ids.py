"""Token ids that llama.cpp gives with the tokenizer inside gguf/mixed.gguf -> "texts" of gguf/expected.json.

Not transformers: its reading of the same file leaves out the space prefix in front of spaces and behind special tokens. Made with
llama-cpp-python 0.3.36. Run: python make_gguf_ids.py (after make_gguf.py)
"""
import json
import pathlib

import llama_cpp

OUT = pathlib.Path(__file__).parent / "gguf"
llm = llama_cpp.Llama(str(OUT / "mixed.gguf"), vocab_only=True, verbose=False)
texts = ["The patient was given", "two  spaces", "  two  spaces", "Löffel 日本 🦀", "<s>a</s>b", "a\n\tb", " x ", "naïve e\u0301"]
expected = json.loads((OUT / "expected.json").read_text())
expected["texts"] = [{"text": t, "ids": llm.tokenize(t.encode(), add_bos=True, special=True)} for t in texts]
expected["versions"]["llama-cpp-python"] = llama_cpp.__version__
(OUT / "expected.json").write_text(json.dumps(expected))
print(expected["texts"])
