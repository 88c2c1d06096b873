"""Windows of a round, with a radio that answers at once."""

from types import SimpleNamespace

import numpy as np
from fake_run import fake_experiment

from base_station.windows import WindowRunner
from protocol.bursts import BurstReport, SoundingBurst, WindowReport
from radio.numerology import DEFAULT_2MSPS


class InstantRadio:
    """Answers every window with the same report but for the window and its bursts."""

    def __init__(self, **report: object) -> None:
        self._report = report

    def arm(self, window, bursts):
        self._window, self._bursts = window, bursts

    def collect(self, timeout_s):
        symbols = {"edge-1": np.ones(300, np.complex64).tobytes()}
        heard = [
            BurstReport(b.client, b.burst_id, b.client in symbols, constellation=symbols.get(b.client, b""))
            for b in self._bursts
        ]
        return WindowReport(self._window, bursts=heard, psd_db=[-90.0] * 256, **self._report)

    def leave_out(self, client):
        raise AssertionError(client)


def runner(radio: InstantRadio, told: list[str]) -> WindowRunner:
    roster = SimpleNamespace(
        warn=told.append, send=lambda *_: None, gather=lambda *_: {}, left_out={}, leave_out=lambda *_: None
    )
    return WindowRunner(radio, roster, DEFAULT_2MSPS, fake_experiment().radio, 1, "session", 2)


def test_what_the_radio_warns_of_is_told():
    told: list[str] = []
    runner(InstantRadio(warnings=["the disk is full"]), told).sound(SoundingBurst("edge-1", 1, 0, 28))
    assert told == ["the disk is full"]


def test_deliveries_the_radio_refused_are_counted_and_told():
    told: list[str] = []
    windows = runner(InstantRadio(refused={"malformed": 2, "delivered twice": 1}), told)
    windows.sound(SoundingBurst("edge-1", 1, 0, 28))
    windows.sound(SoundingBurst("edge-1", 1, 0, 28))
    assert windows.refused == 6
    assert told[0] == "deliveries to the radio were refused: 1 delivered twice, 2 malformed"


def test_every_window_keeps_its_spectrum_and_every_detected_burst_its_picture():
    windows = runner(InstantRadio(), [])
    windows.silent()
    for name in ("edge-1", "edge-2"):
        windows.sound(SoundingBurst(name, 1, 0, 28))
    assert [(s.round_index, s.window_index, s.kind) for s in windows.spectra] == [
        (2, 0, "silent"), (2, 1, "sounding"), (2, 2, "sounding"),
    ]  # fmt: skip
    assert [(b.client, b.detected) for b in windows.bursts] == [("edge-1", True), ("edge-2", False)]
    assert [(s.round_index, s.window_index, s.client) for s in windows.signals] == [(2, 1, "edge-1")]
