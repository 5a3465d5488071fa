"""Pictures side by side with where networks saw what they said."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from headstart.report.drawing import WIDTH, DrawnFigure
from headstart.report.galleries import GALLERY_COLUMNS, Gallery, gallery
from headstart.report.plots import style
from headstart.report.save_figures import save

ROW_HEIGHT = 1.75 * WIDTH / GALLERY_COLUMNS  # inches
MAP_WEIGHT = 0.55  # of the map's colours over the picture


def overlaid(picture: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """The picture, uint8 [H, W, 3], under a map of 0..1, [h, w], in colours from dark (0) to bright (1)."""
    from matplotlib import colormaps
    from PIL import Image

    height, width = picture.shape[:2]
    scaled = Image.fromarray(heat.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
    colours = colormaps["inferno"](np.asarray(scaled).clip(0, 1))[..., :3]
    return (255 * (MAP_WEIGHT * colours + (1 - MAP_WEIGHT) * picture / 255)).round().astype(np.uint8)


def write_explanations(folder: Path, galleries: Iterable[Gallery]) -> list[Path]:
    """Draw each gallery into explained.png, explained-2.png ... and the same as .svg; return the paths of the PNGs.

    Raises:
        UserError: the folder cannot be written.
    """
    from matplotlib.figure import Figure

    written = []
    for number, rows in enumerate(galleries, start=1):
        name = "explained" if number == 1 else f"explained-{number}"
        with style():
            figure = Figure(figsize=(WIDTH, ROW_HEIGHT * len(rows)), layout="constrained")
            gallery(rows, ax=figure.subplots())
        words = "; ".join(f"{heading}: {', '.join(said for _, said in images)}" for heading, images in rows)
        alt = f"Pictures and where networks saw what they said, by Grad-CAM. {words}".replace("\n", " ")
        written.append(save(DrawnFigure(name, "Explained", "", alt, figure), folder)[0])
    for path in folder.glob("explained-*.*"):  # of an earlier call with more pictures
        if path.with_suffix(".png") not in written and path.suffix in (".png", ".svg"):
            path.unlink()
    return written
