"""A trainer that learned elsewhere: it tells the steps of a log, and leaves the adapter, that lie in a folder. What it
does wrong stands in `tricks.json`, which no key knows."""

import json
import pathlib
import shutil
import sys
import time

elsewhere, folder = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[-1])
config = json.loads((folder / "config.json").read_text())
tricks = pathlib.Path("tricks.json")
tricks = json.loads(tricks.read_text()) if tricks.exists() else {}
seen = pathlib.Path("seen")
shutil.rmtree(seen, ignore_errors=True)
shutil.copytree(folder, seen)


def say(**what):
    print(json.dumps(what), flush=True)


print("a line of another kind")
say(versions=tricks.get("versions", {"torch": "2.9.1+cpu"}))
checkpoint = pathlib.Path(config["checkpoints"]) / "done"
done = int(checkpoint.read_text()) if checkpoint.exists() else 0
if done:
    say(resumed=done)
for line in (elsewhere / "log.jsonl").read_text().splitlines()[done : tricks.get("end")]:
    row = json.loads(line)
    step = row["step"]
    if tricks.get("die") == step:
        print("OutOfMemoryError: it is too large", file=sys.stderr)
        sys.exit(3)
    if tricks.get("wait") == step:
        pathlib.Path("waiting").touch()
        time.sleep(100)
    loss = tricks.get("loss", row["loss"])
    say(step=step, loss=float(loss), grad_norm=row["grad_norm"])
    if row.get("eval_loss") is not None:
        say(step=step, eval_loss=row["eval_loss"])
    if step % 2 == 0:
        checkpoint.write_text(str(step))
for file in pathlib.Path(tricks.get("leave", elsewhere)).glob("adapter_*"):
    shutil.copy(file, config["output"])
