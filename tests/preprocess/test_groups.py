from __future__ import annotations

import pytest

from preprocess.groups import group_by_name, recognised_group


@pytest.mark.parametrize(
    ("dataset", "class_name", "video_id", "group"),
    [
        ("ucf101", "Punch", "v_Punch_g07_c03", "v_punch_g07"),
        ("ucf101", "HandstandPushups", "v_HandStandPushups_g01_c04", "v_handstandpushups_g01"),
        ("ucf101", "Punch", "other", "Punch/other"),
        ("hmdb51", "brush_hair", "April_09_brush_hair_u_nm_np1_ba_goo_0", "april_09"),
        ("hmdb51", "climb_stairs", "50_FIRST_DATES_climb_stairs_f_cm_np1_ba_med_12", "50_first_dates"),
        ("hmdb51", "wave", "50_FIRST_DATES_wave_u_nm_np1_fr_med_36", "50_first_dates"),
        ("hmdb51", "kick", "Trumans_kick_it_kick_f_cm_np1_ri_bad_1", "trumans_kick_it"),
        ("activitynet", "Surfing", "-a_5bXY_3_12", "-a_5bxy"),
        ("kinetics400", "abseiling", "0347ZoDXyP0_000095_000105", "0347zodxyp0"),
        ("moments", "running", "yt-HKk5a3y2E0I_31", "yt-hkk5a3y2e0i"),
        ("folder", "Wave", "clip_1", "Wave/clip_1"),
    ],
)
def test_the_group_is_the_film_that_a_name_tells(dataset: str, class_name: str, video_id: str, group: str) -> None:
    assert group_by_name(dataset, class_name, video_id) == group


@pytest.mark.parametrize(
    ("class_name", "video_id", "group"),
    [
        ("Punch", "v_Punch_g07_c03", "v_punch_g07"),
        ("kick", "Trumans_kick_it_kick_f_cm_np1_ri_bad_1", "trumans_kick_it"),
        ("abseiling", "-0347ZoDXyP_000095_000105", "-0347ZoDXyP"),
        ("Wave", "clip_1", None),
        ("Wave", "clip_1_2", None),
    ],
)
def test_names_of_known_data_sets_are_recognised_in_lists_that_do_not_say_theirs(
    class_name: str, video_id: str, group: str | None
) -> None:
    assert recognised_group(class_name, video_id) == group
