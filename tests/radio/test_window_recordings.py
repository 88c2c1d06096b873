"""IQ of every window: valid SigMF (judged by the ``sigmf`` package) at any moment, nothing twice, never in the way."""

import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from radio_lab import RadioLab, data_burst, lab_experiment, random_blocks, sounding

from protocol.bursts import SoundingBurst, Window
from protocol.errors import DataError
from radio.modem import receive
from radio.numerology import DEFAULT_2MSPS
from radio.sigmf import check_metadata, global_fields
from radio.window_recordings import WindowRecorder

sigmf = pytest.importorskip("sigmf")

SAMPLES = 20_000


def window(round_index: int, index: int) -> Window:
    return Window("lab", round_index, index, "sounding", SAMPLES)


def noise(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=SAMPLES) + 1j * rng.normal(size=SAMPLES)).astype(np.complex64)


def recorder(directory: Path, **radio: object) -> WindowRecorder:
    return WindowRecorder(directory, lab_experiment((20.0,), radio={"record_iq": True, **radio}))


def judged(path: Path) -> "sigmf.SigMFFile":
    """The recording at ``path``; raises if its metadata or its hash is wrong."""
    recording = sigmf.fromfile(path)
    recording.validate()
    return recording


def captured(recording: "sigmf.SigMFFile") -> list[int]:
    return [capture["airtune:window"] for capture in recording.get_captures()]


def test_a_round_is_one_recording_that_holds_every_window(tmp_path):
    burst = sounding("c0", burst_id=9)
    keeping = recorder(tmp_path / "iq")
    assert [keeping.record(window(1, i), [burst], noise(i)) for i in range(3)] == ["", "", ""]
    assert keeping.record(window(2, 0), [], noise(3)) == ""
    keeping.close()
    first, second = (judged(tmp_path / "iq" / f"round-000{i}.sigmf-meta") for i in (1, 2))
    assert np.array_equal(first.read_samples(), np.concatenate([noise(i) for i in range(3)]))
    assert np.array_equal(second.read_samples(), noise(3))
    assert first.get_global_info()["core:sha512"]
    assert [capture["core:sample_start"] for capture in first.get_captures()] == [0, SAMPLES, 2 * SAMPLES]
    annotation = first.get_annotations()[1]
    assert (annotation["core:sample_start"], annotation["core:sample_count"]) == (SAMPLES, SAMPLES)
    assert annotation["core:freq_upper_edge"] - annotation["core:freq_lower_edge"] == pytest.approx(28 * 62.5e3)
    assert msgspec.convert(annotation["airtune:burst"], SoundingBurst) == burst


def test_what_a_radio_cut_out_of_a_window_counts_with_its_own_length(tmp_path):
    keeping = recorder(tmp_path)
    keeping.record(window(1, 0), [sounding("c0")], noise(0)[:7000])
    keeping.record(window(1, 1), [sounding("c0")], noise(1))
    keeping.close()
    recording = judged(tmp_path / "round-0001.sigmf-meta")
    assert [a["core:sample_count"] for a in recording.get_annotations()] == [7000, SAMPLES]
    assert np.array_equal(recording.read_samples(7000), noise(1))


ENDLESS = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from test_window_recordings import noise, recorder, window
keeping = recorder(Path(sys.argv[1]))
for index in range(10_000):
    keeping.record(window(1, index), [], noise(index % 5))
    print(index, flush=True)
"""


def test_a_recorder_killed_in_the_middle_leaves_a_valid_recording_of_all_flushed_windows(tmp_path):
    command = [sys.executable, "-c", ENDLESS, str(tmp_path), str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if int(line) == 6:
                process.kill()
                break
        flushed = 1 + int((process.stdout.read().split() or ["6"])[-1])
    recording = judged(tmp_path / "round-0001.sigmf-meta")
    held = captured(recording)
    assert held == list(range(len(held)))
    assert len(held) in (flushed, flushed + 1)  # killed between flushing one and saying so
    samples = recording.read_samples()
    for index in held:
        assert np.array_equal(samples[index * SAMPLES : (index + 1) * SAMPLES], noise(index % 5))


def test_a_torn_end_is_cut_off_and_a_window_played_again_is_recorded_once(tmp_path):
    earlier = recorder(tmp_path)
    for index in range(3):
        earlier.record(window(1, index), [sounding("c0")], noise(index))
    with (tmp_path / "round-0001.sigmf-data").open("ab") as data:
        data.write(b"torn")
    later = recorder(tmp_path)
    later.record(window(1, 2), [sounding("c0")], noise(7))
    later.close()
    recording = judged(tmp_path / "round-0001.sigmf-meta")
    assert captured(recording) == [0, 1, 2]
    assert len(recording.get_annotations()) == 3
    assert np.array_equal(recording.read_samples(), np.concatenate([noise(0), noise(1), noise(7)]))


def test_a_round_played_again_from_its_start_is_recorded_anew(tmp_path):
    for seed in (1, 2):
        keeping = recorder(tmp_path)
        keeping.record(window(1, 0), [], noise(seed))
    assert np.array_equal(judged(tmp_path / "round-0001.sigmf-meta").read_samples(), noise(2))


def test_a_full_limit_is_told_once_and_what_is_there_stays_valid(tmp_path):
    keeping = recorder(tmp_path, record_iq_limit_mb=1)
    told = [keeping.record(window(1, index), [], noise(index)) for index in range(10)]
    assert told == [*[""] * 6, "IQ is no longer recorded: radio.record_iq_limit_mb = 1 are full", "", "", ""]
    assert captured(judged(tmp_path / "round-0001.sigmf-meta")) == list(range(6))


def test_a_disk_that_refuses_is_told_once(tmp_path):
    (tmp_path / "iq").write_text("in the way")
    keeping = recorder(tmp_path / "iq")
    assert [keeping.record(window(1, i), [], noise(i)) for i in range(2)] == [
        "IQ is no longer recorded: File exists", "",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda meta: meta["global"].pop("core:version"), "core:version is missing"),
        (lambda meta: meta["captures"].reverse(), "captures must be in order"),
        (lambda meta: meta["annotations"][0].update({"core:sample_count": 101}), "reaches beyond its 100 samples"),
        (lambda meta: meta["annotations"][0].update({"core:label": "x" * 21}), "more than 20 letters"),
        (lambda meta: meta["annotations"][0].update({"core:frequency": "loud"}), "core:frequency cannot be 'loud'"),
        (lambda meta: meta["captures"][0].update({"other:field": 1}), "'other:field' is of no namespace"),
        (lambda meta: meta["captures"][0].update({"airtune:gain_db": float("nan")}), "airtune:gain_db is nan"),
        (lambda meta: meta.pop("captures"), "must have global, captures"),
    ],
)
def test_metadata_that_is_not_sigmf_is_refused_before_it_is_written(change, told):
    meta = {
        "global": global_fields(2e6, "a test", "simulated"),
        "captures": [{"core:sample_start": 0}, {"core:sample_start": 50}],
        "annotations": [{"core:sample_start": 0, "core:sample_count": 100}],
    }
    check_metadata(meta, 100, "good")
    change(meta)
    with pytest.raises(DataError, match=told):
        check_metadata(meta, 100, "bad")


def test_a_radio_records_windows_from_which_its_bursts_can_be_received_again(tmp_path):
    experiment = lab_experiment((20.0,), radio={"record_iq": True})
    lab = RadioLab(experiment, iq_directory=tmp_path)
    try:
        lab.hear("silent")
        burst = data_burst("c0", 0, 28, "qpsk-1/2", 6, 12, **lab.corrections("c0"))
        report, _ = lab.hear("data", [burst], [random_blocks(1, 6)])
    finally:
        lab.close()
    recording = judged(tmp_path / "round-0003.sigmf-meta")
    assert [c["airtune:kind"] for c in recording.get_captures()] == ["silent", "sounding", "data"]
    start = recording.get_captures()[-1]["core:sample_start"]
    again = receive(burst, recording.read_samples(start), DEFAULT_2MSPS)
    assert again.blocks == report.bursts[0].blocks == random_blocks(1, 6)
    assert [path.suffix for path in sorted(tmp_path.iterdir())] == [".sigmf-data", ".sigmf-meta"]
