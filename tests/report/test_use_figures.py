"""The section on use: what an answer takes, in words too, and who has no figure."""

import dataclasses

import pandas as pd

from headstart.report import Material
from headstart.report.use_figures import LATENCY
from report.helpers_report import study


def material(*seconds) -> Material:
    frames = study(*[f"arm{place}" for place, _ in enumerate(seconds)])
    arms = frames.arms.assign(latency_seconds=pd.array(seconds, dtype="Float64"))
    return Material(dataclasses.replace(frames, arms=arms))


def test_words_and_caption_say_who_was_timed_and_who_was_not():
    drawn = LATENCY.figure(material(0.002, None))
    assert drawn.alt == "Test accuracy and latency of one picture: arm0 83.00 % in 2 ms."
    assert drawn.caption.endswith("decides nothing. Not timed: arm1.") and drawn.section == "use"


def test_a_study_without_timings_has_no_such_plot():
    assert LATENCY.figure(material(None, None)) is None
