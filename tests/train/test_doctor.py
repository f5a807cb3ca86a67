from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import ROOT, Run

from mindrecord import manifest
from train import ascend_host, doctor
from train.cluster import Cluster
from train.config import load_recipe
from train.findings import ERROR, OK, WARNING, Finding, cause

RECIPE = ROOT / "train/recipes/quick_cpu.yaml"
ONE, EIGHT = (
    Cluster(devices=1, hosts=1, host_rank=0, address="127.0.0.1", port=8118, bind=False),
    Cluster(devices=8, hosts=1, host_rank=0, address="127.0.0.1", port=8118, bind=False),
)


def test_a_machine_that_can_train_gets_a_line_for_each_thing(
    records: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEVICE_TARGET", "CPU")
    done = run("train/doctor.py", "--records", records, "--recipe", RECIPE, "--split", 2, code=2)
    states = {line[9:20].strip(): line.split()[0] for line in done.stdout.splitlines()[:-1] if line[8:9] == " "}
    for what in ("Python", "libraries", "device", "cores", "memory", "port", "records"):
        assert states[what] == OK, done.stdout
    assert states["batch"] == ERROR
    said = "6 training videos in batches of 1 x 16: 1 steps an epoch: --batch-size 1 or less"
    assert f"error    batch      {said}" in done.stdout
    assert done.stdout.splitlines()[-1].endswith(" warnings")


def test_damaged_records_are_an_error_that_names_the_file(pack: Path) -> None:
    shard = pack / manifest.load(pack).shards[0].file
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    found = doctor.whole(pack)
    assert found.state == ERROR
    assert f"{shard} has other bytes than were written to it" in found.text


@pytest.mark.parametrize(
    ("installed", "states"),
    [
        ({"python": "3.11.2", "numpy": "1.26.4", "mindspore": "2.10.0"}, [OK, OK]),
        ({"python": "3.13.0", "numpy": "1.26.4", "mindspore": "2.10.0"}, [ERROR, OK]),
        ({"python": "3.12.1", "numpy": "2.1.0", "mindspore": "2.10.0"}, [OK, ERROR, WARNING]),
        ({"python": "3.12.1", "numpy": "1.26.4"}, [OK, ERROR]),
        ({"python": "3.12.1", "numpy": "1.26.4", "mindspore": "2.9.0"}, [OK, WARNING]),
    ],
)
def test_the_libraries_are_compared_with_the_lock_file(installed: dict[str, str], states: list[str]) -> None:
    locked = {"numpy": "1.26.4", "mindspore": "2.10.0"}
    assert [finding.state for finding in doctor.libraries(installed, locked)] == states


def test_every_library_of_requirements_in_is_locked() -> None:
    locked = doctor.locked_versions()
    assert locked["mindspore"] == "2.10.0"
    assert {"numpy", "simplejpeg", "pyyaml", "pillow"} <= locked.keys()


@pytest.mark.parametrize(
    ("found", "state", "says"),
    [
        (ascend_host.enough([Path("/dev/davinci0")], ONE), OK, "1 NPUs here, 1 wanted"),
        (ascend_host.enough([Path("/dev/davinci0")], EIGHT), ERROR, "1 NPUs here, 8 wanted: set DEVICES"),
        (ascend_host.shared_library("libnone.so"), ERROR, "libnone.so: cannot open shared object file"),
        (doctor.cores(192, EIGHT, True), OK, "192 for 8 ranks on this host"),
        (doctor.cores(16, EIGHT, True), WARNING, "may wait for data"),
        (doctor.cores(16, EIGHT, False), OK, "16 for 8 ranks"),
        (doctor.cores(4, EIGHT, False), ERROR, "set DEVICES to at most that"),
        (doctor.disk(Path("work"), 10**9), WARNING, "1 GB free for work"),
        (doctor.disk(Path("work"), 10**11), OK, "100 GB free for work"),
    ],
)
def test_a_finding_says_what_is_there_and_what_to_do(found: Finding, state: str, says: str) -> None:
    assert found.state == state
    assert says in str(found)
    assert bool(found.remedy) == (state != OK)


def test_batches_that_wait_have_to_fit_the_memory() -> None:
    recipe = load_recipe(RECIPE)  # 16 clips of 16 x 56 x 56
    queued = 8 * 16 * 16 * 16 * 56 * 56 * 3
    assert doctor.memory(recipe, EIGHT, queued).state == OK
    assert doctor.memory(recipe, EIGHT, queued - 1).state == ERROR


def test_a_batch_is_judged_by_the_steps_of_an_epoch(records: Path) -> None:
    packed = replace(manifest.load(records), class_videos={"1": {"train": [70] * 51, "test": [30] * 51}})  # as HMDB51
    recipe = replace(load_recipe(RECIPE), batch_size=128)
    found = doctor.batch(packed, "1", recipe, EIGHT)
    assert found.state == WARNING
    assert "3570 training videos in batches of 8 x 128: 4 steps an epoch" in str(found)
    assert "--batch-size 44" in found.remedy
    assert doctor.batch(packed, "1", recipe, ONE).state == OK


def test_a_port_that_is_taken_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = replace(ONE, port=server.getsockname()[1])
        assert doctor.port(taken).state == ERROR
        assert doctor.port(replace(taken, hosts=2, host_rank=1, address="192.0.2.1")).state == OK  # it is host 0's to listen


@pytest.mark.parametrize(
    ("address", "host_rank", "says"),
    [
        ("no-such-host.invalid", 0, "MASTER_ADDR=no-such-host.invalid is not known here"),
        ("127.0.0.1", 1, "MASTER_ADDR=127.0.0.1 is this host, HOST_RANK=1: give host 0's"),
        ("192.0.2.1", 0, "MASTER_ADDR=192.0.2.1 is not this host, HOST_RANK=0: give an address that it has"),
    ],
)
def test_an_address_that_is_not_host_0s_is_an_error(address: str, host_rank: int, says: str) -> None:
    found = doctor.port(replace(ONE, hosts=2, host_rank=host_rank, address=address))
    assert found.state == ERROR
    assert says in f"{found.text}: {found.remedy}"


def test_what_cann_s_python_packages_lack_is_named(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """By stand-ins, of which one wants a module that is not here."""
    for name in ascend_host.PACKAGES:
        (tmp_path / f"{name}.py").write_text("import sympy_not_here\n" if name == "te" else "")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("DEVICE_TARGET", "Ascend")
    done = run("train/doctor.py", code=2, new_process=True)
    said = "Python package te cannot be imported (ModuleNotFoundError: No module named 'sympy_not_here')"
    assert f"error    CANN       {said}: sh scripts/setup.sh requirements.lock requirements-ascend.lock" in done.stdout
    if not Path("/dev/davinci_manager").exists():
        assert (
            "error    device     not so on rank 0: MindSpore computes on Ascend "
            "(libge_runner.so: cannot open shared object file: No such file or directory)"
        ) in done.stdout


def test_python_packages_that_are_not_there_want_cann() -> None:
    found = ascend_host.python_packages(["no_such_package"])
    assert found
    assert found.remedy == ascend_host.SET_ENV
    assert ascend_host.python_packages(["json"]) is None


@pytest.mark.parametrize(
    ("info", "state", "says"),
    [
        ("Version=9.1.0\n", OK, "9.1.0; MindSpore 2.10 was built with 9.1"),
        ("# of the compiler\nVersion=8.5.1\n", OK, "8.5.1"),
        ("Version=8.2.RC1\n", WARNING, "8.2.RC1; MindSpore 2.10 was built with 9.1: 8.5, 9.0 are accepted too"),
        (None, ERROR, "holds no CANN: install CANN 9.1"),
    ],
)
def test_cann_s_version_is_compared_with_the_wheel_s(info: str | None, state: str, says: str, tmp_path: Path) -> None:
    if info is not None:
        (tmp_path / "compiler").mkdir()
        (tmp_path / "compiler/version.info").write_text(info)
    found = ascend_host.version(str(tmp_path))
    assert found.state == state
    assert says in str(found)


@pytest.mark.parametrize(
    ("given", "reserved", "state"),
    [
        ("32768\t60999\n", "\n", WARNING),
        ("32768\t60999\n", "8080,59999-60031\n", OK),
        ("32768\t60999\n", "60000-60030\n", WARNING),
        ("10000\t59999\n", "\n", OK),
    ],
)
def test_the_ports_of_hccl_are_to_be_reserved(given: str, reserved: str, state: str, tmp_path: Path) -> None:
    (tmp_path / "ip_local_port_range").write_text(given)
    (tmp_path / "ip_local_reserved_ports").write_text(reserved)
    assert ascend_host.hccl_ports(settings=tmp_path).state == state
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
        assert ascend_host.hccl_ports(range(port, port + 1), tmp_path).state == ERROR


def test_a_file_of_a_device_that_may_not_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npus = [tmp_path / "davinci0", tmp_path / "davinci1"]
    monkeypatch.setattr(ascend_host.os, "access", lambda path, _: path == npus[0])
    assert "davinci1 may not be read and written by this user: add the user to the group HwHiAiUser" in str(
        ascend_host.permitted(npus)
    )
    assert ascend_host.permitted(npus[:1]).state == OK


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (
            "[WARNING] ME: noise\nTraceback (most recent call last):\n  raise ValueError: no\nKeyError: 'a'\n",
            "KeyError: 'a'",
        ),
        ("x.y.OwnError: why\n\n---\n- C++ Call Stack:\n---\nmindspore/ms_context.cc:291 Set\n", "OwnError: why"),
        ("RuntimeError: \n------\n- The cause.\n------\nat a.cc:1", "RuntimeError: - The cause."),
        ("RuntimeError: not\nLoad dynamic library: libx.so failed. liby.so: no such file\n", "liby.so: no such file"),
        ("Segmentation fault\n", "Segmentation fault"),
        ("", "it was killed"),
    ],
)
def test_the_cause_of_an_error_is_not_the_end_of_a_call_stack(said: str, line: str) -> None:
    assert cause(said) == line


def test_two_ranks_are_tried_together_and_a_device_that_fails_is_named_with_its_cause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DEVICE_TARGET", "CPU")
    two = replace(ONE, devices=2)
    assert [str(finding) for finding in doctor.device(two, "CPU")] == [
        "ok       device     MindSpore computes on CPU, on each of 2 ranks",
        "ok       device     AllReduce adds up, on each of 2 ranks",
        "ok       device     a training step works, fed, in float32, on each of 2 ranks",
    ]
    monkeypatch.setattr(doctor, "TRY", Path("no_such_script.py"))
    (found,) = doctor.device(ONE, "CPU")
    assert "not so on rank 0: MindSpore computes on CPU" in str(found)
    assert "can't open file" in str(found)
