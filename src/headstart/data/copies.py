"""Pictures that are in a data set more than once: which leave the training part, and what is said of the others."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np

from headstart.data.look_alikes import CLOSE, like_any
from headstart.data.picture_files import shown
from headstart.data.refusals import TooManyCopies

log = logging.getLogger(__name__)

Choice = Literal["drop", "refuse", "keep"]
Look = Literal["look"]  # keep them, to be looked at: nobody has chosen
FEW, FEW_SHARE = 5, 0.05  # copies across parts that are dropped unasked: so many, or this share of either part
FEW_IN_TWO_CLASSES = 0.005  # share of all pictures, likewise
NAMED = 5  # files in a sentence


@dataclass(frozen=True)
class CopyCounts:
    """Columns of a run's row."""

    copies_dropped: int  # training pictures
    copies_kept: int  # validation and test pictures that another part has, too
    look_alikes: int  # validation and test pictures that look like a training picture and are no copies


@dataclass(eq=False)
class Copies:
    """What is the same among all pictures of a data set, and what was chosen to be done with it.

    Positions, int64 [n], count the pictures of all parts, one part after the other.
    """

    root: str
    paths: Sequence[str]
    digests: np.ndarray  # uint8 [N, 32], of the pixels
    hashes: np.ndarray  # uint64 [N], perceptual
    choice: Choice | Look | None  # data.duplicates; None: drop where they are few, else refuse
    dropped: int = field(default=0, init=False)  # training pictures so far
    two_classes: int = field(default=0, init=False)  # pictures that lie in two
    repeats: dict[str, int] = field(default_factory=dict, init=False)  # copies within a part, by its name
    said: list[str] = field(default_factory=list, init=False)  # a sentence for each kind

    @cached_property
    def same(self) -> np.ndarray:
        """A number per picture, the same for copies."""
        return np.unique(np.ascontiguousarray(self.digests).view("V32").reshape(-1), return_inverse=True)[1].reshape(-1)

    def in_two_classes(self, positions: np.ndarray, labels: np.ndarray, train: np.ndarray) -> np.ndarray:
        """Which of the training pictures are to leave as they have two labels: bool. Raises TooManyCopies.

        positions and labels: of all pictures; train: positions of the training pictures.
        """
        pairs = np.unique(np.stack([self.same[positions], labels]), axis=1)
        doubled = np.bincount(pairs[0], minlength=len(self.paths)) > 1
        hit = positions[doubled[self.same[positions]]]
        self.two_classes = len(hit)
        leave = doubled[self.same[train]]
        if not len(hit):
            return leave
        side_by_side = hit[np.argsort(self.same[hit], kind="stable")]
        what = (
            f"{len(hit)} of {len(positions)} pictures of {self.root} lie in two classes ({self._named(side_by_side)})"
        )
        if self._refused(len(hit) <= FEW_IN_TWO_CLASSES * len(positions)):
            raise TooManyCopies(
                f"{what}.\nDelete what is wrong, or type data.duplicates=drop to leave them out of training, or "
                "data.duplicates=keep to use all of them."
            )
        return self._settled(leave, what)

    def of_held_out(self, train: np.ndarray, held: np.ndarray, called: str) -> np.ndarray:
        """Which of the training pictures are to leave as copies of the part called so: bool. Raises TooManyCopies."""
        leave = np.isin(self.same[train], self.same[held])
        if not leave.any():
            return leave
        copied = held[np.isin(self.same[held], self.same[train])]
        what = f"{len(copied)} of {len(held)} {called} pictures of {self.root} are exact copies of training pictures"
        what = f"{what} ({self._named(copied)})"
        if self._refused(_few(leave.sum(), len(train)) and _few(len(copied), len(held))):
            raise TooManyCopies(
                f"{what}.\nDelete the copies, or type data.duplicates=drop to leave {leave.sum()} of {len(train)} "
                f"training pictures out, or data.duplicates=keep to accept a {called} accuracy that is too high."
            )
        return self._settled(leave, what)

    def check_held_out(self, val: np.ndarray, test: np.ndarray) -> None:
        """Say which test pictures are validation pictures, too; both parts stay whole. Raises TooManyCopies."""
        copied = test[np.isin(self.same[test], self.same[val])]
        if not len(copied):
            return
        what = f"{len(copied)} of {len(test)} test pictures of {self.root} are exact copies of validation pictures"
        what = f"{what} ({self._named(copied)})"
        if self.choice != "drop" and self._refused(_few(len(copied), min(len(val), len(test)))):
            raise TooManyCopies(
                f"{what}.\nDelete the copies, or type data.duplicates=keep to have both parts as they are."
            )
        self._say(logging.WARNING, f"{what}; both parts stay as they are")

    def counts(self, train: np.ndarray, val: np.ndarray, test: np.ndarray) -> CopyCounts:
        """What remains in the parts as they are used, said in a line where there is anything to say."""
        same, held = self.same, np.concatenate([val, test])
        kept = np.isin(same[val], same[train]).sum() + np.isin(same[test], same[np.concatenate([train, val])]).sum()
        repeats = {n: len(p) - len(np.unique(same[p])) for n, p in dict(train=train, val=val, test=test).items()}
        self.repeats = {name: count for name, count in repeats.items() if count}
        if self.repeats:
            said = ", ".join(f"{count} {name}" for name, count in self.repeats.items())
            self._say(logging.INFO, f"exact copies of other pictures of the same part, which stay: {said}")
        like = like_any(self.hashes[held], self.hashes[train])
        like[np.isin(same[held], same[train])] = -1
        if found := int((like >= 0).sum()):
            first = np.flatnonzero(like >= 0)[:2]
            pairs = ", ".join(f"{self._named(held[[i]])} and {self._named(train[[like[i]]])}" for i in first)
            what = f"{found} of {len(held)} validation and test pictures look like a training picture"
            close = f"at most {CLOSE} of 64 bits of a perceptual hash differ; {pairs}"
            self._say(logging.INFO, f"{what} ({close}); they stay")
        return CopyCounts(self.dropped, int(kept), found)

    def _refused(self, few: bool) -> bool:
        return self.choice == "refuse" or (self.choice is None and not few)

    def _settled(self, leave: np.ndarray, what: str) -> np.ndarray:
        """What leaves by the choice, said and counted."""
        if self.choice in ("keep", "look"):
            why = ": kept, as data.duplicates=keep says" if self.choice == "keep" else ""
            self._say(logging.WARNING, f"{what}{why}")
            return np.zeros_like(leave)
        self._say(logging.WARNING, f"{what}: {leave.sum()} of {len(leave)} training pictures left out")
        self.dropped += int(leave.sum())
        return leave

    def _say(self, level: int, sentence: str) -> None:
        log.log(level, "%s", sentence)
        self.said.append(sentence)

    def _named(self, positions: np.ndarray) -> str:
        names = [shown(self.paths[position]) for position in positions[:NAMED]]
        return ", ".join(names) + (", ..." if len(positions) > NAMED else "")


def _few(copies: int, pictures: int) -> bool:
    return copies <= max(FEW, FEW_SHARE * pictures)
