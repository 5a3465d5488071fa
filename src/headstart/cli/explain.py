"""`headstart explain`: where on pictures trained networks saw what they said."""

import argparse
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.cli.paths import check_model
from headstart.errors import UserError, printable
from headstart.store import expanded, write_atomically

if TYPE_CHECKING:
    import numpy as np

    from headstart.analysis import Predictions, Results
    from headstart.inference import Classifier, MapLayer, Picture

    Explained = tuple[Classifier, MapLayer]  # a network, and the layer whose maps are shown

EXAMPLES = """examples:
  {prog} outputs/pretraining test/cat/7.png test/dog/3.png
      all arms of a study side by side
  {prog} outputs/runs/2026-01-31_12-00-00-000000 holiday/ --to explained

Bright places speak for the class (Grad-CAM), computed in the last layer whose maps have 4 x 4 cells or more. Where a
picture lies in a folder called like a class, that is its true class, and a further row shows what spoke for it."""
COLUMNS = 8  # pictures in a figure
MOST_ARMS = 8  # beside each other on a page
SHOWN_SIZE = 128  # pixels a side of a picture in the figure


def make_parser(prog: str) -> argparse.ArgumentParser:
    """What may be typed behind `headstart explain`."""
    shown = dict(formatter_class=argparse.RawDescriptionHelpFormatter, epilog=EXAMPLES.format(prog=prog))
    about = "Show where on pictures trained networks saw what they said."
    parser = argparse.ArgumentParser(prog=prog, description=about, **shown)
    parser.add_argument("model", metavar="MODEL", help="the folder of a run or a study, or an exported file or folder")
    parser.add_argument("pictures", nargs="+", metavar="PICTURES", help="pictures, folders of them, or patterns")
    parser.add_argument("--arm", help="which arm's network, of a study (default: all arms, a row each)")
    parser.add_argument("--to", type=Path, default=Path("explained"), metavar="DIR", help="(default: explained)")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Do what was typed; return 1 where a picture could not be read. Raises UserError."""
    check_model(arguments.model)
    from headstart.inference import decode_pictures, find_pictures
    from headstart.report import write_explanations

    found = find_pictures(arguments.pictures, getattr(sys.stdin, "buffer", None))
    classifiers, unread = _classifiers(arguments.model, arguments.arm), []

    def galleries() -> Iterator[list]:  # one at a time, whatever the number of pictures
        for start in range(0, len(found), COLUMNS):
            part = found[start : start + COLUMNS]
            pairs = list(zip(part, decode_pictures(part, SHOWN_SIZE), strict=True))
            for picture, array in pairs:
                if isinstance(array, str):
                    unread.append(picture)
                    print(f"headstart explain: {printable(picture.name)} cannot be read: {array}", file=sys.stderr)
            if shown := [(picture, array) for picture, array in pairs if not isinstance(array, str)]:
                yield _gallery(classifiers, shown)

    written = write_explanations(expanded(arguments.to), galleries())
    if not written:
        raise UserError("none of the pictures can be read")
    print(*written, sep="\n")
    return 1 if unread else 0


def _classifiers(model: str, arm: str | None) -> "dict[str, Explained]":
    """The networks by what they are called; an arm whose network was not kept, or can't be explained, is named."""
    from headstart.inference import map_layer
    from headstart.notebook import load_models

    classifiers = {}
    for name, classifier in load_models(model, arm).items():
        if isinstance(classifier, str):
            print(f"headstart explain: {name} is left out: {classifier}", file=sys.stderr)
            continue
        try:
            layer = map_layer(classifier)
        except UserError as error:
            print(f"headstart explain: {name} is left out: {error}", file=sys.stderr)
            continue
        classifiers[name] = classifier, layer
        print(f"{printable(name)}: maps of {layer}")
    if not classifiers:
        raise UserError(f"{model} has no network that can be explained")
    return classifiers


def _gallery(classifiers: "dict[str, Explained]", shown: "list[tuple[Picture, np.ndarray]]") -> list:
    """Rows of one figure: the pictures, and for each network what spoke for its answer and for the true class."""
    known = {name for classifier, _ in classifiers.values() for name in classifier.classes}
    rows = [("pictures", [(array, _called(picture, known)) for picture, array in shown])]
    for name, (classifier, layer) in classifiers.items():
        rows += _rows(name, classifier, layer, shown)
    return rows


def _called(picture: "Picture", classes: set[str]) -> str:
    """The picture's true class, where its folder says it, and its name."""
    folder, name = _folder(picture), Path(picture.name).name
    lines = [folder, name] if folder in classes else [name]
    return "\n".join(map(printable, lines))


def _folder(picture: "Picture") -> str:
    """The name of the folder that a picture lies in, "" of one that lies in none."""
    return picture.source.resolve().parent.name if isinstance(picture.source, Path) else ""


def _rows(name: str, classifier: "Classifier", layer: "MapLayer", shown: "list[tuple[Picture, np.ndarray]]") -> list:
    import numpy as np

    from headstart.inference import decode_pictures, explain
    from headstart.report import overlaid

    images = np.stack(decode_pictures([picture for picture, _ in shown], classifier.picture_size))
    shares = classifier.probabilities(images)
    said = shares.argmax(1)
    folders = [_folder(picture) for picture, _ in shown]
    true = np.array(
        [classifier.classes.index(f) if f in classifier.classes else k for f, k in zip(folders, said, strict=True)]
    )

    def row(heading: str, classes: np.ndarray) -> tuple:
        maps = explain(classifier, images, classes, layer)
        words = [f"{printable(classifier.classes[k])}\n{100 * shares[n, k]:.0f} %" for n, k in enumerate(classes)]
        pairs = zip(shown, maps, words, strict=True)
        return heading, [(overlaid(array, heat), text) for (_, array), heat, text in pairs]

    rows = [row(f"{name}: for what it said", said)]
    return rows if (true == said).all() else [*rows, row(f"{name}: for the true class", true)]


# ------------------------------------------------------------------------------------------ a study's own test pictures


def explain_study(results: "Results") -> str | None:
    """Leave in a study's folder where its arms looked on the same few test pictures, for the page; or return why not.

    The pictures are those that the runs have kept, so that nobody reads the test split again: where they are larger
    than the copies that are kept, nothing is shown.
    """
    import numpy as np

    from headstart.report import EXPLAINED, Material

    material = Material(results)
    answers = {arm: runs for arm, runs in material.predictions.items() if runs}
    pictures, labels, classes = _kept_pictures(list(answers.values()))
    if not len(pictures):
        return "no run has kept copies of its test pictures"
    try:
        classifiers = _classifiers(str(results.root), None)
        side = {classifier.picture_size for classifier, _ in classifiers.values()}
        if side != {pictures.shape[1]}:
            return (
                f"the pictures have {max(side)} px, and copies of {pictures.shape[1]} px were kept; headstart explain"
            )
        shown = dict(list(classifiers.items())[:MOST_ARMS])
        rows = [
            (
                "test pictures",
                [(_enlarged(picture), classes[label]) for picture, label in zip(pictures, labels, strict=True)],
            )
        ]
        rows += [(name, _looked(*found, pictures, [classes[k] for k in labels])) for name, found in shown.items()]
    except UserError as error:
        return str(error)
    buffer = io.BytesIO()
    images = np.stack([[image for image, _ in row] for _, row in rows])
    words = np.array([[text for _, text in row] for _, row in rows])
    headings = np.array([heading for heading, _ in rows])
    np.savez_compressed(buffer, images=images, words=words, headings=headings, runs=np.array(material.tested_runs))
    write_atomically(results.root / EXPLAINED, buffer.getvalue())
    return None


def _kept_pictures(answers: "list[list[Predictions]]") -> "tuple[np.ndarray, list[int], tuple[str, ...]]":
    """Up to COLUMNS kept test pictures [n, H, W, 3], their labels and the classes: first those that tell arms apart,
    some right in one and wrong in another, then such as all have right."""
    import numpy as np

    from headstart.analysis import same_answers

    if not answers or not all(same_answers(answers[0], own) for own in answers):
        return np.empty((0, 0, 0, 3), np.uint8), [], ()
    kept = {place: image for own in answers for run in own for place, image in run.thumbnails.items()}
    shares = np.array([np.mean([run.correct for run in own], axis=0) for own in answers])
    apart, least = np.ptp(shares, axis=0), shares.min(axis=0)
    telling = sorted((p for p in kept if apart[p] > 0), key=lambda p: (-apart[p], p))[: COLUMNS - 3]
    easy = sorted((p for p in kept if p not in telling), key=lambda p: (-least[p], p))
    chosen = [*telling, *easy][:COLUMNS]
    first = answers[0][0]
    return np.stack([kept[p] for p in chosen]), [int(first.labels[p]) for p in chosen], first.classes


def _looked(
    classifier: "Classifier", layer: "MapLayer", pictures: "np.ndarray", true: list[str]
) -> "list[tuple[np.ndarray, str]]":
    """The pictures under what spoke for the network's answer, and whether that is right."""
    from headstart.inference import explain
    from headstart.report import overlaid

    shares = classifier.probabilities(pictures)
    said = shares.argmax(1)
    maps, found = explain(classifier, pictures, said, layer), []
    for picture, heat, k, share, label in zip(pictures, maps, said, shares.max(1), true, strict=True):
        name = classifier.classes[k]
        words = f"{'right' if name == label else f'said {printable(name)}'}\n{100 * share:.0f} %"
        found.append((overlaid(_enlarged(picture), heat), words))
    return found


def _enlarged(picture: "np.ndarray") -> "np.ndarray":
    """Each pixel as a square of them, so that a map over it is not as coarse."""
    factor = max(1, SHOWN_SIZE // picture.shape[0])
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)
