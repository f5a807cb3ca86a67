from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import pytest
import simplejpeg
from conftest import ROOT, Run, error_line, gone, make_ucf, make_video

from preprocess import catalog, extract_dataset, ledger
from preprocess.catalog import TEST, TRAIN, Video
from preprocess.common import files
from preprocess.common.errors import InputError
from preprocess.decoding.ffmpeg_backend import find_ffmpeg
from preprocess.extract_video import Task, extract
from preprocess.frame_settings import FrameSettings
from preprocess.frame_store import LAYOUTS
from preprocess.workers import executors

COMMAND = "preprocess/extract_frames.py"


def tree(folder: Path) -> dict[str, str]:
    """Every file below a folder with the hash of its bytes."""
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def test_frames_are_numbered_from_one_and_the_ledger_counts_them(frames: Path) -> None:
    entries = ledger.read(frames)
    assert len(entries) == 8
    for entry in entries.values():
        group = int(entry.video_id[-6:-4])
        paths = sorted((frames / entry.class_name / entry.video_id).iterdir())
        assert [p.name for p in paths] == [f"image_{i:05d}.jpg" for i in range(1, 20 + group + 1)]
        assert (entry.status, entry.stored_frames, entry.frame_width, entry.frame_height) == ("ok", 20 + group, 64, 48)
        assert entry.jpeg_bytes == sum(p.stat().st_size for p in paths)
        assert simplejpeg.decode_jpeg(paths[0].read_bytes()).shape == (48, 64, 3)


def test_the_catalog_says_which_splits_each_video_is_in(frames: Path) -> None:
    listed, written = catalog.load(frames)
    assert (written.frame_settings, written.layout, written.assumed) == (FrameSettings(), "dir", "")
    assert listed.split_source.drawn == "lists"
    assert len(listed.split_source.lists_sha256) == 64
    assert {video.group for video in listed.videos} == {
        f"v_{name}_g0{g}" for name in ("alpha", "beta") for g in (1, 2, 3, 4)
    }
    assert listed.splits == ("1", "2", "3")
    for i in range(3):
        assert sorted(video.flags[i] for video in listed.videos) == [TRAIN] * 6 + [TEST] * 2


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_second_run_does_nothing_and_changes_no_byte(ucf: Path, tmp_path: Path, run: Run, layout: str) -> None:
    run(COMMAND, "--root", ucf, "--out", tmp_path / "f", "--layout", layout)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "f").glob("*/**/*")}
    assert before
    content = tree(tmp_path / "f")
    run(COMMAND, "--root", ucf, "--out", tmp_path / "f", "--workers", 1, "--layout", layout)
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "f").glob("*/**/*")} == before
    assert tree(tmp_path / "f") == content


def test_a_run_after_a_kill_gives_the_bytes_of_an_undisturbed_one(frames: Path, ucf: Path, tmp_path: Path, run: Run) -> None:
    out = tmp_path / "f"
    shutil.copytree(frames, out)
    lines = (out / "ledger.jsonl").read_text().splitlines(keepends=True)
    (out / "ledger.jsonl").write_text("".join(lines[:3]) + lines[3][:40])  # killed while writing the fourth line
    video = json.loads(lines[5])
    shutil.rmtree(out / video["class_name"] / video["video_id"])
    (out / video["class_name"] / f".{video['video_id']}.partial").mkdir()  # and in the middle of the sixth video
    run(COMMAND, "--root", ucf, "--out", out)
    assert tree(out) == tree(frames)
    assert not list(out.rglob(".*"))


@pytest.mark.parametrize("layout", ["dir", pytest.param("zip", marks=pytest.mark.slow)])
def test_kill_9_leaves_no_worker_and_a_run_after_it_gives_the_same_bytes(tmp_path: Path, run: Run, layout: str) -> None:
    make_ucf(tmp_path / "data", frames=300)
    run(COMMAND, "--root", tmp_path / "data", "--out", tmp_path / "expected", "--layout", layout)
    for killed_when in (0, 2, 5):  # folders published
        out = tmp_path / "f"
        command = [sys.executable, str(ROOT / COMMAND), "--root", str(tmp_path / "data"), "--out", str(out)]
        command += ["--layout", layout]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
        deadline = time.monotonic() + 60
        while len(list(out.glob("*/v_*"))) < killed_when or not list(out.glob("*/.*.partial")):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.005)
        process.kill()
        process.wait()
        while processes_of_session(process.pid):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    run(COMMAND, "--root", tmp_path / "data", "--out", tmp_path / "f", "--layout", layout)
    assert tree(tmp_path / "f") == tree(tmp_path / "expected")


def processes_of_session(session: int) -> list[int]:
    """The live processes of a session, from /proc."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, _, its_session = stat.read_text().rpartition(")")[2].split()[:4]
            if int(its_session) == session and state != "Z":
                found.append(int(stat.parent.name))
    return found


def test_a_changed_source_is_extracted_again(tmp_path: Path, run: Run) -> None:
    make_ucf(tmp_path / "data")
    run(COMMAND, "--root", tmp_path / "data", "--out", tmp_path / "f")
    make_video(tmp_path / "data/video/Beta/v_Beta_g02_c01.avi", frames=7, seed=99)
    run(COMMAND, "--root", tmp_path / "data", "--out", tmp_path / "f")
    assert ledger.read(tmp_path / "f")["Beta/v_Beta_g02_c01"].stored_frames == 7
    assert len(list((tmp_path / "f/Beta/v_Beta_g02_c01").iterdir())) == 7


def test_bad_and_absent_videos_stop_nothing_and_are_all_accounted_for(tmp_path: Path, run: Run) -> None:
    root = tmp_path / "data"
    make_ucf(root)
    whole = (root / "video/Alpha/v_Alpha_g01_c01.avi").read_bytes()
    (root / "video/Alpha/v_Alpha_g01_c01.avi").write_bytes(whole[: len(whole) // 2])
    (root / "video/Alpha/v_Alpha_g02_c01.avi").unlink()
    shutil.copy(root / "video/Beta/v_Beta_g01_c01.avi", root / "video/Beta/stranger.avi")
    done = run(COMMAND, "--root", root, "--out", tmp_path / "f", code=2)
    assert "1 failed, --max-failures is 0" in error_line(done)
    assert "failed: Alpha/v_Alpha_g01_c01.avi: the file is cut short" in done.stdout
    assert "8 listed videos = 6 ok + 1 failed + 1 missing" in done.stdout
    assert "Beta/stranger.avi" in done.stdout
    entries = ledger.read(tmp_path / "f")
    assert ledger.counts(entries.values()) == {"ok": 6, "failed": 1, "missing": 1}
    assert not (tmp_path / "f/Alpha/v_Alpha_g01_c01").exists()
    failures = (tmp_path / "f/failures.csv").read_text().splitlines()
    assert failures[0] == "class_name,video_id,path,reason"
    assert failures[1].startswith("Alpha,v_Alpha_g01_c01,Alpha/v_Alpha_g01_c01.avi,the file is cut short")
    assert len(failures) == 2
    done = run(COMMAND, "--root", root, "--out", tmp_path / "f", "--max-failures", "15%", code=2)
    assert "1 of 8 listed videos are not under" in error_line(done)
    assert "--allow-missing" in done.stderr
    run(COMMAND, "--root", root, "--out", tmp_path / "f", "--max-failures", "1", "--allow-missing")
    (root / "video/Alpha/v_Alpha_g01_c01.avi").write_bytes(whole)
    run(COMMAND, "--root", root, "--out", tmp_path / "f", "--allow-missing")
    assert not (tmp_path / "f/failures.csv").exists()


@pytest.fixture
def hanging_ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An ffmpeg first on PATH that never ends on v_Beta_g02_c01; the file where it leaves its process id."""
    real = find_ffmpeg()
    (tmp_path / "bin").mkdir()
    script = f"""#!/bin/sh
case "$*" in *v_Beta_g02_c01*) echo $$ >> {tmp_path}/pids; exec sleep 1000;; esac
exec {real} "$@"
"""
    (tmp_path / "bin/ffmpeg").write_text(script)
    (tmp_path / "bin/ffmpeg").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return tmp_path / "pids"


@pytest.mark.parametrize("command", ["preprocess/extract_frames.py", "mindrecord/build.py --from-videos"])
def test_a_video_whose_decoder_hangs_fails_after_its_time_and_the_others_are_done(
    ucf: Path, tmp_path: Path, hanging_ffmpeg: Path, run: Run, command: str
) -> None:
    script, *flags = command.split()
    arguments = [*flags, "--root", ucf, "--out", tmp_path / "out", "--backend", "ffmpeg", "--video-timeout", 2]
    done = run(script, *arguments, code=2, new_process=True)
    assert "failed: Beta/v_Beta_g02_c01.avi: it was not done after 2 s, the limit that --video-timeout sets" in done.stdout
    assert "1 failed, --max-failures is 0" in error_line(done)
    entries = ledger.read(tmp_path / "out")
    assert ledger.counts(entries.values()) == {"ok": 7, "failed": 1, "missing": 0}
    (pid,) = hanging_ffmpeg.read_text().split()  # not run again
    assert gone(int(pid))
    assert not [path for path in (tmp_path / "out").rglob("*") if "v_Beta_g02_c01" in path.name]
    if not flags:
        run(script, *arguments, "--max-failures", 1, new_process=True)


def test_a_time_limit_below_0_is_refused(ucf: Path, tmp_path: Path, run: Run) -> None:
    done = run(COMMAND, "--root", ucf, "--out", tmp_path / "f", "--video-timeout", -1, code=2)
    assert error_line(done) == "error: --video-timeout -1 is not a number of seconds, 0 or more"


def test_only_a_header_that_is_wrong_is_called_so(tmp_path: Path, run: Run) -> None:
    make_video(tmp_path / "data/video/Alpha/a.avi", frames=60)
    make_video(tmp_path / "data/video/Alpha/b.avi", frames=20)
    arguments = ["--dataset", "folder", "--root", tmp_path / "data"]
    said = "another number of frames than their header"
    for i, options in enumerate([["--fps", 5], ["--max-frames", 4], ["--fps", 5, "--max-frames", 4], []]):
        assert said not in run(COMMAND, *arguments, "--out", tmp_path / f"f{i}", *options).stdout
    thinned = ledger.read(tmp_path / "f0")["Alpha/a"]
    assert (thinned.declared_frames, thinned.decoded_frames, thinned.stored_frames) == (60, 60, 12)
    first = ledger.read(tmp_path / "f1")["Alpha/a"]
    assert (first.declared_frames, first.decoded_frames, first.stored_frames) == (60, 0, 4)
    data = (tmp_path / "data/video/Alpha/a.avi").read_bytes()
    for count in (b"avih", b"strh"):  # AVIMAINHEADER's dwTotalFrames, AVISTREAMHEADER's dwLength
        at = data.index(count) + 8 + (16 if count == b"avih" else 32)
        data = data[:at] + (50).to_bytes(4, "little") + data[at + 4 :]
    (tmp_path / "data/video/Alpha/a.avi").write_bytes(data)
    assert f"1 videos decode to {said} says" in run(COMMAND, *arguments, "--out", tmp_path / "g", "--fps", 5).stdout


def test_a_cut_video_keeps_what_it_has_when_asked(tmp_path: Path, run: Run) -> None:
    make_video(tmp_path / "data/video/Alpha/a.avi", frames=60)
    make_video(tmp_path / "data/video/Alpha/b.avi", frames=20)
    whole = (tmp_path / "data/video/Alpha/a.avi").read_bytes()
    (tmp_path / "data/video/Alpha/a.avi").write_bytes(whole[: len(whole) // 2])
    run(COMMAND, "--dataset", "folder", "--root", tmp_path / "data", "--out", tmp_path / "f", "--keep-partial")
    entry = ledger.read(tmp_path / "f")["Alpha/a"]
    assert (entry.status, entry.reason.startswith("the file is cut short")) == ("ok", True)
    assert 0 < entry.stored_frames < 60
    assert len(list((tmp_path / "f/Alpha/a").iterdir())) == entry.stored_frames


def test_fewer_frames_a_second_and_at_most_so_many(ucf: Path, tmp_path: Path, run: Run) -> None:
    run(COMMAND, "--root", ucf, "--out", tmp_path / "f", "--fps", 5, "--max-frames", 4, "--short-side", 24)
    entries = ledger.read(tmp_path / "f").values()
    assert {(e.stored_frames, e.fps, e.frame_width, e.frame_height) for e in entries} == {(4, 5.0, 32, 24)}


def test_both_layouts_hold_the_same_frames_and_pack_into_the_same_shards(
    ucf: Path, frames: Path, records: Path, tmp_path: Path, run: Run
) -> None:
    run(COMMAND, "--root", ucf, "--out", tmp_path / "z", "--layout", "zip")
    assert ledger.read(tmp_path / "z") == ledger.read(frames)
    assert len(list((tmp_path / "z").glob("*/*.zip"))) == 8
    run("mindrecord/build.py", "--frames", tmp_path / "z", "--out", tmp_path / "r")
    for path in records.glob("split-*"):
        assert (tmp_path / "r" / path.name).read_bytes() == path.read_bytes()


def test_names_full_of_signs_and_metadata_that_is_not_utf8_are_no_obstacle(tmp_path: Path, run: Run) -> None:
    name = "-v #1 (a&b);[x]!~@"
    make_video(tmp_path / "data/video/Été" / f"{name}.avi", frames=5)
    make_video(tmp_path / "data/video/Été/other.avi", frames=5)
    run(COMMAND, "--dataset", "folder", "--root", tmp_path / "data", "--out", tmp_path / "f")
    assert len(list((tmp_path / "f/Été" / name).iterdir())) == 5


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--root", "nowhere"), "nowhere does not exist: put the data set there"),
        (("--dataset", "ucf11"), "--dataset ucf11 is not known; did you mean ucf101?"),
        (("--quality", "0"), "--quality 0 is not between 1 and 100"),
        (("--max-failures", "few"), "--max-failures few is neither a count nor a percentage"),
        (("--qualty", "3"), "Unrecognized options: --qualty"),
        (("--workers", "x"), "--workers"),
        (("--layout", "tar"), "invalid choice 'tar' for argument '--layout'"),
        (("--backend", "decord"), "invalid choice 'decord' for argument '--backend'. Expected one of ('pyav', 'ffmpeg')"),
        (("--fps", "-1"), "is not a number of 0 or more"),
        (("--fps", "nan"), "is not a number of 0 or more"),
        (("--workers", "-1"), "--workers -1 is not 0 or more"),
        (("--dataset", "qq"), "--dataset qq is not known. The data sets: ucf101"),
        ((), "data/UCF101 does not exist"),
    ],
)
def test_a_users_mistake_gets_one_line_and_exit_code_2(
    arguments: tuple[str, ...], says: str, tmp_path: Path, run: Run
) -> None:
    assert says in error_line(run(COMMAND, *arguments, code=2))
    assert list(tmp_path.iterdir()) == []


def test_an_output_folder_that_is_something_else_is_left_alone(ucf: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/cat.jpg").write_bytes(b"meow")
    done = run(COMMAND, "--root", ucf, "--out", tmp_path / "photos", code=2)
    assert "photos holds something else" in error_line(done)
    assert [p.name for p in (tmp_path / "photos").iterdir()] == ["cat.jpg"]


def test_a_file_where_a_folder_belongs_is_named(ucf: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "note").write_text("x")
    for out in ("note", "note/frames"):
        done = run(COMMAND, "--root", ucf, "--out", tmp_path / out, code=2)
        assert f"{tmp_path / 'note'} is a file, not a folder for a frames folder" in error_line(done)


def test_frames_of_other_settings_are_not_mixed(ucf: Path, frames: Path, run: Run) -> None:
    done = run(COMMAND, "--root", ucf, "--out", frames, "--short-side", 32, code=2)
    assert "holds frames of short_side 240, not 32 as this run asks for" in error_line(done)


def test_an_empty_split_is_named(tmp_path: Path, run: Run) -> None:
    make_ucf(tmp_path / "data")
    (tmp_path / "data/split/testlist01.txt").write_text("")
    done = run(COMMAND, "--root", tmp_path / "data", "--out", tmp_path / "f", code=2)
    assert "testlist01.txt is empty" in error_line(done)
    assert not (tmp_path / "f").exists()


def test_a_second_writer_is_refused_with_the_first_ones_process(tmp_path: Path) -> None:
    with (
        files.locked(tmp_path / "f"),
        pytest.raises(InputError, match=r"is being written by process [0-9]+ on "),
        files.locked(tmp_path / "f"),
    ):
        pass


@pytest.mark.slow
def test_the_ledger_of_ucf101_mini_counts_what_pyav_decodes(shared: Path, tmp_path: Path, run: Run) -> None:
    root = shared / "data/ucf101-mini"
    run(COMMAND, "--root", root, "--out", tmp_path / "f", "--short-side", 64, "--allow-missing")
    entries = [entry for entry in ledger.read(tmp_path / "f").values() if entry.status == "ok"]
    assert len(entries) == 164
    for entry in entries:
        with av.open(str(root / "video" / entry.path), metadata_errors="ignore") as container:
            assert entry.decoded_frames == entry.stored_frames == sum(1 for _ in container.decode(video=0)), entry.path


def test_segments_of_one_video_hash_it_once(ucf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video = tmp_path / "v_Alpha_g01_c01.avi"  # its own, which no worker of this process has hashed before
    shutil.copy(ucf / "video/Alpha" / video.name, video)
    read: list[Path] = []
    real = files.sha256
    monkeypatch.setattr(files, "sha256", lambda path: read.append(path) or real(path))
    for n in range(3):
        segment = Video(
            class_name="Alpha", video_id=f"part{n}", label=0, path=video.name, flags=(1,), segment_s=(0.1 * n, 0.1 * n + 0.1)
        )
        entry = extract(
            Task(
                video=segment,
                path=video.name,
                videos=video.parent,
                frames=tmp_path,
                layout="dir",
                settings=FrameSettings(short_side=0),
                before=None,
            )
        )
        assert (entry.status, entry.source_sha256) == ("ok", real(video))
    assert read == [video]


FULL_DISK = """
mount -t tmpfs -o size=400k none "$1" || exit 77
"$2" "$3" --root "$4" --out "$1/f"
echo "code $?; half: $(find "$1/f" -name '*.partial' | wc -l); whole: $(find "$1/f" -name 'v_*' | wc -l)"
mount -o remount,size=50m "$1"
"$2" "$3" --root "$4" --out "$1/f" && cp -r "$1/f" "$5"
"""


def test_a_full_disk_stops_it_with_one_line_and_with_room_it_goes_on(ucf: Path, tmp_path: Path, run: Run) -> None:
    small = tmp_path / "small disk"
    small.mkdir()
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", FULL_DISK, "sh"]
    command += [str(small), sys.executable, str(ROOT / COMMAND), str(ucf), str(tmp_path / "f")]
    if shutil.which("unshare") is None:
        pytest.skip("no unshare here, which makes a small disk for this test")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 77 or "unshare:" in done.stderr:
        pytest.skip(f"no small disk can be made here: {done.stderr.strip()}")
    line = f"error: the output: {os.strerror(errno.ENOSPC)}: make room or choose another --out; what was finished is kept"
    assert line in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    state = re.search(r"code (\d+); half: (\d+); whole: (\d+)", done.stdout)
    assert state is not None
    assert state.group(1, 2) == ("2", "0")
    assert 1 <= int(state[3]) < 8
    run(COMMAND, "--root", ucf, "--out", tmp_path / "expected")
    assert tree(tmp_path / "f") == tree(tmp_path / "expected")


def test_a_line_cut_off_by_one_kill_does_not_swallow_what_is_written_before_the_next(
    frames: Path, ucf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "f"
    shutil.copytree(frames, out)
    lines = (out / "ledger.jsonl").read_text().splitlines(keepends=True)
    (out / "ledger.jsonl").write_text("".join(lines[:3]) + lines[3][:40])

    def one_video(function: Callable[[Task], ledger.Entry], tasks: list[Task], *_: object, **__: object) -> Iterator[object]:
        yield function(tasks[5])
        raise KeyboardInterrupt

    monkeypatch.setattr(executors, "run", one_video)
    with pytest.raises(KeyboardInterrupt):
        extract_dataset.main(extract_dataset.Options(root=ucf, out=out))
    assert (out / "ledger.jsonl").read_text() == "".join([*lines[:3], lines[5]])
