"""What TRL trains on of conversations of several turns -> turns.json.

`marked`: chat templates with `{% generation %}`, through `SFTTrainer._prepare_dataset` with `assistant_only_loss`.
`plain`: chat templates without, for which TRL knows prompts with one completion: every assistant turn is the completion
of the turns before it, through `trl.apply_chat_template`. The texts of these spans in the whole conversation.

    pip install torch==2.5.1 transformers==4.57.1 trl==0.24.0 && python make_turns.py
"""
import json
import pathlib
import tempfile
from types import SimpleNamespace

import transformers
import trl
from datasets import Dataset
from transformers import PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer, apply_chat_template

HERE = pathlib.Path(__file__).parent

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
    "{% if m.role == 'assistant' %}{% generation %}{{ m.content + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ m.content + '<|im_end|>' }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# As SmolLM3 and others write it: white space around the marks is trimmed.
SPACED = """{% for message in messages %}
    {%- if message['role'] == 'assistant' %}
        {{- '<|assistant|>\n' }}
        {%- generation -%}
        {{ message['content'] | trim + '</s>' }}
        {%- endgeneration -%}
        {{ '\n' }}
    {%- else %}
        {{- '<|' + message['role'] + '|>\n' + message['content'] + '</s>\n' }}
    {%- endif %}
{%- endfor %}
{% if add_generation_prompt %}
{{ '<|assistant|>\n' }}
{% endif %}
"""
# The header of the turn is marked, too.
HEADED = """{% for message in messages %}
{% if message['role'] == 'assistant' %}
    {% generation %}
{{ '<|im_start|>assistant\n' + message['content'] + '<|im_end|>\n' }}
    {%- endgeneration %}

{% else %}
{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}
{% endif %}
{% endfor %}
"""
INST = (
    "{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content.strip() }} [/INST]"
    "{% elif m.role == 'assistant' %} {{ m.content.strip() }}</s>"
    "{% else %}<<SYS>>{{ m.content }}{% endif %}{% endfor %}"
)
PLAIN = {
    "chatml": CHATML.replace("{% generation %}", "").replace("{% endgeneration %}", ""),
    "inst": INST,
}
MARKED = {"chatml": CHATML, "spaced": SPACED, "headed": HEADED}


def chat(*turns):
    return [{"role": role, "content": content} for role, content in turns]


CHATS = [
    chat(("user", "Name a colour."), ("assistant", "On the whole, blue.")),
    chat(
        ("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello!"), ("user", "And now?"),
        ("assistant", " Bye.\n"),
    ),
    chat(("user", "a"), ("assistant", "same"), ("user", "same"), ("assistant", "same"), ("user", "the end")),
    chat(("user", "Was ist 日本?"), ("assistant", "Ein Land 🦀.\n\nIn Asien."), ("user", "é"), ("assistant", "ü")),
]


def tokenizer(template):
    made = PreTrainedTokenizerFast(
        tokenizer_file=str(HERE / "tokenizers" / "byte_level" / "tokenizer.json"), eos_token="<|endoftext|>"
    )
    made.chat_template = template
    return made


def marked(template, messages):
    """Tokens and mask as `SFTTrainer` makes them."""
    processing = tokenizer(template)
    rows = Dataset.from_list([{"messages": messages}])
    args = SFTConfig(
        output_dir=tempfile.mkdtemp(), max_length=None, report_to=[], use_cpu=True, bf16=False,
        assistant_only_loss=True,
    )
    made = SFTTrainer._prepare_dataset(SimpleNamespace(_is_vlm=False), rows, processing, args, False, None, "train")[0]
    return {"ids": made["input_ids"], "mask": made["assistant_masks"]}


def plain(template, messages):
    """The text of the whole, and the characters of it that are some turn's completion."""
    processing = tokenizer(template)
    whole = processing.apply_chat_template(messages, tokenize=False)
    spans = []
    for at, message in enumerate(messages):
        if message["role"] == "assistant":
            pair = apply_chat_template({"prompt": messages[:at], "completion": [message]}, processing)
            assert whole.startswith(pair["prompt"] + pair["completion"])
            spans.append([len(pair["prompt"]), len(pair["prompt"]) + len(pair["completion"])])
    return {"text": whole, "spans": spans}


if __name__ == "__main__":
    made = {
        "versions": {"transformers": transformers.__version__, "trl": trl.__version__},
        "marked": [
            {"template": template, "messages": messages, **marked(template, messages)}
            for template in MARKED.values() for messages in CHATS
        ],
        "plain": [
            {"template": template, "messages": messages, **plain(template, messages)}
            for template in PLAIN.values() for messages in CHATS
        ],
    }
    (HERE / "turns.json").write_text(json.dumps(made, ensure_ascii=False, indent=None) + "\n")
    print(len(made["marked"]), len(made["plain"]))
