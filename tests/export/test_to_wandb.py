"""What is exported to Weights & Biases stands in the records of its offline folders."""

from export.helpers_export import check_target, needs

READER = '''import json, struct, sys
from pathlib import Path
from wandb.proto.wandb_internal_pb2 import Record

def records(path):
    """The log of LevelDB, in blocks of 32 KiB, behind a header of 7 bytes."""
    data, at, part = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        left = 32768 - at % 32768
        _, size, kind = struct.unpack("<IHB", data[at : at + 7])
        if left < 7 or kind == 0:
            at += left
            continue
        body, at = data[at + 7 : at + 7 + size], at + 7 + size
        part = body if kind in (1, 2) else part + body
        if kind in (1, 4):
            yield Record.FromString(part)

def values(items):
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}

found = []
for path in Path(sys.argv[1]).glob("wandb/offline-run-*/*.wandb"):
    epochs, summary = [], {}
    for record in records(path):
        if record.HasField("run"):
            run = record.run
        if record.HasField("history"):
            row = values(record.history.item)
            epochs.append([row["_step"], row["epoch/val_accuracy"]])
        if record.HasField("summary"):
            summary |= values(record.summary.update)
    config = values(run.config.update)
    state = next(tag for tag in run.tags if tag.startswith("state:")).removeprefix("state:")
    own = dict(name=run.display_name, arm=run.run_group, state=state, lr=config["lr"], epochs=epochs)
    found.append(own | dict(test_accuracy=summary.get("test_accuracy")))
print(json.dumps(found))'''


@needs("wandb")
def test_runs_are_there_once_each_with_their_figures(tmp_path):
    check_target(tmp_path, "wandb-offline", READER)
