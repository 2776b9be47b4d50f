"""Token ids of the real checkpoints' tokenizers -> real_tokenizers.json.

Made with transformers 5.23.0, tokenizers 0.23.3. Run: python make_real_tokenizers.py $PIPE_TEST_DATA
"""
import json
import pathlib
import sys

import transformers

HERE = pathlib.Path(__file__).parent
TEXTS = ["Once upon a time", "", " ", "  two  spaces\n\tand a tab", "Lily's ball — it's red! 日本語 🦀", "<|end_story|> x", "<eos>\n",
         "Instruction: Name two causes.\nOutput:", "naïve e\u0301", "250mg\u00a0x", "a<|start_story|>b"]
out = {}
for model in ["tinystories-656k", "spike-base", "spike-genres"]:
    tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(pathlib.Path(sys.argv[1]) / model)
    out[model] = [{"text": t, "ids": tokenizer(t).input_ids, "decoded": tokenizer.decode(tokenizer(t).input_ids, skip_special_tokens=True)} for t in TEXTS]
(HERE / "real_tokenizers.json").write_text(json.dumps(out))
