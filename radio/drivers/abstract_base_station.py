"""The base station's radio without samples: client radios hand over their blocks, ``radio.abstract`` decides."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from functools import cached_property

import msgspec
import numpy as np
import zmq
from numpy.typing import NDArray

from protocol.bursts import Burst, DataBurst, Window, WindowReport
from protocol.configuration import Experiment
from protocol.errors import AirtuneError, ConfigurationError, RadioError
from radio.abstract.delivery import DELIVERY_LIMIT, Delivery, read_delivery
from radio.abstract.ideal import IdealLink
from radio.abstract.link import AbstractLink, rb_noise_db
from radio.channel.medium import check_medium
from radio.drivers.faults import without_lost_blocks
from radio.limits import check_expected, experiment_numerology
from radio.medium_socket import bind_medium
from radio.modem.layout import check_blocks
from radio.modem.spectrum import SPECTRUM_BINS

_QUEUED_DELIVERIES = 256


class AbstractBaseStationRadio:
    """Implements ``radio.interface.BaseStationRadio``; for one thread at a time."""

    def __init__(self, experiment: Experiment) -> None:
        """Listen for client radios.

        Raises AddressInUseError if ``clients.radio_address`` is taken, ConfigurationError on an unknown sample rate, a
        channel that cannot be, or a key that only samples can follow.
        """
        channel = experiment.channel
        if channel.inverted_fraction > 0.0 or channel.impairments != "none":
            raise ConfigurationError(
                'radio.driver = "abstract": channel.inverted_fraction and channel.impairments act on samples, which it '
                'has not; use "simulated"'
            )
        if experiment.radio.keeps_iq or experiment.radio.spectrum_address is not None:
            raise ConfigurationError(
                'radio.driver = "abstract": radio.keep_failed_iq, radio.record_iq and radio.spectrum_address need '
                'samples, which it has not; use "simulated"'
            )
        self._numerology = experiment_numerology(experiment)
        check_medium(experiment)
        self._experiment = experiment
        self._rb_noise = 10.0 ** (rb_noise_db(experiment, self._numerology) / 10.0)
        ideal = experiment.tsfa.allocation == "ideal"
        self._link = (IdealLink if ideal else AbstractLink)(experiment, self._numerology)
        self._window: Window | None = None
        self._bursts: dict[str, Burst] = {}
        self._delivered: dict[str, Delivery] = {}
        self._left_out: set[str] = set()
        self._refused: Counter[str] = Counter()
        self._medium = zmq.Context.instance().socket(zmq.ROUTER)
        self._medium.setsockopt(zmq.MAXMSGSIZE, DELIVERY_LIMIT)
        self._medium.setsockopt(zmq.RCVHWM, _QUEUED_DELIVERIES)
        self._medium.setsockopt(zmq.LINGER, 0)
        try:
            bind_medium(self._medium, experiment.clients.radio_address)
        except BaseException:
            self._medium.close()
            raise
        self._address = str(self._medium.getsockopt_string(zmq.LAST_ENDPOINT))

    @property
    def radio_address(self) -> str:
        """Where client radios hand over their bursts."""
        return self._address

    @property
    def identity(self) -> dict[str, str]:
        """See ``BaseStationRadio``."""
        return {}

    def arm(self, window: Window, bursts: Sequence[Burst]) -> None:
        """See ``BaseStationRadio``."""
        self._check_open()
        if self._window is not None:
            raise RadioError(f"window {self._window.index} is still armed: collect it first")
        check_expected(bursts, self._numerology)
        self._window, self._bursts = window, {burst.client: burst for burst in bursts}
        self._delivered, self._left_out = {}, set()

    def collect(self, timeout_s: float) -> WindowReport:
        """See ``BaseStationRadio``."""
        self._check_open()
        if self._window is None:
            raise RadioError("no window is armed")
        began = time.monotonic()
        while not self._bursts.keys() <= self._left_out | self._delivered.keys():
            left_ms = round(1e3 * (began + timeout_s - time.monotonic()))
            # Looking is much cheaper than polling.
            waits = self._medium.getsockopt(zmq.EVENTS) & zmq.POLLIN
            if left_ms <= 0 or not (waits or self._medium.poll(left_ms)):
                raise RadioError(f"window {self._window.index} did not close within {timeout_s:g} s")
            self._take(self._medium.recv_multipart(), self._window)
        wait_s = time.monotonic() - began
        window, self._window = self._window, None
        report = msgspec.structs.replace(self._report(window, wait_s), refused=dict(self._refused))
        self._refused.clear()
        return report

    def leave_out(self, client: str) -> None:
        """See ``BaseStationRadio``."""
        self._check_open()
        self._left_out.add(client)

    def close(self) -> None:
        """See ``BaseStationRadio``."""
        self._window = None
        self._medium.close()

    def _take(self, frames: Sequence[bytes], window: Window) -> None:
        delivery = read_delivery(frames[-1]) if len(frames) == 2 else None
        if delivery is None:
            self._refused["malformed"] += 1
        elif delivery.window != window:
            self._refused["another window"] += 1
        elif delivery.client not in self._bursts or delivery.client in self._left_out:
            self._refused["not expected"] += 1
        elif delivery.client in self._delivered:
            self._refused["delivered twice"] += 1
        elif not _fits(delivery):
            self._refused["impossible blocks"] += 1
        else:
            self._delivered[delivery.client] = delivery

    def _report(self, window: Window, wait_s: float) -> WindowReport:
        began = time.monotonic()
        reports = []
        power = self._rb_noise.copy()
        for client, burst in self._bursts.items():
            delivery = self._delivered.get(client)
            # A burst other than the granted one is a stranger to the receiver: it finds nothing.
            sent = delivery.blocks if delivery is not None and delivery.burst == burst else None
            reports.append(without_lost_blocks(self._experiment, window, self._link.report(window, burst, sent)))
            if sent is not None:
                place = slice(burst.rb_start, burst.rb_start + burst.rb_count)
                power[place] += 10.0 ** (self._link.received_db(window, burst) / 10.0)
        noise_db: list[float] = []
        psd_db = self._spectrum_db(power)
        if window.kind == "silent":
            from radio.abstract.sounding import measured_silence  # numba, as in the link

            noise_db, psd_db = measured_silence(self._experiment, window, self._numerology)
        return WindowReport(
            window=window,
            bursts=reports,
            noise_db=noise_db,
            psd_db=psd_db,
            lost=sorted(self._bursts.keys() - self._delivered.keys()),
            stage_s={"wait": wait_s, "ether": 0.0, "flowgraph": 0.0, "decode": time.monotonic() - began},
        )

    @cached_property
    def _rb_of_bin(self) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Which bins of a spectrum lie in the band, and in which RB."""
        bins_hz = (np.arange(SPECTRUM_BINS) / SPECTRUM_BINS - 0.5) * self._numerology.sample_rate_hz
        low_hz, _ = self._numerology.edges_hz(0, self._numerology.rb_total)
        rb = np.floor((bins_hz - low_hz) / self._numerology.rb_bandwidth_hz).astype(np.int64)
        return (rb >= 0) & (rb < self._numerology.rb_total), np.clip(rb, 0, self._numerology.rb_total - 1)

    def _spectrum_db(self, rb_power: NDArray[np.float64]) -> list[float]:
        """Power per bin of a spectrum that is flat within each RB, noise beyond the band."""
        inside, rb = self._rb_of_bin
        per_bin = np.where(inside, rb_power[rb], rb_power.min())
        share = self._numerology.sample_rate_hz / SPECTRUM_BINS / self._numerology.rb_bandwidth_hz
        levels: list[float] = (10.0 * np.log10(per_bin * share)).tolist()
        return levels

    def _check_open(self) -> None:
        if self._medium.closed:
            raise RadioError("this base station radio is closed")


def _fits(delivery: Delivery) -> bool:
    """Whether the blocks are those of the burst they are said to be of."""
    try:
        if isinstance(delivery.burst, DataBurst):
            check_blocks(delivery.burst, delivery.blocks)
    except AirtuneError:
        return False
    return True
