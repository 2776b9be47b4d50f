"""Loads the exports that the test `exports_of_a_trained_model_continue_a_story_as_it_does` left in DIR into llama.cpp.

Compares token ids of plain texts and 200 greedy tokens with transformers' (greedy_stories.json). Run with llama-cpp-python 0.3.36:
    PIPE_TEST_DATA=... cargo test -p pipe-lm --test load stories && python check_llama_cpp.py ../../../../target/tmp/gguf

Texts with characters that this vocabulary lacks are left out: it has no byte tokens, where transformers says <unk> and
llama.cpp aborts the process.
"""
import json
import pathlib
import sys

import llama_cpp

HERE = pathlib.Path(__file__).parent
stories = json.loads((HERE / "greedy_stories.json").read_text())
UNKNOWN = 0
texts = json.loads((HERE / "real_tokenizers.json").read_text())["tinystories-656k"]
texts = [case for case in texts if UNKNOWN not in case["ids"]]
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.gguf")):
    # Keys and values in f32: rounded to f16, as is the default, they change a token where two are nearly equal.
    f32 = llama_cpp.GGML_TYPE_F32
    llm = llama_cpp.Llama(str(path), n_ctx=512, verbose=False, logits_all=False, type_k=f32, type_v=f32)
    equal_texts = 0
    for case in texts:
        ids = llm.tokenize(case["text"].encode(), add_bos=True, special=True)
        if ids == case["ids"]:
            equal_texts += 1
        else:
            print("   ", repr(case["text"]), ids, case["ids"])
    followed = []
    for story in stories:
        prompt = llm.tokenize(story["prompt"].encode(), add_bos=True, special=True)
        assert prompt == story["ids"], story["prompt"]
        llm.reset()
        ids = []
        for token in llm.generate(prompt, temp=0.0, repeat_penalty=1.0, top_k=1):
            ids.append(token)
            if len(ids) == len(story["greedy"]):
                break
        same = next((i for i, (a, b) in enumerate(zip(ids, story["greedy"])) if a != b), len(ids))
        followed.append(f"{same}/{len(story['greedy'])}")
    print(f"{path.name}: token ids of {equal_texts}/{len(texts)} texts equal; greedy tokens equal: {', '.join(followed)}")
