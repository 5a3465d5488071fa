"""What is exported to TensorBoard is what its own reader finds."""

from export.helpers_export import check_target, needs

READER = """import json, sys
from pathlib import Path
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
found = []
for events in Path(sys.argv[1]).rglob("events.*"):
    read = EventAccumulator(str(events.parent))
    read.Reload()
    about = HParamsPluginData.FromString(read.PluginTagToContent("hparams")["_hparams_/session_start_info"])
    text = read.Tensors("headstart")[0].tensor_proto.string_val[0].decode()
    tags = dict(line.strip().split(": ", 1) for line in text.splitlines())
    score = read.Scalars("test_accuracy")[0].value if "test_accuracy" in read.Tags()["scalars"] else None
    epochs = [[at.step, at.value] for at in read.Scalars("epoch/val_accuracy")]
    lr = about.session_start_info.hparams["lr"].number_value
    name = events.parent.relative_to(Path(sys.argv[1]) / "tiny").as_posix()
    found.append(dict(name=name, arm=tags["arm"], state=tags["state"], lr=lr, test_accuracy=score, epochs=epochs))
print(json.dumps(found))"""


@needs("tensorboard")
def test_runs_are_there_once_each_with_their_figures(tmp_path):
    check_target(tmp_path, "tensorboard", READER, digits=1e-6)  # it keeps 32 bits
