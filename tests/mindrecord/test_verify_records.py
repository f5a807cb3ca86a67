from __future__ import annotations

import json
import shutil
from pathlib import Path

from conftest import Run, error_line

from mindrecord import manifest
from mindrecord.row_checks import PACK_AGAIN
from mindrecord.verify import Check, check

COMMAND = "mindrecord/verify.py"
REMEDY = "copy the records folder again, or delete it and pack it again with mindrecord/build.py"


def test_a_sound_pack_says_in_numbers_what_was_checked(pack: Path, run: Run) -> None:
    said = run(COMMAND, pack, "--workers", 1).stdout
    assert "8 files have the sizes and SHA-256 that the manifest says" in said
    assert "8 rows of 8 videos are whole and in order, 180 JPEGs decode to their end" in said
    assert "no group is on both sides of a split, each of 2 classes has as many as the manifest says" in said
    assert said.splitlines()[-3:] == [f"split {split}: 6 train, 2 test" for split in (1, 2, 3)]
    assert (pack / "verified.json").is_file()  # what training with --verify full need not hash again


def test_segments_are_checked_as_parts_of_their_videos(frames: Path, tmp_path: Path, run: Run) -> None:
    run("mindrecord/build.py", "--frames", frames, "--out", tmp_path / "r", "--segment-frames", 16, "--workers", 1)
    packed = manifest.load(tmp_path / "r")
    found = [
        check(Check(folder=tmp_path / "r", shard=shard, class_names=packed.class_names, segment_frames=16))
        for shard in packed.shards
    ]
    assert not any(shard.problems for shard in found)
    assert (sum(shard.rows for shard in found), sum(len(shard.videos) for shard in found)) == (16, 8)
    (shard, *_) = packed.shards
    wrong = check(Check(folder=tmp_path / "r", shard=shard, class_names=packed.class_names, segment_frames=32)).problems
    assert "has frames 0 to 15 of 24, not the next of its video" in wrong[0]


def test_all_damaged_files_are_named_with_the_remedy_and_the_others_are_still_read(pack: Path, run: Run) -> None:
    names = [pack / f"split-{flags}-00000.mindrecord" for flags in ("111", "112", "121", "211")]
    for path in names:
        assert path.is_file()
    names[0].unlink()
    names[1].rename(pack / "mine.mindrecord")
    names[2].write_bytes(names[2].read_bytes()[:-1])
    database = Path(f"{names[3]}.db")
    data = bytearray(database.read_bytes())
    data[-1] ^= 1
    database.write_bytes(data)
    shutil.copy(names[3], pack / "split-222-00000.mindrecord")
    done = run(COMMAND, pack, code=2)
    assert error_line(done).endswith("5 problems in " + f"{pack}, named above with what to do")
    assert sorted(done.stdout.splitlines()[1:]) == sorted(
        [
            f"{names[0]} is missing: {REMEDY}",
            f"{names[1]} was renamed to mine.mindrecord: rename it back, MindRecord keeps names inside",
            f"{names[2]} has {names[2].stat().st_size} bytes, the manifest says {names[2].stat().st_size + 1}: {REMEDY}",
            f"{database} has other bytes than were written to it: {REMEDY}",
            f"{pack / 'split-222-00000.mindrecord'} is not in {pack / 'manifest.json'}: move it out of the folder, "
            "nothing reads it",
        ]
    )


def test_rows_that_differ_from_the_manifest_are_named(pack: Path, run: Run) -> None:
    value = json.loads((pack / "manifest.json").read_text())
    value["class_names"] = ["Alpha", "Gamma"]
    value["class_videos"]["3"]["train"] = [9, 3]
    shard = value["shards"][1]
    shard["frames"] += 1
    (pack / "manifest.json").write_text(json.dumps(value))
    said = run(COMMAND, pack, "--workers", 1, code=2).stdout
    assert f"{shard['file']}: has {shard['frames'] - 1} frames, the manifest says {shard['frames']}: {PACK_AGAIN}" in said
    assert "Beta/v_Beta_g02_c01, row " in said
    assert "has label 1, which is class Gamma" in said
    assert f"split 3 has 3 train videos of Alpha, the manifest says 9: {PACK_AGAIN}" in said


def test_a_shard_that_mindrecord_cannot_read_is_named(pack: Path) -> None:
    packed = manifest.load(pack)
    path = pack / packed.shards[0].file
    path.write_bytes(bytes(path.stat().st_size))
    (problem,) = check(Check(folder=pack, shard=packed.shards[0], class_names=packed.class_names, segment_frames=0)).problems
    assert problem.startswith(f"{path.name} cannot be read: Invalid file, failed to parse header content of file")
    assert problem.endswith(PACK_AGAIN)
    assert "\n" not in problem
