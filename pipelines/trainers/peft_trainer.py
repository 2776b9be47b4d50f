#!/usr/bin/env python3
# /// script
# requires-python = ">=3.10"
# dependencies = [
#   "torch==2.15.0",
#   "transformers==5.24.0",
#   "peft==0.21.2",
#   "pyarrow",
# ]
# ///
"""Trains a LoRA adapter with transformers and PEFT, for the stage `train` of pipe:

    params: { engine: { program: [python3, "builtin:peft_trainer.py"] }, ... }

The device, and what is computed in, are arguments, so that they are part of what a result depends on: nothing is chosen
by what a machine happens to have. The form of the frozen base is the stage's `weights`: f32, bf16, or nf4 (QLoRA, by
bitsandbytes). The last argument is the folder that pipe makes; docs/programs.md says what stands in it.
"""

import argparse
import importlib.metadata
import itertools
import json
import os
import pathlib
import platform
import signal
import sys

# Before torch is loaded: the base is a folder, nothing is asked of a hub; products on a GPU are the same every time.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

# Of `weights: nf4` alone, so that nobody else needs it. `engine: { versions: { bitsandbytes: ... } }` pins another.
BITSANDBYTES = "0.50.2"
MASKED = -100


def say(**what):
    """A line of progress."""
    print(json.dumps(what), flush=True)


def versions(torch, device, config):
    """What is computed with, by name; all of it can be pinned."""
    # Arms in other forms share an engine, and what it pins, with those in nf4.
    quantizes = config["weights"] == "nf4" or "bitsandbytes" in config["versions"]
    names = ["torch", "transformers", "peft"] + (["bitsandbytes"] if quantizes else [])
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            sys.exit(f"{name} is not installed: pip install {name}")
    found["python"] = platform.python_version()
    if device.type == "cuda":
        found["gpu"] = torch.cuda.get_device_name(device)
        found["cuda"] = str(torch.version.cuda or torch.version.hip)
    return found


def passes(path):
    """The lines of a file of rows: each is one forward and backward pass."""
    import pyarrow.parquet

    for batch in pyarrow.parquet.ParquetFile(path).iter_batches(batch_size=32):
        yield from batch.to_pylist()


class Training:
    def __init__(self, config, arguments):
        import torch

        self.torch = torch
        self.config = config
        self.device = torch.device(arguments.device)
        if self.device.type == "cuda" and not torch.cuda.is_available():
            sys.exit("there is no CUDA device here; `--device cpu` behind the script's name trains on the CPU")
        halves = self.device.type == "cuda" or config["weights"] == "bf16"
        compute = arguments.compute or ("bfloat16" if halves else "float32")
        if config["weights"] == "bf16" and compute != "bfloat16":
            sys.exit("with `weights: bf16` products are computed in bfloat16, too: leave `--compute` out")
        self.compute = getattr(torch, compute)
        found = versions(torch, self.device, config)
        wanted = config["versions"].get("bitsandbytes", BITSANDBYTES)
        if found.get("bitsandbytes", wanted).split("+")[0] != wanted:
            sys.exit(
                f"bitsandbytes {found['bitsandbytes']} is installed, and {wanted} is pinned: install that, or say "
                f"engine: {{ versions: {{ bitsandbytes: {found['bitsandbytes']} }} }}"
            )
        say(versions=found)
        torch.set_num_threads(int(os.environ.get("PIPE_THREADS", "1")))
        # Strictly: with `warn_only`, the gradients of attention are added up in whatever order a GPU comes to them.
        torch.use_deterministic_algorithms(True)
        self.model = self.load(arguments)
        self.parameters = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
        self.optimizer = torch.optim.AdamW(
            self.parameters.values(),
            lr=config["learning_rate"],
            betas=tuple(config["betas"]),
            eps=config["adam_epsilon"],
            weight_decay=config["weight_decay"],
        )
        self.done = 0
        self.evals = []
        self.best = None
        self.terminated = False

    def load(self, arguments):
        """The base in its form, with the adapter to begin with."""
        import peft
        import safetensors
        import transformers

        torch, config = self.torch, self.config
        # NF4 is made of what is stored, not of that rounded before.
        forms = {"f32": torch.float32, "bf16": torch.bfloat16, "nf4": torch.float32}
        if config["weights"] not in forms:
            sys.exit(f"`weights: {config['weights']}` is a form that only pipe has: use f32, bf16 or nf4")
        if not pathlib.Path(config["base"]).is_dir():
            sys.exit(f"{config['base']} is a GGUF file: name the model's Hugging Face directory")
        quantization = None
        if config["weights"] == "nf4":
            quantization = transformers.BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type="nf4",
                bnb_4bit_use_double_quant=True,
                bnb_4bit_compute_dtype=self.compute,
            )
        model = transformers.AutoModelForCausalLM.from_pretrained(
            config["base"],
            dtype=forms[config["weights"]],
            device_map={"": self.device},
            quantization_config=quantization,
            attn_implementation=arguments.attention,
            local_files_only=True,
        )
        checkpointing = {
            "use_gradient_checkpointing": config["gradient_checkpointing"],
            "gradient_checkpointing_kwargs": {"use_reentrant": False},
        }
        if quantization:
            model = peft.prepare_model_for_kbit_training(model, **checkpointing)
        elif config["gradient_checkpointing"]:
            model.gradient_checkpointing_enable(checkpointing["gradient_checkpointing_kwargs"])
        start = pathlib.Path(config["start"])
        model = peft.PeftModel.from_pretrained(model, start, is_trainable=True)
        with safetensors.safe_open(start / "adapter_model.safetensors", "pt") as file:
            given = sum(file.get_tensor(name).numel() for name in file.keys())
        trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
        if given != trained:
            sys.exit(f"the adapter has {given} numbers, and PEFT would train {trained}: they name different modules")
        return model

    def loss(self, row):
        """The sum over a pass's targets, in nats. Rows are laid beside each other and filled up on the right, where
        nothing attends to."""
        torch = self.torch
        spans = list(zip(row["boundaries"], row["boundaries"][1:]))
        shape = (len(spans), max(end - start for start, end in spans))
        ids = torch.zeros(shape, dtype=torch.long)
        labels = torch.full(shape, MASKED, dtype=torch.long)
        mask = torch.zeros(shape, dtype=torch.long)
        for i, (start, end) in enumerate(spans):
            ids[i, : end - start] = torch.tensor(row["ids"][start:end])
            labels[i, : end - start] = torch.tensor(row["labels"][start:end])
            mask[i, : end - start] = 1
        ids, labels, mask = (t.to(self.device) for t in (ids, labels, mask))
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.compute == torch.bfloat16):
            logits = self.model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        targets = labels[:, 1:]
        chosen = targets != MASKED
        return torch.nn.functional.cross_entropy(logits[:, :-1][chosen].float(), targets[chosen], reduction="sum")

    def in_order(self, compute):
        """What `compute` gives, by algorithms that give the same every time; by others, and that is told, where the
        model needs one that has no such form."""
        try:
            return compute()
        except RuntimeError as error:
            if "deterministic" not in str(error) or self.torch.is_deterministic_algorithms_warn_only_enabled():
                raise
            print(f"two runs may differ in their last digits: {str(error).splitlines()[0]}", file=sys.stderr)
            self.torch.use_deterministic_algorithms(True, warn_only=True)
            self.optimizer.zero_grad()
            return compute()

    def gradients(self, number, rows):
        """The loss of a step, whose gradients are added to those that are there."""
        # What is drawn at a step depends on its number alone: a training that goes on draws the same.
        self.torch.manual_seed(self.config["seed"] * 1_000_003 + number)
        total = 0.0
        for row in rows:
            loss = self.loss(row) / row["step_targets"]
            loss.backward()
            total += loss.item()
        return total

    def step(self, number, rows):
        torch = self.torch
        for group in self.optimizer.param_groups:
            group["lr"] = rows[0]["learning_rate"]
        self.model.train()
        total = self.in_order(lambda: self.gradients(number, rows))
        most = self.config["max_grad_norm"]
        norm = torch.nn.utils.clip_grad_norm_(self.parameters.values(), float("inf") if most is None else most)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.done = number
        say(
            step=number,
            loss=total,
            learning_rate=rows[0]["learning_rate"],
            grad_norm=norm.item(),
            tokens=sum(len(row["ids"]) for row in rows),
        )

    def evaluate(self):
        self.model.eval()
        for module in self.model.modules():
            # In evaluation bitsandbytes packs weights for the products of some CPUs, once and for all, and gradients
            # through them are then wrong.
            if type(module).__module__.startswith("bitsandbytes"):
                module.train()

        def of_all():
            return sum(self.loss(row).item() / row["step_targets"] for row in passes(self.config["evaluation"]))

        with self.torch.no_grad():
            loss = self.in_order(of_all)
        say(step=self.done, eval_loss=loss)
        self.evals.append((self.done, loss))
        if self.config["keep_best"] and self.since_best() == 0:
            self.best = {name: p.detach().cpu().clone() for name, p in self.parameters.items()}

    def since_best(self):
        """How many evaluations came after the best one."""
        lowest, since = None, 0
        for _, loss in self.evals:
            better = lowest is None or loss < lowest - self.config["min_delta"]
            lowest, since = (loss, 0) if better else (lowest, since + 1)
        return since

    def is_over(self):
        patience = self.config["patience"]
        enough = patience is not None and bool(self.evals) and self.since_best() >= patience
        return enough or self.done == self.config["steps"]

    def run(self):
        """All steps; False if it was asked to stop before."""
        for number, rows in itertools.groupby(passes(self.config["rows"]), key=lambda row: row["step"]):
            if number <= self.done:
                continue
            if self.is_over():
                break
            self.step(number, list(rows))
            every = self.config["eval_steps"]
            last = number == self.config["steps"]
            if self.config["evaluation"] and (last or every and number % every == 0):
                self.evaluate()
            if self.terminated or self.is_over() or number % self.config["checkpoint_steps"] == 0:
                self.write_checkpoint()
            if self.terminated and not self.is_over():
                return False
        return True

    def write_checkpoint(self):
        """Whole or not at all, whatever kills the process; the newest two are kept."""
        folder = pathlib.Path(self.config["checkpoints"])
        path = folder / f"step-{self.done:09}.pt"
        state = {
            "done": self.done,
            "evals": self.evals,
            "best": self.best,
            "adapter": {name: p.detach() for name, p in self.parameters.items()},
            "optimizer": self.optimizer.state_dict(),
        }
        unfinished = path.with_suffix(".part")
        with open(unfinished, "wb") as file:
            self.torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(path)
        for old in sorted(folder.glob("step-*.pt"))[:-2]:
            old.unlink()

    def resume(self):
        """Goes on from the newest checkpoint that can be read."""
        for path in sorted(pathlib.Path(self.config["checkpoints"]).glob("step-*.pt"), reverse=True):
            try:
                state = self.torch.load(path, map_location=self.device, weights_only=True)
            except Exception as error:  # a torn file can fail in any way
                print(f"{path.name} cannot be read, and the one before it is taken: {error}", file=sys.stderr)
                continue
            with self.torch.no_grad():
                for name, values in state["adapter"].items():
                    self.parameters[name].copy_(values)
            self.optimizer.load_state_dict(state["optimizer"])
            self.done, self.evals, self.best = state["done"], state["evals"], state["best"]
            return say(resumed=self.done)

    def save(self):
        if self.config["keep_best"] and self.best is not None:
            with self.torch.no_grad():
                for name, values in self.best.items():
                    self.parameters[name].copy_(values)
        self.model.save_pretrained(self.config["output"], save_embedding_layers=False)


def train(config, arguments):
    """The whole of it; False if it was asked to stop before."""
    training = Training(config, arguments)

    def terminate(*_):
        training.terminated = True

    # A stage that is cancelled has some seconds: time for the step at hand, and a checkpoint.
    signal.signal(signal.SIGTERM, terminate)
    training.resume()
    if not training.run():
        return False
    training.save()
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, cpu, mps (default: cuda)")
    parser.add_argument(
        "--compute",
        choices=["bfloat16", "float32"],
        help="what products are computed in (default: bfloat16 on CUDA and with `weights: bf16`, else float32)",
    )
    parser.add_argument("--attention", default="sdpa", help="attn_implementation of transformers (default: sdpa)")
    parser.add_argument("folder", type=pathlib.Path, help="with config.json, made by pipe")
    arguments = parser.parse_args()
    config = json.loads((arguments.folder / "config.json").read_text())
    if config["format"] != 1:
        sys.exit(f"config.json is of form {config['format']}, and this trainer reads form 1: take the one of this pipe")
    import torch

    try:
        finished = train(config, arguments)
    except torch.OutOfMemoryError as error:
        sys.exit(
            f"{error}\nthe GPU's memory is too small: lower `micro_batch_size`, or set `gradient_checkpointing: true`, "
            "`weights: nf4`, or a smaller `max_seq_len`"
        )
    if not finished:
        sys.exit("stopped by SIGTERM; the next run goes on from here")


if __name__ == "__main__":
    main()
