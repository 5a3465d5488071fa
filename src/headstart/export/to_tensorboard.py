"""TensorBoard: a folder of events for each run, with its parameters for the HParams tab."""

import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from headstart.export.records import RunRecord
from headstart.store import write_atomically

ENDED = {"COMPLETE": "STATUS_SUCCESS", "CHANCE": "STATUS_SUCCESS", "PRUNED": "STATUS_SUCCESS"}
ENDED |= {"RUNNING": "STATUS_RUNNING", "DIVERGED": "STATUS_FAILURE", "FAILED": "STATUS_FAILURE"}
DIGEST = "headstart.digest"


def open_store(folder: Path) -> "TensorBoard":
    """The store in a folder."""
    return TensorBoard(folder)


class TensorBoard:
    """A folder of events for each run, below the folder given; scalars have the 7 digits that TensorBoard keeps."""

    def __init__(self, folder: Path):
        import tensorboard  # noqa: F401 - for who lacks it

        self._folder = folder
        self.opened_by = f"tensorboard --logdir {shlex.quote(str(folder))}"

    def digest_of(self, run: RunRecord) -> str | None:
        """The digest of the run as it is there; "" where it is there in part; None where it isn't."""
        place = self._place(run)
        if not place.exists():
            return None
        return (place / DIGEST).read_text() if (place / DIGEST).exists() else ""

    def remove(self, run: RunRecord) -> None:
        """Remove the run that is there."""
        shutil.rmtree(self._place(run))

    def write(self, run: RunRecord) -> None:
        """Write the run, its digest last."""
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        writer = EventFileWriter(str(self._place(run)))
        try:
            for event in _events(run):
                writer.add_event(event)
        finally:
            writer.close()
        write_atomically(self._place(run) / DIGEST, run.digest.encode())

    def _place(self, run: RunRecord) -> Path:
        return self._folder / run.study / run.name


def _events(run: RunRecord) -> Iterator[Any]:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import api_pb2, summary_v2

    yield Event(wall_time=run.began, summary=summary_v2.hparams_pb(run.parameters, run.key, run.began))
    tags = "\n".join(f"{name}: {value}  " for name, value in run.tags.items())
    yield Event(wall_time=run.began, step=0, summary=_text("headstart", tags))
    series = [*run.epochs, (run.last_epoch, run.metrics)]
    for step, metrics in series:
        values = [Summary.Value(tag=name, simple_value=value) for name, value in metrics.items()]
        at = run.began + metrics.get("epoch/seconds_total", run.ended - run.began)
        yield Event(wall_time=at, step=step, summary=Summary(value=values))
    status = ENDED.get(run.tags["state"], "STATUS_UNKNOWN")
    yield Event(wall_time=run.ended, summary=_session_end(api_pb2.Status.Value(status), run.ended))


def _text(tag: str, text: str) -> Any:
    """What the Text tab shows."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.text import metadata
    from tensorboard.util.tensor_util import make_tensor_proto

    about = metadata.create_summary_metadata(display_name=None, description=None)
    return Summary(value=[Summary.Value(tag=tag, metadata=about, tensor=make_tensor_proto([text.encode()]))])


def _session_end(status: int, at: float) -> Any:
    """The end of a session of the HParams tab."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    info = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=at)
    about = metadata.create_summary_metadata(plugin_data_pb2.HParamsPluginData(session_end_info=info))
    return Summary(
        value=[Summary.Value(tag=metadata.SESSION_END_INFO_TAG, metadata=about, tensor=metadata.NULL_TENSOR)]
    )
