"""Pictures that look alike though they are no exact copies: perceptual hashes, and those that are close."""

import numpy as np

SIDE, LOW = 32, 8  # pixels a side that are looked at; lowest frequencies kept of each direction
CLOSE = 3  # bits of 64 by which pictures that look alike may differ


def small_grey(pixels: np.ndarray) -> np.ndarray:
    """A picture, uint8 [H, W, 3], as `perceptual_hashes` takes it: uint8 [32, 32]."""
    from PIL import Image

    return np.asarray(Image.fromarray(pixels).convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS))


def perceptual_hashes(greys: np.ndarray) -> np.ndarray:
    """The perceptual hash of each picture, uint64 [N]: which of its lowest 64 frequencies lie above their median.

    greys: [N, 32, 32]. As `imagehash.phash` computes it (http://www.hackerfactor.com/blog/index.php?/archives/432),
    for many pictures at once.
    """
    place, frequency = np.arange(SIDE), np.arange(LOW)[:, None]
    cosines = 2 * np.cos(np.pi * frequency * (2 * place + 1) / (2 * SIDE))  # DCT II
    low = (cosines @ greys.astype(np.float64) @ cosines.T).reshape(len(greys), LOW * LOW)
    bits = low > np.median(low, axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(">u8").astype(np.uint64).reshape(-1)


def like_any(hashes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """For each hash the position in `others`, uint64 [M], of one at most `CLOSE` bits away, int64 [N]; -1: none is."""
    known, where = np.unique(others, return_index=True)
    asked, back = np.unique(hashes, return_inverse=True)
    found = np.full(len(asked), -1)
    # Of four quarters one is the same wherever three bits or fewer differ.
    for shift in range(0, 64, 16):
        quarter = ((known >> np.uint64(shift)) & np.uint64(0xFFFF)).astype(np.int64)
        order = np.argsort(quarter, kind="stable")
        mine = ((asked >> np.uint64(shift)) & np.uint64(0xFFFF)).astype(np.int64)
        first = np.searchsorted(quarter[order], mine, side="left")
        last = np.searchsorted(quarter[order], mine, side="right")
        waiting = np.flatnonzero((first < last) & (found < 0))
        step = 0
        while len(waiting):
            candidate = order[first[waiting] + step]
            close = np.bitwise_count(asked[waiting] ^ known[candidate]) <= CLOSE
            found[waiting[close]] = where[candidate[close]]
            step += 1
            waiting = waiting[~close & (first[waiting] + step < last[waiting])]
    return found[back]


def like_another_class(hashes: np.ndarray, labels: np.ndarray, same: np.ndarray) -> np.ndarray:
    """Which pictures are at most `CLOSE` bits away from one of another class that is no copy of theirs: bool [N].

    hashes: uint64 [N]; labels: [N]; same: [N], equal for copies.
    """
    kinds, back = np.unique(np.stack([hashes.view(np.int64), labels, same]), axis=1, return_inverse=True)
    known, label, copy = kinds[0].view(np.uint64), kinds[1], kinds[2]
    found = np.zeros(len(known), dtype=bool)
    for shift in range(0, 64, 16):
        quarter = ((known >> np.uint64(shift)) & np.uint64(0xFFFF)).astype(np.int64)
        order = np.argsort(quarter, kind="stable")
        sizes = np.diff(np.searchsorted(quarter[order], np.arange(0x10000 + 1)))
        ends = np.repeat(np.cumsum(sizes), sizes)  # where the group of pictures with the same quarter ends
        first = np.flatnonzero(np.arange(len(order)) + 1 < ends)
        step = 1
        while len(first):
            a, b = order[first], order[first + step]
            close = np.bitwise_count(known[a] ^ known[b]) <= CLOSE
            hit = close & (label[a] != label[b]) & (copy[a] != copy[b])
            found[a[hit]] = found[b[hit]] = True
            step += 1
            first = first[first + step < ends[first]]
    return found[back.reshape(-1)]
