"""Greedy generation on one real checkpoint, by this crate and by the engines people run on a CPU, in turns.

    python engines.py --ours BENCH_BINARY --model DIR --gguf f16=FILE --gguf q8_0=FILE [--rows 64,4,1] [--rounds 3]

BENCH_BINARY is what `cargo bench -p pipe-lm --bench generate --no-run` names, DIR a Hugging Face directory, and the
GGUF files are what a stage `export` makes of it. Every engine gets the same prompts of 15 tokens and writes 64 more,
with as many threads as there are cores, in a process of its own that loads the model and writes once before the clock
starts. Prints tokens per second, round by round, and the peak of memory; then the medians beside the first column.

Measured with transformers 5.23.0 (torch 2.15.0), ctranslate2 4.8.5, openvino-genai 2026.4.1, xllamacpp 2026.10.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

PROMPT, NEW = 15, 64


def prompts(rows, vocab):
    return [[3 + (row * 131 + i * 31) % (vocab - 3) for i in range(PROMPT)] for row in range(rows)]


def transformers(model, _, rows):
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(os.cpu_count())
    model = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()

    def write(rows, new):
        ids = torch.tensor(prompts(rows, model.config.vocab_size))
        out = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=new, min_new_tokens=new, do_sample=False,
            pad_token_id=0,
        )
        return out.shape[0] * (out.shape[1] - PROMPT)

    return write


def ctranslate2(model, form, rows):
    import ctranslate2
    from transformers import AutoTokenizer

    folder = tempfile.mkdtemp()
    ctranslate2.converters.TransformersConverter(model).convert(folder, quantization=form, force=True)
    generator = ctranslate2.Generator(folder, inter_threads=1, intra_threads=os.cpu_count(), compute_type=form)
    tokenizer = AutoTokenizer.from_pretrained(model)

    def write(rows, new):
        tokens = [tokenizer.convert_ids_to_tokens(ids) for ids in prompts(rows, tokenizer.vocab_size)]
        results = generator.generate_batch(
            tokens, max_batch_size=rows, min_length=new, max_length=new, sampling_topk=1, end_token=[],
            include_prompt_in_result=False,
        )
        return sum(len(result.sequences_ids[0]) for result in results)

    return write


def openvino_exact(gguf, form, rows):
    """Products and sums in f32, as ours are."""
    return openvino(
        gguf, form, rows, INFERENCE_PRECISION_HINT="f32", DYNAMIC_QUANTIZATION_GROUP_SIZE=0, KV_CACHE_PRECISION="f32"
    )


def openvino(gguf, _, rows, **properties):
    """With its defaults: activations in bf16, or in 8 bits, where the CPU multiplies these faster."""
    import openvino_genai as genai

    pipeline = genai.LLMPipeline(
        gguf, "CPU", scheduler_config=genai.SchedulerConfig(), INFERENCE_NUM_THREADS=os.cpu_count(), **properties
    )

    def write(rows, new):
        import numpy as np
        import openvino

        config = genai.GenerationConfig(max_new_tokens=new, min_new_tokens=new, ignore_eos=True, do_sample=False)
        ids = np.array(prompts(rows, 49000), dtype=np.int64)
        inputs = genai.TokenizedInputs(openvino.Tensor(ids), openvino.Tensor(np.ones_like(ids)))
        return sum(len(tokens) for tokens in pipeline.generate(inputs, config).tokens)

    return write


def llama_cpp(gguf, _, rows):
    from concurrent.futures import ThreadPoolExecutor

    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = gguf
    params.n_ctx = 128 * rows
    params.n_parallel = rows
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = os.cpu_count()
    server = xllamacpp.Server(params)

    def write(rows, new):
        def one(ids):
            request = dict(prompt=ids, max_tokens=new, temperature=0, ignore_eos=True, cache_prompt=False)
            answer = server.handle_completions(request)
            answer = json.loads(answer) if isinstance(answer, (str, bytes)) else answer
            return answer["usage"]["completion_tokens"]

        with ThreadPoolExecutor(rows) as pool:
            return sum(pool.map(one, prompts(rows, 49000)))

    return write


ENGINES = {f.__name__: f for f in (transformers, ctranslate2, openvino, openvino_exact, llama_cpp)}


def alone(engine, form, model, rows):
    """What a process of its own prints: one engine, once."""
    write = ENGINES[engine](model, form, rows)
    write(rows, 4)
    begin = time.perf_counter()
    tokens = write(rows, NEW)
    seconds = time.perf_counter() - begin
    assert tokens == rows * NEW, f"{tokens} tokens, {rows * NEW} were asked for"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(json.dumps({"tokens_per_second": tokens / seconds, "peak_gb": peak}))


def ours(binary, form, model, rows):
    """GGUF files are what they are; `form` is that of a checkpoint's weights."""
    command = ["/usr/bin/time", "-f", "%M", binary, model, str(rows), str(NEW), str(PROMPT), "2", form]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    greedy = [line for line in map(json.loads, done.stdout.splitlines()) if line["temperature"] == 0]
    return {"tokens_per_second": greedy[-1]["tokens_per_second"], "peak_gb": int(done.stderr.split()[-1]) / 1e6}


def main():
    if sys.argv[1:2] == ["alone"]:
        engine, form, model, rows = sys.argv[2:]
        return alone(engine, form, model, int(rows))
    parser = argparse.ArgumentParser()
    parser.add_argument("--ours", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--gguf", action="append", default=[], type=lambda text: text.split("=", 1))
    parser.add_argument("--rows", default="64,4,1")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", help="engines, by commas")
    args = parser.parse_args()
    columns = [("pipe", form, args.model) for form in ("f32", "w8a8")] + [("transformers", "f32", args.model)]
    columns += [("ctranslate2", "float32", args.model), ("ctranslate2", "int8", args.model)]
    for form, file in args.gguf:
        columns += [(engine, form, file) for engine in ("pipe", "openvino", "openvino_exact", "llama_cpp")]
    for rows in map(int, args.rows.split(",")):
        rates = {}
        for _ in range(args.rounds):
            for engine, form, model in columns:
                if args.only and engine not in args.only.split(","):
                    continue
                if engine == "pipe":
                    got = ours(args.ours, form, model, rows)
                else:
                    command = [sys.executable, __file__, "alone", engine, form, model, str(rows)]
                    done = subprocess.run(command, capture_output=True, text=True)
                    if done.returncode:
                        print(f"{engine} {form}, {rows} rows: {done.stderr.strip().splitlines()[-1:]}", flush=True)
                        continue
                    got = json.loads(done.stdout.splitlines()[-1])
                rates.setdefault((engine, form), []).append(got["tokens_per_second"])
                print(
                    f"{rows} rows, {engine} {form}: {got['tokens_per_second']:.0f} tokens/s, {got['peak_gb']:.2f} GB",
                    flush=True,
                )
        first = statistics.median(rates["pipe", "f32"])
        for (engine, form), column in rates.items():
            median = statistics.median(column)
            print(f"{rows} rows, {engine} {form}: median {median:.0f} tokens/s, {first / median:.2f} of it is pipe f32")


if __name__ == "__main__":
    main()
