"""From tables to plots, galleries and pages."""

from headstart.report import display_tables
from headstart.report.data_page import SurveyedData, check_page_folder, write_data_page
from headstart.report.drawing import DrawnFigure
from headstart.report.evaluation import write_evaluation
from headstart.report.explanations import overlaid, write_explanations
from headstart.report.figures import PLOTS
from headstart.report.galleries import EXPLAINED
from headstart.report.material import Material
from headstart.report.model_card import write_model_card
from headstart.report.plots import style
from headstart.report.write import write_frames, write_report

__all__ = [
    "EXPLAINED",
    "PLOTS",
    "DrawnFigure",
    "Material",
    "SurveyedData",
    "check_page_folder",
    "display_tables",
    "overlaid",
    "style",
    "write_data_page",
    "write_evaluation",
    "write_explanations",
    "write_frames",
    "write_model_card",
    "write_report",
]
