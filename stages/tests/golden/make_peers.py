"""What lm-evaluation-harness scores of an answer with thoughts, and what TRL makes of conversations -> peers.json.

    pip install torch==2.5.1 transformers==4.57.1 trl==0.24.0 lm_eval==0.4.9.2 && python make_peers.py

(lm-evaluation-harness knows `think_end_token` since 0.4.9.1.)
"""
import importlib.metadata
import json
import pathlib

import tokenizers
from lm_eval.models.utils import postprocess_generated_text
from transformers import PreTrainedTokenizerFast
from trl import apply_chat_template

HERE = pathlib.Path(__file__).parent

ENDS = ["</think>", "</thinking>", "[/THINK]", "</seed:think>", "<|end_of_thought|>", "◁/think▷"]
TEXTS = [
    "gold",
    "<think>\nIt is gold.\n</think>\n\ngold",
    "<think>\n\n</think>\n\ngold",
    "It is gold.\n</think>\n\ngold",
    "<think>a</think>b<think>c</think>d",
    "<think>It is</think>",
    "<think>It is",
    "[THINK]Gold?[/THINK]gold",
    "◁think▷x◁/think▷ gold",
    "<|begin_of_thought|>x<|end_of_thought|>gold",
    "<seed:think>x</seed:think>gold",
    "<thinking>x</thinking>\tgold bar",
    "I think <b>gold</b>",
    "The tag <think> opens a thought",
]


def reasoning(text):
    """With the mark that stands in the text; a run of the harness names the one of its model."""
    end = next((end for end in ENDS if end in text), "</think>")
    return {"text": text, "end": end, "scored": postprocess_generated_text(text, None, end)}


R1 = (
    "{% for m in messages %}{% if m.role == 'user' %}<|User|>{{ m.content }}"
    "{% elif m.role == 'assistant' %}{% set content = m.content %}"
    "{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}"
    "<|Assistant|>{{ content }}<|end|>{% else %}{{ m.content }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|Assistant|><think>\n{% endif %}"
)
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
INST = (
    "{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content.strip() }} [/INST]"
    "{% else %} {{ m.content.strip() }}</s>{% endif %}{% endfor %}"
)


def conversation(template, question, answer):
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokenizers.Tokenizer(tokenizers.models.BPE()))
    tokenizer.chat_template = template
    example = {
        "prompt": [{"role": "user", "content": question}],
        "completion": [{"role": "assistant", "content": answer}],
    }
    return {"template": template, "question": question, "answer": answer, **apply_chat_template(example, tokenizer)}


made = {
    "versions": {name: importlib.metadata.version(name) for name in ["lm_eval", "transformers", "trl"]},
    "reasoning": [reasoning(text) for text in TEXTS],
    "conversations": [
        conversation(template, question, answer)
        for template in [R1, CHATML, INST]
        for question, answer in [("Q?", "A"), ("Q?", "<think>x</think>A"), ("Why so?", "Because.\n\nIt is.")]
    ],
}
(HERE / "peers.json").write_text(json.dumps(made, ensure_ascii=False, indent=1) + "\n")
