"""The section on use: what an answer takes, in words too, and who has no figure."""

import dataclasses

import pandas as pd
from helpers_runs import make_run

from headstart.analysis import load_results
from headstart.report import Material
from headstart.report.use_figures import CORRUPTIONS, LATENCY
from report.helpers_report import study
from report.test_figures import PHONE


def material(*seconds) -> Material:
    frames = study(*[f"arm{place}" for place, _ in enumerate(seconds)])
    arms = frames.arms.assign(latency_seconds=pd.array(seconds, dtype="Float64"))
    return Material(dataclasses.replace(frames, arms=arms))


def test_words_and_caption_say_who_was_timed_and_who_was_not():
    drawn = LATENCY.figure(material(0.002, None))
    assert drawn.alt == "Test accuracy and latency of one picture: arm0 83.00 % in 2 ms."
    assert drawn.caption.endswith("decides nothing. Not timed: arm1.") and drawn.section == "use"
    assert not drawn.is_wide and drawn.least_width <= PHONE


def test_a_study_without_timings_has_no_such_plot():
    assert LATENCY.figure(material(None, None)) is None


def test_worse_pictures_are_a_panel_each_and_words_say_what_is_left(tmp_path):
    scores = {kind: [40.0, 30.0] for kind in ("noise", "blur", "jpeg", "contrast")}
    for seed in (1, 2):
        own = dict(study=None, arm="cnn", phase="run", seed=seed, lr=0.1, state="COMPLETE", val_accuracy=50.0)
        make_run(tmp_path, f"run{seed}", **own, test_accuracy=60.0, corrupted=scores, test_corrupted_mean=35.0)
    m = Material(load_results(tmp_path))
    drawn = CORRUPTIONS.figure(m)
    titles = [ax.get_title(loc="left") for ax in drawn.figure.axes]
    assert titles == ["Noise", "Blur", "JPEG", "Low contrast"]
    assert [ax.get_legend() is None for ax in drawn.figure.axes] == [True, False, True, True]
    assert drawn.alt.endswith("cnn 35.00 % of 60.00 %.")
    assert CORRUPTIONS.figure(material(0.1)) is None
