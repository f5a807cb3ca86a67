from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from conftest import Run, error_line

from mindrecord import build_records, manifest
from mindrecord.row_reader import read_rows
from mindrecord.sources import videos
from mindrecord.sources.images import ImagesOptions, image_folder
from mindrecord.sources.videos import VideosOptions
from preprocess import ledger
from preprocess.catalog import TEST, TRAIN
from preprocess.common.errors import InputError
from preprocess.extract_video import Task

COMMAND = "mindrecord/build.py"


def make_images(root: Path) -> dict[str, bytes]:
    """Two classes in ImageNet's layout, with a PNG under a JPEG's name and a file of another suffix; returns the JPEGs."""
    rng = np.random.default_rng(0)
    jpegs = {}
    for path in ("train/n2/b_1.JPEG", "train/n1/a_1.JPEG", "train/n1/a_2.jpg", "val/n1/a_1.JPEG", "val/n2/v_3.Jpeg"):
        jpegs[path] = simplejpeg.encode_jpeg(rng.integers(0, 255, (8, 8, 3), np.uint8))
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(jpegs[path])
    (root / "train/n1/a_3.JPEG").write_bytes(b"\x89PNG\r\n\x1a\n")
    (root / "train/n1/notes.txt").write_text("x")
    return jpegs


def test_videos_give_the_shards_of_their_frames(frames: Path, records: Path, ucf: Path, tmp_path: Path, run: Run) -> None:
    arguments = ("--from-videos", "--dataset", "ucf101", "--root", ucf, "--out", tmp_path / "r")
    run(COMMAND, *arguments)
    for path in records.glob("split-*"):
        assert (tmp_path / "r" / path.name).read_bytes() == path.read_bytes()
    values = [json.loads((folder / "manifest.json").read_text()) for folder in (records, tmp_path / "r")]
    assert values[0] == values[1]
    assert (tmp_path / "r/ledger.jsonl").read_bytes() == (frames / "ledger.jsonl").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".r.lock", "r"]
    assert "already holds these frames" in run(COMMAND, *arguments).stdout


@pytest.mark.usefixtures("workers_here")
def test_videos_that_fail_or_are_missing_are_in_the_manifest_and_the_others_are_packed(
    ucf: Path, tmp_path: Path, run: Run
) -> None:
    shutil.copytree(ucf, tmp_path / "u")
    (tmp_path / "u/video/Alpha/v_Alpha_g02_c01.avi").unlink()
    cut = tmp_path / "u/video/Beta/v_Beta_g03_c01.avi"
    cut.write_bytes(cut.read_bytes()[:-500])
    arguments = ("--from-videos", "--root", tmp_path / "u", "--out", tmp_path / "r", "--allow-missing")
    done = run(COMMAND, *arguments, "--segment-frames", 16, code=2)
    assert "1 failed, --max-failures is 0: see above; the others are done" in error_line(done)
    assert "failed: Beta/v_Beta_g03_c01.avi: the file is cut short" in done.stdout
    packed = manifest.load(tmp_path / "r")
    assert [(v.video_id, v.status) for v in packed.absent] == [("v_Alpha_g02_c01", "missing"), ("v_Beta_g03_c01", "failed")]
    assert [sum(getattr(shard, name) for shard in packed.shards) for name in ("videos", "rows")] == [6, 12]
    again = run(COMMAND, *arguments, "--segment-frames", 16, code=2)
    assert "nothing to do" in again.stdout
    assert error_line(again) == error_line(done)


def test_what_was_measured_is_not_decoded_again(ucf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = VideosOptions(root=ucf, workers=2, segment_frames=16, out=tmp_path / "r")
    first = videos.videos_folder(options, tmp_path / "b")
    journal = tmp_path / "b" / videos.MEASURED
    whole = sorted(journal.read_text().splitlines())
    journal.write_text(journal.read_text()[:-20])
    assert videos.videos_folder(options, tmp_path / "b") == first
    assert sorted(journal.read_text().splitlines()) == whole
    monkeypatch.setattr(videos.executors, "run", lambda function, items, *_, **__: map(function, items))
    monkeypatch.setattr("preprocess.extract_video.write_frames", None)
    assert videos.videos_folder(options, tmp_path / "b") == first


def test_a_video_that_changes_while_it_is_packed_is_named(ucf: Path) -> None:
    options = VideosOptions(root=ucf)
    (video, path), *_ = options.find_videos()[1].found.items()
    task = Task(
        video=video,
        path=path,
        videos=options.videos,
        frames=Path(),
        layout="dir",
        settings=options.frame_settings,
        before=None,
    )
    measured = videos.measure(task)
    assert tuple(map(len, videos.DecodedVideo(task, measured.entry.jpeg_sha256).read())) == measured.frame_bytes
    with pytest.raises(InputError, match=rf"{path} has changed while it was packed"):
        videos.DecodedVideo(task, "other").read()


@pytest.mark.usefixtures("workers_here")
def test_images_are_rows_of_one_frame_with_the_files_bytes(tmp_path: Path, run: Run) -> None:
    jpegs = make_images(tmp_path / "i")
    done = run(COMMAND, "--dataset", "imagenet", "--root", tmp_path / "i", "--out", tmp_path / "r", code=2)
    assert "1 failed, --max-failures is 0" in error_line(done)
    assert "failed: train/n1/a_3.JPEG: is no JPEG" in done.stdout
    assert "1 files are neither .jpg nor .jpeg and were left out" in done.stdout
    packed = manifest.load(tmp_path / "r")
    assert (packed.class_names, packed.splits) == (("n1", "n2"), ("1",))
    assert [(v.video_id, v.status) for v in packed.absent] == [("a_3", ledger.FAILED)]
    found = {}
    for shard in packed.shards:
        for row in read_rows(tmp_path / "r" / shard.file):
            assert (row["first_frame"], row["video_frames"], row["fps"]) == (0, 1, 0.0)
            assert (tuple(row["flags"]), row["label"]) == (shard.flags, packed.class_names.index(row["class_name"]))
            found[row["class_name"], row["video_id"], shard.flags] = bytes(row["jpegs"])
    assert found == {
        ("n1", "a_1", (TRAIN,)): jpegs["train/n1/a_1.JPEG"],
        ("n1", "a_2", (TRAIN,)): jpegs["train/n1/a_2.jpg"],
        ("n2", "b_1", (TRAIN,)): jpegs["train/n2/b_1.JPEG"],
        ("n1", "val_a_1.JPEG", (TEST,)): jpegs["val/n1/a_1.JPEG"],
        ("n2", "v_3", (TEST,)): jpegs["val/n2/v_3.Jpeg"],
    }


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no folder train/"):
        image_folder(ImagesOptions(root=tmp_path, workers=1))
    (tmp_path / "train/n1").mkdir(parents=True)
    with pytest.raises(InputError, match="have no JPEG in a <class> folder"):
        image_folder(ImagesOptions(root=tmp_path, workers=1))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("--short-side 128", "--short-side does nothing here: it goes with --from-videos"),
        ("--root x", "--root does nothing here"),
        ("--split-by=group", "--split-by does nothing here"),
        ("--dataset imagenet --quality 80", "--quality"),
        ("--dataset imagenet --from-videos", "--from-videos does not go with --dataset imagenet"),
        ("--from-videos --quality 0", "--quality 0 is not between 1 and 100"),
        ("--from-videos --frames work/frames", "--frames"),
        ("--sed 3", "Unrecognized options: --sed"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(arguments: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        build_records.main(build_records.parse(arguments.split()))


@pytest.mark.parametrize("option", ["--shard-mb", "--segment-frames", "--seed", "--workers"])
@pytest.mark.parametrize("form", ["--frames f", "--from-videos", "--dataset imagenet"])
def test_a_number_out_of_range_is_named_in_every_form(form: str, option: str) -> None:
    with pytest.raises(InputError, match=f"{option} -1 is not"):
        build_records.main(build_records.parse([*form.split(), option, "-1"]))
