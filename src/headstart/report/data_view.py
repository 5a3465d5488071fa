"""What is on record of a data set as a reader sees it: a table of counts, and a line for each fact."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from headstart.report.display_tables import Cell, DisplayTable
from headstart.statistics import sampling_half_width
from headstart.store import DataRecord, shown_path

CALLED = dict(train="Training", val="Validation", test="Test")
COPIED = dict(
    dropped="training pictures left out as copies of validation or test pictures, or as they lie in two classes",
    across_parts="validation and test pictures that another part has, too",
    in_two_classes="pictures that lie in two classes",
    within_train="copies within the training part",
    within_val="copies within the validation part",
    within_test="copies within the test part",
    look_alikes="validation and test pictures that look like a training picture",
    look_alikes_of_another_class="training and validation pictures that look like one of another class",
)
SAID = COPIED.keys() - {"look_alikes_of_another_class"}  # each has a sentence where there are any
FEW_CLASSES = 40  # that a page shows unfolded


@dataclass(frozen=True)
class DataView:
    """One data set in words and numbers."""

    record: DataRecord
    image_size: int | None = None  # pixels a side that a network sees, where somebody chose it

    @property
    def title(self) -> str:
        """`pets: 1,000 pictures of 10 classes`."""
        total = sum(filter(None, (self.record.total(part) for part in CALLED)))
        known = f"{total:,} pictures of " if total else ""
        return f"{self.record.name}: {known}{len(self.record.classes):,} classes"

    @property
    def counts(self) -> DisplayTable:
        """Pictures of each class in each part, last the sum; a dash where a part is not known by class."""
        parts = [part for part in CALLED if part in self.record.counts]
        own = [self.record.counts[part] for part in parts]
        rows = [[name, *counts, sum(counts)] for name, *counts in zip(self.record.classes, *own, strict=True)]
        rows.append(["all classes", *map(sum, own), sum(map(sum, own))])
        cells = [[Cell(str(name)), *(Cell(f"{count:,}") for count in counts)] for name, *counts in rows]
        columns = ["Class", *(CALLED[part] for part in parts), "All"]
        return DisplayTable(
            f"Pictures of {self.record.name} by class and part", columns, [False] + [True] * (len(parts) + 1), cells
        )

    @property
    def is_long(self) -> bool:
        """Whether a page folds the counts away."""
        return len(self.record.classes) > FEW_CLASSES

    @property
    def smallest(self) -> str:
        """The classes with the most and the fewest training pictures, in a sentence."""
        counts, names = self.record.counts.get("train", ()), self.record.classes
        if not counts:
            return ""
        most, least = max(counts), min(counts)
        if most == least:
            return f"each class has {most:,} training pictures"
        times = f"{most / max(least, 1):.3g} times as many"
        few, many = names[counts.index(least)], names[counts.index(most)]
        return f"from {least:,} training pictures ({few}) to {most:,} ({many}), {times}"

    @property
    def lines(self) -> list[tuple[str, str]]:
        """All else there is to say, each under a word; what is not known is left out."""
        return [line for line in self._lines() if line[1]]

    @property
    def facts(self) -> DisplayTable:
        """The same as a table."""
        rows = [[Cell(label), Cell(text)] for label, text in self.lines]
        return DisplayTable(f"What else is known of {self.record.name}", ["What", "Found"], [False, False], rows)

    def _lines(self) -> Iterator[tuple[str, str]]:
        record = self.record
        yield "Classes", self.smallest
        if record.folds:
            which = f"{record.folds} folds, of which number {record.fold} of 0 to {record.folds - 1} validates here"
            yield "Folds", f"{which}; a study's confirmations take them in turn (data.folds=null: one split)"
        yield "Sizes", self._sizes()
        if record.mean and record.std:
            mean, std = (" ".join(f"{value:.3f}" for value in values) for values in (record.mean, record.std))
            yield "Channels", f"red, green, blue of the training part, 0 to 1: mean {mean}, standard deviation {std}"
        yield "Can show", self._half_widths()
        if record.copies is None:
            yield "Copies", "nobody looked for any"
        else:
            found = {kind: n for kind, n in record.copies.items() if n and (kind not in SAID or not record.said)}
            counted = [f"{COPIED.get(kind, kind)}: {count:,}" for kind, count in found.items()]
            for sentence in [*record.said, *counted] or ["none across parts or classes, and no look-alikes"]:
                yield "Copies", sentence
        for kind, files in record.left_out.items():
            names = ", ".join(files.first) + (", ..." if files.count > len(files.first) else "")
            yield "Left out", f"{kind}: {files.count:,} ({names})"
        for note in record.notes:
            yield "Labels", note

    def _sizes(self) -> str:
        record, said = self.record, []
        if record.sizes:
            (low, middle, high), (short, half, tall) = record.sizes["width"], record.sizes["height"]
            said.append(
                f"{low:g} to {high:g} pixels wide (median {middle:g}), {short:g} to {tall:g} high (median {half:g})"
            )
        if record.pixels:
            verb = "decoded to" if record.sizes else "all are"
            said.append(f"{verb} {record.pixels[0]} x {record.pixels[1]}")
        if record.smaller:
            said.append(f"{record.smaller:,} are smaller than that{self._largest_side()}")
        if self.image_size:
            said.append(f"resized to {self.image_size} x {self.image_size} for the network")
        return ", ".join(said)

    def _largest_side(self) -> str:
        """How to have pictures as they are that are all enlarged."""
        sides = [self.record.sizes[side][-1] for side in ("width", "height")] if self.record.sizes else [math.inf]
        is_smaller = self.record.pixels is not None and max(sides) < min(self.record.pixels)
        return f" (data.size={max(sides):g} reads them as they are)" if is_smaller else ""

    def _half_widths(self) -> str:
        """What so many pictures can show at all."""
        parts = {part: self.record.total(part) for part in ("val", "test")}
        said = [f"±{sampling_half_width(50, n):.1f} points ({CALLED[part].lower()})" for part, n in parts.items() if n]
        why = "the choice of so many pictures alone moves an accuracy of 50 % by"
        return f"{why} {' and '.join(said)}, 95 times in 100" if said else ""

    def away(self) -> str | None:
        """Where the pictures were, if that is not there any more."""
        root = self.record.root
        return shown_path(Path(root)) if root is not None and not Path(root).exists() else None
