"""The figure of a data set, with runs and without."""

import io

from headstart.report.data_page import SurveyedData
from headstart.report.data_samples import DATA_SAMPLES, draw_samples
from report.helpers_data_record import RECORD, sheet


def test_the_figure_says_what_it_shows_and_there_is_none_without_pictures():
    drawn = draw_samples(SurveyedData(RECORD, sheet()))
    assert drawn.name == "data_samples" and drawn.section == "data" and "cat: 10 of 1,080" in drawn.alt
    assert "Drawn at random" in drawn.caption and drawn.title == "Training pictures"
    drawn.figure.savefig(io.BytesIO())
    assert draw_samples(SurveyedData(RECORD, b"junk")) is None
    assert DATA_SAMPLES.needs
