"""Flicker: mFP and mFIP are what their equations, read as inequality, say pixel by pixel; the command over PNGs."""

import contextlib
import csv
import io
import json
import re
import struct
import sys
import zlib
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from test_cli import run as command

import costmodel
from costmodel import Flicker, InvalidInput, mfip, mfp
from costmodel.report import figures
from costmodel.report.figures import style as drawing
from costmodel.video import flicker as module
from costmodel.video import label_maps

TYPES = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
EXTREMES = {-(2**63), -(2**31), -129, -128, -1, 0, 1, 2, 127, 128, 255, 256, 2**31, 2**63 - 1, 2**63, 2**64 - 1}


def witness(
    frames: list[Any], truths: list[Any] | None, ignore: int | None = None, class_zero: bool = False
) -> list[Fraction | None]:
    """Eqs. (12) to (14) by loops over pixels of one video, in Python's integers; None where nothing is compared."""
    pairs: list[Fraction | None] = []
    for t in range(1, len(frames)):
        changed = compared = 0
        for row in range(len(frames[0])):
            for column in range(len(frames[0][0])):
                values, skipped = [], False
                for step in (t - 1, t):
                    label = int(frames[step][row][column])
                    if truths is None:
                        values.append(label)
                        skipped |= label == ignore
                        continue
                    true = int(truths[step][row][column])
                    difference: Any = (label != true) * label  # eq. (13)
                    values.append(("wrong", label) if class_zero and label != true else difference)
                    skipped |= true == ignore
                compared += not skipped
                changed += not skipped and values[0] != values[1]
        pairs.append(Fraction(changed, compared) if compared else None)
    return pairs


@pytest.fixture(params=["array", "tensor", "as on a device"])
def made(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Arrays as they are, as tensors, and as tensors that are treated as those that are not on the CPU."""
    if request.param == "as on a device":
        monkeypatch.setattr(module, "_near", lambda labels: labels)
    return torch.from_numpy if request.param != "array" else lambda array: array


@st.composite
def videos(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int | None, bool, int]:
    """Frames and truths (T x B x H x W) of two types, a label to ignore, class_zero, the bytes of a strip."""
    shape = draw(st.tuples(st.integers(2, 4), st.integers(1, 3), st.integers(1, 4), st.integers(1, 5)))
    both = []
    for _ in range(2):
        kind = np.dtype(draw(st.sampled_from(TYPES)))
        limits = np.iinfo(kind)
        few = sorted(value for value in EXTREMES if limits.min <= value <= limits.max)
        both.append(draw(arrays.arrays(kind, shape, elements=st.sampled_from(few))))
    ignore = draw(st.none() | st.sampled_from(sorted(EXTREMES)))
    return both[0], both[1], ignore, draw(st.booleans()), draw(st.sampled_from([1, 16, 2**20]))


def holds(found: Any, expected: list[list[Fraction | None]]) -> None:
    """Whether a result, or the refusal of one, is what the witness says of each sequence."""
    each = [[value for value in pair if value is not None] for pair in zip(*expected, strict=True)]
    mean = [sum(pair, Fraction(0)) / len(pair) for pair in each if pair]
    if not mean:
        with pytest.raises(InvalidInput, match="there is no pixel to compare, all are ignored"):
            found()
        return
    result = found()
    assert result.sequences == tuple(tuple(pair if pair is None else float(pair) for pair in s) for s in expected)
    assert [pair is not None for pair in result.pairs] == [bool(pair) for pair in each]
    assert [pair for pair in result.pairs if pair is not None] == pytest.approx([float(m) for m in mean], rel=1e-15)
    assert result.literal_sum == pytest.approx(float(sum(mean)), rel=1e-15)
    assert result.mean_per_mille == pytest.approx(float(1000 * sum(mean) / len(mean)), rel=1e-15)


@given(video=videos())
def test_it_is_what_the_equations_say_pixel_by_pixel(video: Any) -> None:
    frames, truths, ignore, class_zero, strip = video
    batch = range(frames.shape[1])
    for convert, near in (
        (lambda array: array, module._near),
        (torch.from_numpy, module._near),
        (torch.from_numpy, lambda labels: labels),
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "_near", near)
            patch.setattr(module, "STRIP", strip)
            s, g = convert(frames.copy()), convert(truths.copy())
            holds(partial(mfip, s, ignore), [witness(frames[:, b], None, ignore) for b in batch])
            expected = [witness(frames[:, b], truths[:, b], ignore, class_zero) for b in batch]
            holds(partial(mfp, s, g, ignore, class_zero=class_zero), expected)
            holds(partial(mfip, s[:, 0], ignore), [witness(frames[:, 0], None, ignore)])


@given(video=videos())
def test_frames_as_they_come_may_be_of_any_types_and_overwritten(video: Any) -> None:
    """Predictions and truths in turns as the one and the other, all in one buffer where their types allow it."""
    one, other, ignore, class_zero, _ = video
    frames = [(one if t % 3 else other)[t, 0] for t in range(len(one))]
    truths = [(other if t % 3 else one)[t, 0] for t in range(len(one))]
    buffers = {each.dtype: np.empty(each.shape, each.dtype) for each in frames}
    flicker = Flicker(ignore, class_zero=class_zero)
    for frame, truth in zip(frames, truths, strict=True):
        buffers[frame.dtype][...] = frame
        flicker.update(buffers[frame.dtype], truth)
    holds(lambda: flicker.mfip, [witness(frames, None, ignore)])
    holds(lambda: flicker.mfp, [witness(frames, truths, ignore, class_zero)])


def test_a_moving_pixel_by_hand(made: Any) -> None:
    """A pixel of class 3 in 2 x 5 moves once: at two of ten pixels the label differs, 200 per mille, then none does."""
    frames = np.zeros((3, 2, 5), np.uint8)
    frames[0, 1, 1] = frames[1, 1, 2] = frames[2, 1, 2] = 3
    found = mfip(made(frames))
    assert (found.metric, found.frames, found.size) == ("mFIP", 3, (2, 5))
    assert (found.changed, found.compared) == (((2, 0),), ((10, 10),))
    assert (found.pairs, found.mean_per_mille, found.literal_sum) == ((0.2, 0.0), 100.0, 0.2)
    # As the truth moves, so may the segmentation: D is 0. If it stands still, D has the 3, and moves.
    assert mfp(made(frames), made(frames)).pairs == (0.0, 0.0)
    assert mfp(made(frames), made(frames * 0)).pairs == (0.2, 0.0)


def test_a_perfect_static_segmentation_does_not_flicker_but_would_by_nand() -> None:
    """The reason for inequality: D = 0, and 0 NAND 0 = 1 at every pixel."""
    frames = np.broadcast_to(np.arange(12, dtype=np.uint8).reshape(3, 4), (5, 3, 4))
    assert mfp(frames, frames).mean_per_mille == mfip(frames).mean_per_mille == 0
    difference = (frames != frames) & (frames != 0)
    nand = ~(difference[1:] & difference[:-1])
    assert 1000 * nand.mean() == 1000


def test_errors_of_class_0_are_seen_on_request(made: Any) -> None:
    """Truth 2 everywhere. Pixel 0: right, then wrongly 0. Pixel 1: wrongly 0, then wrongly 1. Pixel 2: 1, then right.

    D of eq. (13): 0 0, 0 1, 1 0: two of three differ; with the option all three do."""
    frames, truths = np.array([[[2, 0, 1]], [[0, 1, 2]]], np.uint8), np.full((2, 1, 3), 2, np.uint8)
    assert mfp(made(frames), made(truths)).changed == ((2,),)
    assert mfp(made(frames), made(truths), class_zero=True).changed == ((3,),)
    # A pixel of the last class of a type stays itself: nothing is added to it.
    frames = np.array([[[255, 127]], [[0, 255]]], np.uint8)
    assert mfp(made(frames), made(frames * 0 + 1), class_zero=True).changed == ((2,),)


def test_numbers_are_compared_not_bits(made: Any) -> None:
    minus, top = np.full((1, 2), -1, np.int8), np.full((1, 2), 255, np.uint8)
    assert mfip([made(minus), made(top)]).changed == ((2,),)
    assert mfip([made(top), made(top.astype(np.int64))]).changed == ((0,),)
    assert mfip([made(top), made(top.astype(np.uint16))], ignore=-1).compared == ((2,),)  # no type here has a -1
    big = np.full((1, 2), 2**64 - 1, np.uint64)
    assert mfip([made(big), made(minus.astype(np.int64)), made(minus)]).changed == ((2, 0),)


def test_what_is_ignored_is_not_compared(made: Any) -> None:
    """mFIP: 255 in the labels of frame 1 or 2 leaves pixels 2 and 3, of which 3 differs. mFP: in the truth, 1 to 3."""
    frames = np.array([[[255, 1, 1, 1]], [[1, 255, 1, 2]]], np.uint8)
    truths = np.array([[[255, 2, 1, 1]], [[2, 2, 1, 1]]], np.uint8)
    assert (mfip(made(frames), 255).changed, mfip(made(frames), 255).compared) == (((1,),), ((2,),))
    found = mfp(made(frames), made(truths), ignore=255)  # D: 255 0, 1 255, 0 0, 0 2
    assert (found.changed, found.compared, found.pairs) == (((2,),), ((3,),), (2 / 3,))


def test_results_can_be_asked_for_as_frames_come() -> None:
    flicker, random = Flicker(), np.random.default_rng(0)
    frames = random.integers(0, 3, (6, 4, 5))
    for count, frame in enumerate(frames, 1):
        flicker.update(frame, frames[0])
        assert (flicker.frames, flicker.truths) == (count, True)
        if count > 1:
            assert flicker.mfip == mfip(frames[:count])
            assert flicker.mfp == mfp(iter(frames[:count]), [frames[0]] * count)


def test_views_are_read_right(made: Any) -> None:
    random = np.random.default_rng(0)
    frames = random.integers(0, 3, (3, 14, 12))
    views = made(frames)[:, ::2, 1::3]
    assert mfip(views) == mfip(frames[:, ::2, 1::3].copy())


@pytest.mark.cuda
def test_on_a_gpu_as_on_the_cpu() -> None:
    random = np.random.default_rng(0)
    for kind in TYPES:
        frames, truths = random.integers(0, 5, (2, 4, 3, 20, 30)).astype(kind)
        on_gpu = torch.from_numpy(frames).cuda(), torch.from_numpy(truths).cuda()
        assert mfp(*on_gpu, ignore=2) == mfp(frames, truths, ignore=2)
        assert mfip(on_gpu[0]) == mfip(frames)


Z = np.zeros((4, 6), np.uint8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mfip([]), "mFIP compares neighbouring frames: there is no frame, at least two are needed"),
        (lambda: mfip([Z]), "mFIP compares neighbouring frames: there is one frame, at least two are needed"),
        (lambda: mfp([Z], [Z]), "mFP compares neighbouring frames: there is one frame"),
        (lambda: mfp([], []), "mFP compares neighbouring frames: there is no frame"),
        (lambda: mfip([Z, Z[:3]]), "frame 2 is 3x6, but earlier frames are 4x6: sizes must be equal"),
        (lambda: mfip([Z, Z[None]]), "frame 2 is 1x4x6, but earlier frames are 4x6"),
        (lambda: mfp([Z, Z], [Z, Z[:, 1:]]), "the truth of frame 2 is 4x5, but the frame is 4x6"),
        (lambda: mfp([Z, Z], [Z]), "there is no truth for frame 2: each frame has its truth"),
        (lambda: mfp([Z, Z], [Z, Z, Z]), "there is no frame for truth 3: each frame has its truth"),
        (lambda: mfp([Z, Z], [Z, None]), "frame 2 has no truth, but earlier frames have: mFP needs the truth of every"),
        (lambda: mfp([Z, Z], [None, Z]), "frame 2 has a truth, but earlier frames have none"),
        (lambda: mfp([Z, Z], [None, None]), "mFP needs the truth of every frame; mFIP needs none"),
        (lambda: mfip([Z, Z * 0.5]), "frame 2 has labels of type float64: expected integers, int8 to int64 or uint8"),
        (lambda: mfip([Z > 0, Z > 0]), "frame 1 has labels of type bool: expected integers"),
        (lambda: mfip([Z + 1j]), "frame 1 has labels of type complex128: expected integers"),
        (lambda: mfip([Z.astype(object)]), "frame 1 has labels of type object: expected integers"),
        (lambda: mfip(torch.zeros(2, 3, 4)), "frame 1 has labels of type torch.float32: expected integers"),
        (lambda: mfip(torch.zeros(2, 3, 4, dtype=torch.bool)), "frame 1 has labels of type torch.bool: expected"),
        (lambda: mfp([Z], [Z.astype("f4")]), "the truth of frame 1 has labels of type float32"),
        (lambda: mfip(Z), "frame 1 has 1 dimensions: expected 2, H x W, or 3, B x H x W for a batch"),
        (lambda: mfip([Z[None, None]]), "frame 1 has 4 dimensions"),
        (lambda: mfip(np.zeros((2, 0, 5), int)), "frame 1 is 0x5: there is no pixel"),
        (lambda: mfip([[[1, 2]], [[1, 2]]]), "frame 1 is a list: expected a numpy array or a torch tensor"),
        (lambda: mfip([None, None]), "frame 1 is a NoneType: expected"),
        (lambda: mfip(3), "frames: expected frames, T x H x W or one after the other, not a int"),
        (lambda: mfp([Z], np.array(3)), "truths: expected frames, T x H x W or one after the other, not a ndarray"),
        (lambda: Flicker(1.0), "ignore must be a label, a whole number, not 1.0"),
        (lambda: Flicker(True), "ignore must be a label, a whole number, not True"),
        (lambda: mfip([Z, Z + 1], ignore=0), "mFIP: there is no pixel to compare, all are ignored (0)"),
        (
            lambda: mfip([Z, torch.zeros(4, 6, dtype=torch.uint8, device="meta")]),
            "frame 2 is a tensor without values",
        ),
    ],
    ids=lambda value: value[:50] if isinstance(value, str) else "",
)
def test_bad_input_is_refused_in_words(call: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(message)):
        call()


def test_a_refused_frame_leaves_what_was_there() -> None:
    flicker = Flicker()
    flicker.update(Z, Z)
    for wrong in ((Z[1:], Z[1:]), (Z, Z[1:]), (Z, None), (Z * 1.0, Z), (Z, Z * 1.0)):
        with pytest.raises(InvalidInput):
            flicker.update(*wrong)
    flicker.update(Z + 1, Z)
    assert flicker.mfp.changed == flicker.mfip.changed == ((24,),)


# ---- the command -----------------------------------------------------------------------------------------------------


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    return command(capsys, "flicker", *arguments)


def write(folder: Path, frames: Any, names: Iterator[str] | list[str] | None = None) -> None:
    folder.mkdir(exist_ok=True)
    for name, frame in zip(names or (f"frame{n}.png" for n in range(8, 99)), frames, strict=False):
        Image.fromarray(frame).save(folder / name)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`pred` and `truth`: frame8 to frame12, 10 x 16. A block of 2 x 3 moves by one column in truth and prediction; a
    ghost of 4 pixels is predicted in frame10 alone. Row 0 is not known (255)."""
    monkeypatch.chdir(tmp_path)
    truths = np.ones((5, 10, 16), np.uint8)
    for t in range(5):
        truths[t, 4:6, 5 + t : 8 + t] = 7
    truths[:, 0] = 255
    frames = np.where(truths == 255, 1, truths).astype(np.uint8)
    frames[2, 8, :4] = 3
    write(tmp_path / "pred", frames)
    write(tmp_path / "truth", truths)
    return tmp_path


def test_json_is_the_contract(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Moving by a column: 2 pixels become 7 and 2 are no more, 4 of 160, 25 per mille; the ghost is 4 more, twice:
    25, 50, 50, 25. Without row 0 there are 144; mFP: the ghost alone, 4/144."""
    code, out, err = run(capsys, "--pred", "pred", "--truth", "truth", "--ignore", "255", "--format", "json")
    data = json.loads(out)
    assert (code, err) == (0, "")
    keys = ["frames", "pairs", "size", "mfip", "mfp", "ignore", "class_zero", "reading", "names"]
    assert list(data) == keys
    assert [data[key] for key in keys if key not in ("mfip", "mfp")] == [
        *(5, 4, [10, 16], 255, False, "inequality"),
        ["frame8", "frame9", "frame10", "frame11", "frame12"],  # in the order of the numbers
    ]
    assert data["mfip"]["per_pair_per_mille"] == [25, 50, 50, 25]
    assert data["mfip"]["mean_per_mille"] == pytest.approx(37.5)
    assert data["mfip"]["literal_sum"] == pytest.approx(0.15)
    ghost = 4 / 144
    assert list(data["mfp"]) == list(data["mfip"])
    assert data["mfp"]["per_pair_per_mille"] == pytest.approx([0, 1000 * ghost, 1000 * ghost, 0])
    assert data["mfp"]["mean_per_mille"] == pytest.approx(500 * ghost)
    assert data["mfp"]["literal_sum"] == pytest.approx(2 * ghost)
    alone = json.loads(run(capsys, "--pred", "pred", "--format", "json")[1])
    assert (alone["mfp"], alone["ignore"], alone["mfip"]) == (None, None, data["mfip"])


def test_the_table_names_pairs_units_and_reading(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--pred", "pred", "--truth", "truth", "--ignore", "255")
    lines, told = out.splitlines(), " ".join(out.split())
    assert (code, lines[0]) == (0, "Flicker of 5 frames of 10x16")
    assert [line.split() for line in lines[4:9]] == [
        ["frame8", "frame9", "25.00", "0.00"],
        ["frame9", "frame10", "50.00", "27.78"],
        ["frame10", "frame11", "50.00", "27.78"],
        ["frame11", "frame12", "25.00", "0.00"],
        ["mean", "per", "pair", "37.50", "13.89"],
    ]
    assert "literal sum, eqs. (12) and (14) as printed" in told
    assert "without 1/T: mFIP 0.15, mFP 0.0555556." in told
    assert "differ (inequality). Eqs. (12) to (14) print NAND" in told
    assert "(the option class zero tells both apart)" in told
    assert "in either frame: 100.00 % of the pixels (mFIP), 90.00 % of the pixels (mFP) are compared" in told
    assert max(map(len, lines)) <= 80
    seen = run(capsys, "--pred", "pred", "--truth", "truth", "--class-zero")[1]
    assert "mFP sees pixels wrongly labelled class 0" in " ".join(seen.split())
    alone = run(capsys, "--pred", "pred")[1]
    assert "mFP" not in alone
    (first, *_) = csv.DictReader(io.StringIO(run(capsys, "--pred", "pred", "--truth", "truth", "--format", "csv")[1]))
    assert (first["frame"], first["next"], first["mfip_per_mille"]) == ("frame8", "frame9", "25.0")
    assert (first["mfip_changed"], first["mfip_compared"], first["mfp_changed"]) == ("4", "160", "0")
    for form, mark in (("markdown", "| frame8"), ("latex", r"\toprule"), ("html", "<!doctype html>")):
        code, out, _ = run(capsys, "--pred", "pred", "--format", form)
        assert code == 0
        assert mark in out


def test_grey_of_16_bits_and_palettes_are_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    (tmp_path / "mixed").mkdir()
    Image.fromarray(labels).save(tmp_path / "mixed" / "1.png")
    Image.fromarray(labels.astype(np.uint16)).save(tmp_path / "mixed" / "2.png")
    indexed = Image.fromarray(labels).convert("P")
    indexed.putdata(labels.ravel().tolist())
    indexed.putpalette([9, 9, 9] * 16)  # colours do not matter
    indexed.save(tmp_path / "mixed" / "3.png", bits=4)
    Image.fromarray(labels.astype(np.uint16) + 256).save(tmp_path / "mixed" / "4.PNG")
    for name in ("._1.png", "notes.txt"):
        (tmp_path / "mixed" / name).write_bytes(b"not a frame")
    data = json.loads(run(capsys, "--pred", str(tmp_path / "mixed"), "--format", "json")[1])
    assert data["mfip"]["per_pair_per_mille"] == [0, 0, 1000]


def png(bits: int, colour: int = 0) -> bytes:
    """A 4 x 2 PNG of zeros with so many bits a pixel, as the format defines it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress((b"\0" + bytes(4 * bits // 8)) * 2)
    head = struct.pack(">IIBBBBB", 4, 2, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


GREY = np.zeros((2, 4), np.uint8)
COLOUR = np.zeros((2, 4, 3), np.uint8)


def bad(folder: Path, what: str) -> list[str]:
    """Arguments with something wrong about them."""
    names = [f"frame{n}.png" for n in range(8, 13)]
    (pred, truth), both = (folder / "pred", folder / "truth"), ["--pred", "pred", "--truth", "truth"]
    match what:
        case "missing folder":
            return ["--pred", "nowhere"]
        case "a file":
            return ["--pred", "pred/frame8.png"]
        case "missing truths":
            return ["--pred", "pred", "--truth", "nowhere"]
        case "empty":
            (folder / "none").mkdir()
            return ["--pred", "none"]
        case "one frame":
            write(folder / "one", [GREY])
            return ["--pred", "one"]
        case "a gap":
            (pred / names[2]).unlink()
        case "many gaps":
            write(folder / "gaps", [GREY] * 3, ["a_000010_x2.png", "a_000020_x2.png", "a_000090_x2.png"])
            return ["--pred", "gaps"]
        case "twice":
            write(folder / "twice", [GREY] * 3, ["1.png", "01.png", "2.png"])
            return ["--pred", "twice"]
        case "a truth less":
            (truth / names[4]).unlink()
        case "a truth more":
            write(truth, [GREY], ["frame13.png"])
        case "another size":
            write(pred, [GREY], names[3:4])
        case "another size of a truth":
            write(truth, [GREY], names[1:2])
        case "RGB" | "RGBA" | "LA" | "1":
            write(folder / what, [GREY] * 2)
            Image.new(what, (4, 2)).save(folder / what / "frame9.png")
            return ["--pred", what]
        case "4 bits" | "2 bits":
            write(folder / what, [GREY] * 2)
            (folder / what / "frame9.png").write_bytes(png(int(what[0])))
            return ["--pred", what]
        case "cut off":
            (pred / names[1]).write_bytes((pred / names[1]).read_bytes()[:-30])
        case "no PNG":
            Image.fromarray(GREY).save(pred / names[1], format="GIF")
        case "a folder as a frame":
            (pred / names[1]).unlink()
            (pred / names[1]).mkdir()
        case "class zero alone":
            return ["--pred", "pred", "--class-zero"]
        case "no folder given":
            return []
        case "all ignored":
            return ["--pred", "pred", "--truth", "pred", "--ignore", "x"]
        case "format":
            return ["--pred", "nowhere", "--format", "pdf"]
        case "plot":
            return ["--pred", "nowhere", "--plot", "a.gif"]
    return both


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("missing folder", "--pred nowhere: No such file or directory"),
        ("a file", "--pred pred/frame8.png: Not a directory"),
        ("missing truths", "--truth nowhere: No such file or directory"),
        ("empty", "--pred none has no PNG file: flicker is between frames, at least two are needed"),
        ("one frame", "--pred one has one frame, frame8.png: flicker is between frames, at least two are needed"),
        ("a gap", "--pred pred has no frame10.png: flicker is between neighbours"),
        (
            "many gaps",
            "--pred gaps has no a_000030_x2.png, a_000040_x2.png, a_000050_x2.png, a_000060_x2.png and 2 more:",
        ),
        ("twice", "--pred twice: 01.png and 1.png are the same frame"),
        ("a truth less", "--truth truth: truth has no frame12.png, but pred has"),
        ("a truth more", "--truth truth: pred has no frame13.png, but truth has"),
        ("another size", "pred/frame11.png: frame 4 is 2x4, but earlier frames are 10x16: sizes must be equal"),
        ("another size of a truth", "pred/frame9.png: the truth of frame 2 is 2x4, but the frame is 10x16"),
        ("RGB", "RGB/frame9.png has colour mode RGB: a label map has one label per pixel, as 8-bit grey (L), palette"),
        ("RGBA", "RGBA/frame9.png has colour mode RGBA"),
        ("LA", "LA/frame9.png has colour mode LA"),
        ("1", "1/frame9.png has colour mode 1: a label map has"),
        ("4 bits", "4 bits/frame9.png has 4-bit grey: a label map has"),
        ("2 bits", "2 bits/frame9.png has 2-bit grey: a label map has"),
        ("cut off", "pred/frame9.png cannot be read as PNG: damaged, too large or another format"),
        ("no PNG", "pred/frame9.png cannot be read as PNG: damaged"),
        ("a folder as a frame", "pred/frame9.png cannot be read as PNG: Is a directory"),
        ("class zero alone", "--class-zero is about errors: it needs --truth"),
        ("no folder given", "Missing option '--pred'"),
        ("all ignored", "--ignore 'x': expected a whole number from 0"),
        ("format", "--format 'pdf': one of"),
        ("plot", "--plot 'a.gif': expected a file that ends in .svg, .png, .pdf"),
    ],
)
def test_bad_folders_are_one_line_and_exit_code_2(
    what: str, message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, *bad(folder, what))
    assert (code, out) == (2, "")
    assert err.startswith(f"costmodel: {message}")
    assert err.count("\n") == 1


@given(st.data())
def test_no_damage_to_a_png_is_a_traceback(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    file = tmp_path_factory.getbasetemp() / "damaged.png"
    buffer = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(buffer, "PNG")
    damaged = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    file.write_bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
    with contextlib.suppress(InvalidInput):  # it may be readable still
        assert label_maps.read(file).ndim == 2


def test_names_that_count_something_else_are_one_video_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for names in (
        ["run1_10.png", "run2_5.png", "run2_7.png"],  # two numbers
        ["a.png", "b.png", "c1.png"],  # none
        ["1526432000123.png", "1526432000223.png", "1526432000324.png"],  # times
    ):
        for file in tmp_path.glob("odd/*"):
            file.unlink()
        write(tmp_path / "odd", [GREY] * 3, names[::-1])
        code, out, err = run(capsys, "--pred", "odd", "--format", "json")
        assert (code, json.loads(out)["names"]) == (0, [name.removesuffix(".png") for name in names])
        ends = f"{names[0]} to {names[-1]}"
        assert err == f"costmodel: no single number counts the frames {ends}: taken as one video, gaps are not found\n"
    write(tmp_path / "even", [GREY] * 3, ["b_0_20.png", "b_0_5.png", "b_0_35.png"])  # steps of 15
    assert run(capsys, "--pred", "even")[2] == ""


def test_progress_and_ctrl_c(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    code, _, err = run(capsys, "--pred", "pred")
    assert code == 0
    assert re.search(r"comparing: .*0/5", err)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)

    def interrupted(file: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(label_maps, "read", interrupted)
    assert run(capsys, "--pred", "pred") == (130, "", "costmodel: interrupted\n")


# ---- the figure ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["svg", "png", "pdf"])
def test_the_figure_is_written(suffix: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--pred", "pred", "--truth", "truth", "--ignore", "255"]
    code, _, err = run(capsys, *options, "--plot", f"flicker.{suffix}")
    assert (code, err) == (0, "")
    assert len((folder / f"flicker.{suffix}").read_bytes()) > 5000


SCENE = np.random.default_rng(0).integers(0, 200, (6, 12, 24)).astype(np.uint8)
KINDS = {
    "frames": partial(figures.flicker, SCENE),
    "two frames": partial(figures.flicker, SCENE[:2]),
    "with truths": partial(figures.flicker, SCENE, SCENE[::-1], ignore=3, name=f"{'very-long-' * 12}name.png"),
    "tall": partial(figures.flicker, SCENE.transpose(0, 2, 1), SCENE.transpose(0, 2, 1), class_zero=True),
    "wide, int8": partial(figures.flicker, SCENE[:, :2].astype(np.int8)),
    "tensors": partial(figures.flicker, list(torch.from_numpy(SCENE)), torch.from_numpy(SCENE[::-1].copy())),
    "mixed types": partial(figures.flicker, [*SCENE[:2].astype(np.int8), SCENE[2]], ignore=255),
    "large labels": partial(figures.flicker, SCENE.astype(np.uint64) + 2**63),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_figure_is_inside_a_column_of_print(kind: str) -> None:
    figure = drawing.drawn(KINDS[kind])
    with matplotlib.rc_context(figures.STYLE):
        figure.canvas.draw()
    drawn = figure.get_tightbbox()
    assert -0.01 <= drawn.x0 <= drawn.x1 <= 8.5 / 2.54 + 0.01
    assert -0.01 <= drawn.y0 <= drawn.y1 <= figure.get_figheight() + 0.01
    told = figure.axes[0].get_xlabel() + figure.axes[0].texts[0].get_text()
    assert re.search(r"mFI?P in per mille: \d", told)
    assert "inequality" in " ".join(told.split())


def test_the_figure_shows_what_is_counted(folder: Path) -> None:
    """The ghost comes and goes between frames 9, 10 and 11: 4 pixels are dark in each of two of three maps."""
    frames, truths = (
        [label_maps.read(file) for file in label_maps.sequence(folder / name, "")] for name in ("pred", "truth")
    )
    (ax,) = drawing.drawn(partial(figures.flicker, frames, truths, ignore=255)).axes
    pictures = [image.get_array() for image in ax.images]
    assert len(pictures) == 4 + 4 + 4 + 3
    dark = [int((each[..., :3] == 0x1B).all(-1).sum()) for each in pictures[-3:]]
    assert dark == [4, 4, 0]
    grey = [int((each[..., :3] == 0xD6).all(-1).sum()) for each in pictures]
    assert grey == [0] * 8 + [16] * 7  # row 0
    assert [label.get_text() for label in ax.get_xticklabels()] == ["t - 3", "t - 2", "t - 1", "t"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["segmentation", "truth", "difference", "flickering"]
    assert ax.get_xlabel() == "mFP in per mille: 27.78, 27.78, 0.00"
    assert figures.flicker(frames, ax=ax) is ax
    with pytest.raises(InvalidInput, match="a figure shows one video: frames have 3 dimensions"):
        drawing.drawn(partial(figures.flicker, [frame[None] for frame in frames]))
    with pytest.raises(InvalidInput, match="there are 5 frames and 4 truths: each frame has its truth"):
        drawing.drawn(partial(figures.flicker, frames, truths[1:]))


def test_the_face_has_it() -> None:
    assert {"Flicker", "mfip", "mfp"} <= set(costmodel.__all__)


def test_what_has_no_values_is_refused() -> None:
    with pytest.raises(InvalidInput, match="frame 1 is a masked array"):
        mfip(np.ma.masked_equal(np.zeros((2, 3, 3), int), 1))


def test_a_pair_without_pixels_is_left_out(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Frame 2 is not labelled: both of its pairs have nothing to compare; of frames 3 and 4, one pixel of four."""
    frames = [np.full((2, 2), label, np.uint8) for label in (1, 255, 1, 1)]
    frames[3][0, 0] = 2
    found = mfip(frames, ignore=255)
    assert (found.pairs, found.mean_per_mille, found.literal_sum) == ((None, None, 0.25), 250, 0.25)
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / f"{number}.png")
    code, out, _ = run(capsys, "--pred", str(tmp_path), "--ignore", "255")
    assert code == 0
    assert "-: a pair without pixels to compare, left out of the mean." in out
    record = json.loads(run(capsys, "--pred", str(tmp_path), "--ignore", "255", "--format", "json")[1])
    assert record["mfip"]["per_pair_per_mille"] == [None, None, 250]
    assert run(capsys, "--pred", "")[0] == 2
