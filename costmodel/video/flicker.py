"""Flicker of segmentations: mFP and mFIP of section IV, eqs. (12) to (14), over label maps.

Both compare neighbouring frames pixel by pixel: mFIP the label maps S, mFP their difference images D to the truth G, so
that motion in the truth does not count.

**The operator.** The equations print NAND and mean "differs". On maps of 0 and 1, a NAND b is 1 where both are 0: a
perfect segmentation of a scene that stands still has D = 0 everywhere and would flicker at every pixel. The text
("mismatch of two neighboring frames") and the figures, where most pixels do not flicker, mean inequality.

**The mean.** The equations print the sum over all frame pairs, without 1/T: a video of twice the length has twice the
value. Tables II and III, with values near 60 per mille, are means per frame pair. Results have the sum and the mean.

**The difference image.** D = (S != G) o S, eq. (13), is the wrong class where S is wrong and 0 where S is right. But D
is also 0 where S is wrongly class 0: eq. (13) misses this error, ``class_zero`` counts it.

D is never built: D differs between two frames where it is 0 in exactly one of them, or in none and S differs. So no
label is multiplied, converted or cut, and maps are read once, in strips of rows that stay in a core's cache.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import zip_longest
from math import fsum
from typing import Any, TypeAlias

import numpy as np

from costmodel.errors import InvalidInput

# A numpy array or a torch tensor of integers, H x W or B x H x W. torch is not imported: a tensor on the CPU becomes an
# array that shares its memory; other tensors stay on their device and are used through methods that arrays have, too.
Labels: TypeAlias = Any
Mask: TypeAlias = Any  # the same with booleans

STRIP = 2**20  # bytes of labels that are compared at once: a few strips fit in a core's cache


@dataclass(frozen=True, repr=False)
class Flickering:
    """The result of a metric, ``mFP`` or ``mFIP``, as counts of pixels."""

    metric: str
    size: tuple[int, int]  # rows and columns of a frame
    changed: tuple[tuple[int, ...], ...]  # pixels that flicker, by sequence of the batch and pair of neighbours
    compared: tuple[tuple[int, ...], ...]  # pixels that were compared: those that are ignored in neither frame

    def __repr__(self) -> str:
        size = "x".join(map(str, self.size))
        batch = f"{len(self.changed)} sequences of " if len(self.changed) > 1 else ""
        return f"<{self.metric} {self.mean_per_mille:.4g} per mille: {batch}{self.frames} frames of {size} pixels>"

    @property
    def frames(self) -> int:
        return len(self.changed[0]) + 1

    @property
    def sequences(self) -> tuple[tuple[float | None, ...], ...]:
        """The fraction of compared pixels that flicker, by sequence and frame pair; None where all are ignored."""
        counts = zip(self.changed, self.compared, strict=True)
        return tuple(tuple(part / whole if whole else None for part, whole in zip(*n, strict=True)) for n in counts)

    @property
    def pairs(self) -> tuple[float | None, ...]:
        """The fraction by frame pair; in a batch, the mean over the sequences with compared pixels."""
        known = [[each for each in pair if each is not None] for pair in zip(*self.sequences, strict=True)]
        return tuple(fsum(pair) / len(pair) if pair else None for pair in known)

    @property
    def mean_per_mille(self) -> float:
        """The mean over frame pairs with compared pixels, in per mille, as in Tables II and III."""
        return 1000 * self.literal_sum / sum(pair is not None for pair in self.pairs)

    @property
    def literal_sum(self) -> float:
        """Eqs. (12) and (14) as printed: the sum of the fractions over all frame pairs, without 1/T."""
        return fsum(pair for pair in self.pairs if pair is not None)


class Flicker:
    """mFIP, and with truths mFP, of frames that come one at a time; only the last frame is kept.

    ``ignore``: the label of unknown pixels. A pixel is not compared if it has this label (mFIP), or if its truth has
    this label (mFP), in either frame of a pair; fractions refer to compared pixels. ``class_zero``: let mFP count
    pixels that are wrongly class 0, which eq. (13) misses.

    >>> flicker = Flicker()
    >>> for column in (0, 1, 1):  # one of eight pixels moves, then stays: its old and its new place differ
    ...     frame = np.zeros((2, 4), np.uint8)
    ...     frame[0, column] = 7
    ...     flicker.update(frame)
    >>> flicker.mfip.pairs, flicker.mfip.mean_per_mille, flicker.mfip.literal_sum
    ((0.25, 0.0), 125.0, 0.25)
    """

    def __init__(self, ignore: int | None = None, *, class_zero: bool = False) -> None:
        if ignore is not None and (isinstance(ignore, bool) or not isinstance(ignore, int | np.integer)):
            raise InvalidInput(f"ignore must be a label, a whole number, not {ignore!r}")
        self.ignore = None if ignore is None else int(ignore)
        self.class_zero = class_zero
        self.frames = 0
        self._before: _Maps | None = None
        self._images, self._pixels = _Counts(), _Counts()

    def __repr__(self) -> str:
        return f"<Flicker of {self.frames} frames, ignore={self.ignore}>"

    def update(self, frame: Labels, truth: Labels | None = None) -> None:
        """Take the next frame: H x W, or B x H x W for a batch of B independent sequences; numpy or torch, of integers
        of any type, compared by value. The frame may be overwritten afterwards.

        ``truth``: its true labels, of the same size, for every frame or for none. `InvalidInput` for wrong types, sizes
        and devices; this frame then leaves no trace.
        """
        before, name = self._before, f"frame {self.frames + 1}"
        frame = _labels(frame, name)
        if before is not None:
            _agree(frame, name, before.labels, "earlier frames are")
            if (truth is not None) != self.truths:
                has = "no truth, but earlier frames have" if truth is None else "a truth, but earlier frames have none"
                raise InvalidInput(f"{name} has {has}: mFP needs the truth of every frame")
        if truth is not None:
            truth = _labels(truth, f"the truth of {name}")
            _agree(truth, f"the truth of {name}", frame, "the frame is")
        types = (frame.dtype, None if truth is None else truth.dtype)
        if before is not None:
            self._images.start()
            self._pixels.start()
            for rows in _strips(frame):
                now = self._maps(frame[rows], None if truth is None else truth[rows])
                then = before.part(rows)
                self._compare(now, then)
                if types == before.types:
                    then.become(now)  # while the strip is in the cache
        if before is None or types != before.types:
            self._before = self._maps(frame, truth)
            self._before.labels = frame.copy() if isinstance(frame, np.ndarray) else frame.clone()
        self.frames += 1

    @property
    def truths(self) -> bool:
        """True if frames came with truths, which mFP needs."""
        return self._before is not None and self._before.wrong is not None

    @property
    def mfip(self) -> Flickering:
        """Eq. (14): pixels whose label differs from the label one frame before. `InvalidInput` for fewer than two
        frames, and if all pixels are ignored."""
        return self._result("mFIP", self._images)

    @property
    def mfp(self) -> Flickering:
        """Eq. (12): pixels whose difference to the truth, eq. (13), differs from the one a frame before.
        `InvalidInput` as for `mfip`, and without truths."""
        if self.frames and not self.truths:
            raise InvalidInput("mFP needs the truth of every frame; mFIP needs none")
        return self._result("mFP", self._pixels)

    def _maps(self, frame: Labels, truth: Labels | None) -> "_Maps":
        if truth is None:
            return _Maps(frame, known(frame, self.ignore), None, None, (frame.dtype, None))
        wrong, types = errors(frame, truth, self.class_zero), (frame.dtype, truth.dtype)
        return _Maps(frame, known(frame, self.ignore), wrong, known(truth, self.ignore), types)

    def _compare(self, now: "_Maps", before: "_Maps") -> None:
        changed = differs(now.labels, before.labels)
        self._images.add(changed, both_known(now.known, before.known))
        if now.wrong is not None:
            self._pixels.add(flickering(changed, now.wrong, before.wrong), both_known(now.true, before.true))

    def _result(self, metric: str, counts: "_Counts") -> Flickering:
        if self.frames < 2 or self._before is None:
            there = "one frame" if self.frames else "no frame"
            raise InvalidInput(f"{metric} compares neighbouring frames: there is {there}, at least two are needed")
        changed, compared = _by_sequence(counts.changed), _by_sequence(counts.compared)
        if not any(map(any, compared)):
            raise InvalidInput(f"{metric}: there is no pixel to compare, all are ignored ({self.ignore})")
        *_, rows, columns = self._before.labels.shape
        return Flickering(metric, (rows, columns), changed, compared)


def mfip(frames: Iterable[Labels], ignore: int | None = None) -> Flickering:
    """mFIP, eq. (14): the flicker of label maps, without a truth.

    ``frames``: an array or tensor T x H x W or T x B x H x W, or an iterable of frames; see `Flicker`, also for
    ``ignore``. `InvalidInput` for fewer than two frames, different sizes, and labels that are no integers.
    """
    flicker = Flicker(ignore)
    for frame in _each(frames, "frames"):
        flicker.update(frame)
    return flicker.mfip


def mfp(
    frames: Iterable[Labels], truths: Iterable[Labels], ignore: int | None = None, *, class_zero: bool = False
) -> Flickering:
    """mFP, eqs. (12) and (13): the flicker of errors of label maps. As `mfip`; ``truths`` has a map for each frame.

    >>> truths = np.arange(12).reshape(3, 2, 2)  # everything moves, without errors
    >>> mfp(truths, truths).mean_per_mille, mfip(truths).mean_per_mille
    (0.0, 1000.0)
    """
    flicker = Flicker(ignore, class_zero=class_zero)
    for frame, truth in zip_longest(_each(frames, "frames"), _each(truths, "truths"), fillvalue=_END):
        if frame is _END or truth is _END:
            lacking = "frame for truth" if frame is _END else "truth for frame"
            raise InvalidInput(f"there is no {lacking} {flicker.frames + 1}: each frame has its truth")
        flicker.update(frame, truth)
    return flicker.mfp


# ---- pixel by pixel --------------------------------------------------------------------------------------------------


def differs(one: Labels, other: Labels) -> Mask:
    """The pixels whose labels differ as numbers: -1 is not 255, for all types."""
    if isinstance(one, np.ndarray) or one.dtype == other.dtype:
        return one != other
    if not {str(each.dtype) for each in (one, other)} & {"torch.uint16", "torch.uint32", "torch.uint64"}:
        return one != other
    # torch compares unsigned types only with themselves. A uint64 that int64 cannot hold becomes negative.
    different = one.long() != other.long()
    for each in (one, other):
        if str(each.dtype) == "torch.uint64":
            different |= each.long() < 0
    return different


def errors(frame: Labels, truth: Labels, class_zero: bool = False) -> Mask:
    """The pixels where D of eq. (13) is not 0: wrong labels, without the label 0 unless ``class_zero``."""
    wrong = differs(frame, truth)
    if not class_zero:
        wrong &= frame != 0
    return wrong


def flickering(changed: Mask, wrong: Mask, before: Mask) -> Mask:
    """The pixels where D differs between two frames: S ``changed``, D is not 0 now (``wrong``) or ``before``."""
    pixels = wrong ^ before
    pixels |= wrong & changed
    return pixels


def known(labels: Labels, ignore: int | None) -> Mask | None:
    """The pixels whose label is not ``ignore``; None for all pixels, if the type cannot hold ``ignore``."""
    if ignore is None:
        return None
    signed, bits = _integer(labels.dtype) or (True, 64)
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    return labels != ignore if low <= ignore <= high else None  # torch would compare with ignore % 2**bits


def both_known(one: Mask | None, other: Mask | None) -> Mask | None:
    """The pixels in both of two results of `known`."""
    return other if one is None else one if other is None else one & other


# ---- kept frames ----------------------------------------------------------------------------------------------------

_END = object()


@dataclass
class _Maps:
    """A frame that the next frame is compared with."""

    labels: Labels
    known: Mask | None  # pixels whose label is known
    wrong: Mask | None  # pixels where D is not 0
    true: Mask | None  # pixels whose truth is known
    types: tuple[Any, Any]  # of labels and truth

    def part(self, rows: Any) -> "_Maps":
        """Views of some rows."""
        known, wrong, true = (None if each is None else each[rows] for each in (self.known, self.wrong, self.true))
        return _Maps(self.labels[rows], known, wrong, true, self.types)

    def become(self, other: "_Maps") -> None:
        """Overwrite all maps with those of the same types."""
        self.labels[...] = other.labels
        for own, mask in ((self.known, other.known), (self.wrong, other.wrong), (self.true, other.true)):
            if own is not None:
                own[...] = mask


@dataclass
class _Counts:
    """Counts of pixels by frame pair and sequence; counts of a tensor stay on its device."""

    changed: list[Any] = field(default_factory=list)
    compared: list[Any] = field(default_factory=list)

    def start(self) -> None:
        """Begin a frame pair with counts of 0."""
        self.changed.append(0)
        self.compared.append(0)

    def add(self, changed: Mask, known: Mask | None) -> None:
        *batch, rows, columns = changed.shape
        self.changed[-1] += _count(changed if known is None else changed & known)
        self.compared[-1] += rows * columns * np.ones(batch or 1, int) if known is None else _count(known)


def _count(mask: Mask) -> Any:
    """The number of pixels by sequence."""
    if isinstance(mask, np.ndarray):  # count_nonzero along axes is slow
        return np.array([np.count_nonzero(each) for each in (mask if mask.ndim == 3 else [mask])])
    return mask.sum((-2, -1)).reshape(-1)


def _by_sequence(pairs: list[Any]) -> tuple[tuple[int, ...], ...]:
    return tuple(zip(*(pair.tolist() for pair in pairs), strict=True))


def _strips(labels: Labels) -> Iterator[Any]:
    """Indices of all rows in strips; all rows at once on other devices than the CPU."""
    *batch, rows, columns = labels.shape
    height = rows
    if isinstance(labels, np.ndarray):
        height = max(1, STRIP // (labels.itemsize * columns * (batch or [1])[0]))
    for row in range(0, rows, height):
        yield ..., slice(row, row + height), slice(None)


# ---- valid frames ----------------------------------------------------------------------------------------------------


def _labels(given: Labels, what: str) -> Labels:
    """Labels as an array, or as a tensor on another device than the CPU; `InvalidInput` unless they are a frame."""
    if isinstance(given, np.ma.MaskedArray):
        raise InvalidInput(f"{what} is a masked array: give unknown pixels a label, and pass this label as ignore")
    if getattr(given, "is_meta", False):
        raise InvalidInput(f"{what} is a tensor without values")
    if not isinstance(given, np.ndarray) and not hasattr(given, "clone"):
        raise InvalidInput(f"{what} is a {type(given).__name__}: expected a numpy array or a torch tensor")
    if _integer(given.dtype) is None:
        raise InvalidInput(
            f"{what} has labels of type {given.dtype}: expected integers, int8 to int64 or uint8 to uint64 (scores "
            "become labels by the argmax over classes)"
        )
    if given.ndim not in (2, 3):
        raise InvalidInput(f"{what} has {given.ndim} dimensions: expected 2, H x W, or 3, B x H x W for a batch")
    if 0 in given.shape:
        raise InvalidInput(f"{what} is {_size(given)}: there is no pixel")
    return _near(given)


def _near(labels: Labels) -> Labels:
    return labels if isinstance(labels, np.ndarray) or labels.device.type != "cpu" else labels.numpy()


@cache
def _integer(dtype: Any) -> tuple[bool, int] | None:
    """Sign and bits of an integer type; None for other types."""
    match = re.fullmatch(r"(?:torch\.)?(u?)int(8|16|32|64)", getattr(dtype, "name", str(dtype)))
    return (not match[1], int(match[2])) if match else None


def _agree(labels: Labels, what: str, others: Labels, who: str) -> None:
    if tuple(labels.shape) != tuple(others.shape):
        raise InvalidInput(f"{what} is {_size(labels)}, but {who} {_size(others)}: sizes must be equal")
    places = ["cpu" if isinstance(each, np.ndarray) else str(each.device) for each in (labels, others)]
    if places[0] != places[1]:
        raise InvalidInput(f"{what} is on {places[0]}, but {who} on {places[1]}: devices must be equal")


def _size(labels: Labels) -> str:
    return "x".join(map(str, labels.shape))


def _each(maps: Iterable[Labels], what: str) -> Iterable[Labels]:
    if not hasattr(maps, "__iter__") or getattr(maps, "shape", (1,)) == ():
        raise InvalidInput(f"{what}: expected frames, T x H x W or one after the other, not a {type(maps).__name__}")
    return maps
