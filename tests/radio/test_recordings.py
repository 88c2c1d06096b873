"""IQ that is kept or watched: SigMF recordings of failed bursts, the live view; never in the way of the round."""

import hashlib
import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
import zmq
from radio_lab import RadioLab, data_burst, lab_experiment, random_blocks, sounding

from protocol.bursts import Burst, BurstReport, DataBurst, Window
from protocol.errors import AddressInUseError, ConfigurationError
from radio.limits import SILENT_SAMPLES
from radio.modem import receive, spectrum_db
from radio.modem.layout import burst_layout
from radio.numerology import DEFAULT_2MSPS
from radio.processes.live_spectrum import MAX_SAMPLES, LiveSpectrum
from radio.recordings import FailedBursts, recording_name

REQUIRED = {"core:datatype": str, "core:version": str}
GLOBAL = {
    **REQUIRED, "core:sample_rate": float, "core:num_channels": int, "core:sha512": str, "core:description": str,
    "core:recorder": str, "core:hw": str, "core:extensions": list,
}  # fmt: skip
CAPTURE = {"core:sample_start": int, "core:global_index": int, "core:frequency": float}
ANNOTATION = {
    "core:sample_start": int, "core:sample_count": int, "core:freq_lower_edge": float, "core:freq_upper_edge": float,
    "core:generator": str, "core:label": str, "core:comment": str,
}  # fmt: skip


def check_segment(segment: dict, fields: dict[str, type], namespaces: set[str]) -> None:
    """Names and types of the core namespace as in the SigMF 1.0 specification; others must be declared."""
    for key, value in segment.items():
        namespace, _, name = key.partition(":")
        assert name, key
        if namespace == "core":
            assert isinstance(value, fields[key]) or (fields[key] is float and isinstance(value, int)), key
            assert not isinstance(value, int) or value >= 0, key
        else:
            assert namespace in namespaces, key


def check_sigmf(meta_path: Path) -> tuple[dict, np.ndarray]:
    """The metadata and samples of a recording that keeps the rules of SigMF 1.0."""
    meta = json.loads(meta_path.read_text("utf-8"))
    data = meta_path.with_suffix(".sigmf-data").read_bytes()
    assert set(meta) == {"global", "captures", "annotations"}
    assert set(REQUIRED) <= set(meta["global"])
    for extension in meta["global"]["core:extensions"]:
        assert {type(extension[k]) for k in ("name", "version")} == {str}
        assert isinstance(extension["optional"], bool)
    namespaces = {extension["name"] for extension in meta["global"]["core:extensions"]}
    check_segment(meta["global"], GLOBAL, namespaces)
    assert meta["global"]["core:datatype"] == "cf32_le"
    assert meta["global"]["core:sha512"] == hashlib.sha512(data).hexdigest()
    for segments, fields in ((meta["captures"], CAPTURE), (meta["annotations"], ANNOTATION)):
        for segment in segments:
            check_segment(segment, fields, namespaces)
        starts = [segment["core:sample_start"] for segment in segments]
        assert starts == sorted(starts)
    samples = np.frombuffer(data, "<c8")
    for annotation in meta["annotations"]:
        assert annotation["core:sample_start"] + annotation["core:sample_count"] <= len(samples)
        assert annotation["core:freq_lower_edge"] < annotation["core:freq_upper_edge"]
        assert len(annotation["core:label"]) <= 20
    return meta, samples


def window(index: int) -> Window:
    return Window("lab", 3, index, "data", 2**16)


def failed_report(burst: Burst, start: float = 5000.0) -> BurstReport:
    return BurstReport(burst.client, burst.burst_id, True, start_sample=start, blocks=[b"x", None, b"y"])


def branch(seed: int, count: int = 20_000) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=count) + 1j * rng.normal(size=count)).astype(np.complex64)


BURST = data_burst("c0", 4, 7, "qpsk-1/2", 3, 77)


def keeper(directory: Path, **radio: object) -> FailedBursts:
    return FailedBursts(directory, lab_experiment((20.0,), radio=radio))


def test_a_failed_burst_is_kept_with_its_surroundings_and_all_about_it(tmp_path):
    samples = branch(1)
    assert keeper(tmp_path / "iq").keep(window(7), BURST, failed_report(BURST), samples) == ""
    meta, kept = check_sigmf(tmp_path / "iq" / "round-0003_client-c0_window-07.sigmf-meta")
    decimation, length = 4, burst_layout(BURST, DEFAULT_2MSPS).samples
    first = (5000 - SILENT_SAMPLES) // decimation
    assert np.array_equal(kept, samples[first : 1250 + length + SILENT_SAMPLES // decimation])
    assert meta["global"]["core:sample_rate"] == 500e3
    assert meta["global"]["core:hw"] == "simulated"
    (capture,), (annotation,) = meta["captures"], meta["annotations"]
    assert capture == {
        "core:sample_start": 0, "core:global_index": first, "core:frequency": 2.4e9 + DEFAULT_2MSPS.centre_hz(4, 7),
    }  # fmt: skip
    assert annotation["core:sample_start"] == 1250 - first
    assert annotation["core:sample_count"] == length
    assert annotation["core:freq_upper_edge"] - annotation["core:freq_lower_edge"] == pytest.approx(7 * 62.5e3)
    assert annotation["core:comment"] == "1 of 3 blocks failed"
    assert (annotation["airtune:client"], annotation["airtune:mcs"]) == ("c0", "qpsk-1/2")
    assert (annotation["airtune:burst_id"], annotation["airtune:window"]) == (77, 7)
    assert msgspec.convert(annotation["airtune:burst"], DataBurst) == BURST


def test_a_burst_that_was_not_detected_is_kept_with_the_whole_branch(tmp_path):
    burst, samples = sounding("c0"), branch(2)
    keeper(tmp_path).keep(window(1), burst, BurstReport("c0", 1, False), samples)
    meta, kept = check_sigmf(tmp_path / "round-0003_client-c0_window-01.sigmf-meta")
    assert np.array_equal(kept, samples)
    assert meta["annotations"][0]["core:comment"].startswith("not detected")
    assert meta["annotations"][0]["airtune:mcs"] == ""


def test_a_burst_that_arrived_whole_is_not_kept(tmp_path):
    report = BurstReport("c0", 1, True, blocks=[b"x", b"y"])
    assert keeper(tmp_path / "iq").keep(window(1), BURST, report, branch(3)) == ""
    assert not (tmp_path / "iq").exists()


def test_several_decoders_keep_no_more_than_the_limit_together(tmp_path):
    keepers = [keeper(tmp_path, keep_failed_iq_limit=3) for _ in range(2)]
    for index in range(6):
        keepers[index % 2].keep(window(index), BURST, failed_report(BURST), branch(index))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        recording_name(3, "c0", index) + suffix for index in range(3) for suffix in (".sigmf-data", ".sigmf-meta")
    )


def test_a_round_played_again_replaces_its_recordings_at_the_limit(tmp_path):
    for seed in (4, 5):
        keeper(tmp_path, keep_failed_iq_limit=1).keep(window(2), BURST, failed_report(BURST), branch(seed))
    _, kept = check_sigmf(tmp_path / "round-0003_client-c0_window-02.sigmf-meta")
    assert np.array_equal(kept[:10], branch(5)[994:1004])


def test_a_disk_that_refuses_is_told_once_and_leaves_nothing(tmp_path):
    (tmp_path / "iq").write_text("in the way")
    failed = keeper(tmp_path / "iq")
    warnings = [failed.keep(window(i), BURST, failed_report(BURST), branch(i)) for i in range(2)]
    assert warnings == ["IQ of failed bursts is no longer kept: File exists", ""]


def test_a_recording_is_there_whole_or_not_at_all(tmp_path, monkeypatch):
    meta_path = tmp_path / "round-0003_client-c0_window-02.sigmf-meta"
    original = Path.replace

    def full_at_the_second(self: Path, target: Path) -> Path:
        if target == meta_path:
            raise OSError(28, "No space left on device")
        return original(self, target)

    monkeypatch.setattr(Path, "replace", full_at_the_second)
    warning = keeper(tmp_path).keep(window(2), BURST, failed_report(BURST), branch(1))
    assert "No space left on device" in warning
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    directory = tmp_path_factory.mktemp("lab")
    radio = {"keep_failed_iq": True, "harq": "none", "spectrum_address": f"ipc://{directory}/live"}
    lab = RadioLab(lab_experiment((3.0, 20.0), radio=radio), iq_directory=directory / "iq")
    yield lab
    lab.close()


def test_a_burst_lost_on_the_air_can_be_received_again_from_its_recording(lab):
    lost = data_burst("c0", 0, 12, "16qam-1/2", 6, 11, **lab.corrections("c0"))
    heard = data_burst("c1", 14, 12, "qpsk-1/2", 6, 12, **lab.corrections("c1"))
    report, _ = lab.hear("data", [lost, heard], [random_blocks(1, 6), random_blocks(2, 6)])
    first, second = report.bursts
    assert first.detected
    assert None in first.blocks
    assert None not in second.blocks
    address = lab.experiment.radio.spectrum_address.removeprefix("ipc://")
    (meta_path,) = (Path(address).parent / "iq").glob("*.sigmf-meta")
    meta, samples = check_sigmf(meta_path)
    annotation = meta["annotations"][0]
    again = receive(msgspec.convert(annotation["airtune:burst"], DataBurst), samples, DEFAULT_2MSPS)
    assert again.detected
    decimation = 2e6 / meta["global"]["core:sample_rate"]
    start = decimation * meta["captures"][0]["core:global_index"]
    assert annotation["airtune:detected"]
    assert again.start_sample + start == pytest.approx(first.start_sample, abs=0.5)
    assert again.snr_db == pytest.approx(first.snr_db, abs=0.3)


def test_whoever_listens_sees_the_windows_of_a_running_radio(lab):
    with zmq.Context() as context, context.socket(zmq.SUB) as listener:
        listener.subscribe(b"")
        listener.connect(lab.experiment.radio.spectrum_address)
        for _ in range(20):  # the first windows may pass before the subscription has arrived
            report, _ = lab.hear("sounding", [sounding("c1", burst_id=5)])
            if listener.poll(250):
                break
        samples = np.frombuffer(listener.recv(), np.complex64)
    assert 5000 < len(samples) <= MAX_SAMPLES
    assert np.mean(np.abs(spectrum_db(samples)[40:90] - np.array(report.psd_db)[40:90])) < 3.0


def test_a_disk_that_refuses_is_told_once_for_all_decoders_and_the_bursts_are_reported(lab):
    directory = Path(lab.experiment.radio.spectrum_address.removeprefix("ipc://")).parent / "iq"
    if directory.exists():
        directory.rename(directory.with_name("earlier"))
    directory.write_text("in the way")
    contents = [random_blocks(1, 6), random_blocks(2, 6)]
    warnings = []
    for lost in ("c0", "c1"):  # a decoder each
        # The carrier of the lost one is further off than a receiver looks.
        bursts = [
            data_burst(f"c{i}", 14 * i, 12, "qpsk-1/2", 6, 20 + i, cfo_correction_hz=9e3 if lost == f"c{i}" else 0.0)
            for i in range(2)
        ]
        report, _ = lab.hear("data", bursts, contents)
        assert [burst.detected for burst in report.bursts] == [lost != "c0", lost != "c1"]
        warnings.append(report.warnings)
    assert warnings == [["IQ of failed bursts is no longer kept: File exists"], []]


def test_a_live_view_shows_the_middle_of_a_window():
    with zmq.Context() as context, context.socket(zmq.SUB) as listener:
        port = listener.bind_to_random_port("tcp://127.0.0.1")
        listener.unbind(f"tcp://127.0.0.1:{port}")
        live = LiveSpectrum(f"tcp://127.0.0.1:{port}")
        listener.subscribe(b"")
        listener.connect(f"tcp://127.0.0.1:{port}")
        samples = np.arange(MAX_SAMPLES + 100).astype(np.complex64)
        while not listener.poll(20):
            live.publish(samples)
        assert np.array_equal(np.frombuffer(listener.recv(), np.complex64), samples[50:-50])


def test_an_address_of_the_live_view_that_is_taken_is_told_before_the_run_starts():
    with zmq.Context() as context, context.socket(zmq.PUB) as other:
        address = f"tcp://127.0.0.1:{other.bind_to_random_port('tcp://127.0.0.1')}"
        with pytest.raises(AddressInUseError, match=f"radio.spectrum_address {address}"):
            RadioLab(lab_experiment((20.0,), radio={"spectrum_address": address}))


def test_a_radio_without_samples_refuses_to_keep_or_show_them():
    for radio in ({"keep_failed_iq": True}, {"record_iq": True}, {"spectrum_address": "tcp://127.0.0.1:5555"}):
        with pytest.raises(ConfigurationError, match="need samples"):
            RadioLab(lab_experiment((20.0,), "abstract", radio=radio))
