"""One burst by itself: spectrum, constellation, soft bits, channel, SINR and outcome, as PNG or as a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from matplotlib import rcParams
from numpy.typing import NDArray

from base_station.report.burst_panels import (
    constellation_reach,
    draw_channel,
    draw_constellation,
    draw_sinr,
    draw_soft_bits,
    draw_spectrum,
)
from base_station.report.drawing import Canvas, print_style, report_style
from base_station.report.palette import ClientStyle, client_styles
from base_station.report.received import ReceivedBurst, received_bursts
from base_station.report.tables import bits, number
from base_station.store.records import SpectrumRecord
from base_station.store.run_store import RunStore
from base_station.store.signals import unpacked
from radio.numerology import Numerology, numerology_at
from radio.recordings import RECORDINGS, recording_name
from radio.sigmf import META_SUFFIX

_OTHERS_STRENGTH, _OWN_STRENGTH = 0.15, 0.45


@dataclass(frozen=True)
class BurstPage:
    """A burst with what surrounds it; ``outcome`` are pairs of label and text."""

    run: str
    burst: ReceivedBurst
    neighbours: Sequence[ReceivedBurst]
    """The other bursts of its window."""
    spectrum: SpectrumRecord | None
    numerology: Numerology
    styles: dict[str, ClientStyle]
    passes: int
    """ARQ passes of the client in the round."""
    recording: Path | None
    """Metadata of the burst's IQ, if that was kept."""
    iq: bool
    """Whether the run's radio sends samples."""
    sounded_sinr_db: NDArray[np.float64]
    """Per RB of the burst, at full band and full power, as the round's sounding measured it; empty if not heard."""

    @property
    def title(self) -> str:
        """Which burst it is."""
        record = self.burst.record
        return f"{record.client}, round {record.round_index}, window {record.window_index}: {record.kind}"

    @property
    def psd_db(self) -> NDArray[np.float64]:
        """Power spectral density of the window, dB per bin; empty if none was kept."""
        return unpacked("psd", self.spectrum.psd if self.spectrum is not None else b"")

    @property
    def outcome(self) -> list[tuple[str, str]]:
        """What became of it."""
        lines = outcome_lines(self.burst, self.passes, self.numerology, self.iq)
        if not self.iq:
            return [*lines, ("IQ", "no IQ: losses drawn")]
        return [*lines, ("IQ", "kept")] if self.recording is not None else lines

    def png(self) -> bytes:
        """The picture as a PNG file."""
        with print_style():
            return self._drawing(self.title).png()

    def html(self) -> bytes:
        """The picture on a page of its own, without any external resource."""
        environment = jinja2.Environment(
            loader=jinja2.PackageLoader("base_station.report", "templates"), autoescape=True, trim_blocks=True,
            lstrip_blocks=True, undefined=jinja2.StrictUndefined,
        )  # fmt: skip
        with report_style():
            svg = self._drawing("").svg("burst", f"Pictures of the burst of {self.title}")
        template = environment.get_template("burst.html.j2")
        return template.render(run=self.run, title=self.title, svg=svg).encode()

    def _drawing(self, title: str) -> Canvas:
        canvas = Canvas(6.6, 2, 3)
        if title:
            canvas.title(title)
        spectrum, constellation, soft_bits, channel, sinr, outcome = canvas.axes
        self._draw_spectrum(spectrum)
        if not self.iq:
            for axes in (constellation, soft_bits, channel):
                _say(axes, "no IQ")
            self._draw_sounded(sinr)
        elif self.burst.signal is None:
            for axes in (constellation, soft_bits, channel, sinr):
                _say(axes, "not detected")
        else:
            self._draw_signal(constellation, soft_bits, channel, sinr)
        _write(outcome, self.outcome)
        return canvas

    def _draw_spectrum(self, axes: Any) -> None:
        if not len(self.psd_db):
            _say(axes, "no spectrum was kept")
            return
        shades = [(b.record, _OTHERS_STRENGTH) for b in self.neighbours] + [(self.burst.record, _OWN_STRENGTH)]
        grants = [(r.rb_start, r.rb_count, self._colour(r.client), strength) for r, strength in shades]
        draw_spectrum(axes, self.psd_db, self.numerology, grants)

    def _draw_signal(self, constellation: Any, soft_bits: Any, channel: Any, sinr: Any) -> None:
        colour = self._colour(self.burst.record.client)
        draw_constellation(constellation, self.burst, colour, constellation_reach([self.burst]))
        constellation.set(title="Symbols after equalisation", xlabel="in phase", ylabel="quadrature")
        if self.burst.soft_bits:
            draw_soft_bits(soft_bits, self.burst.soft_bits, colour)
            soft_bits.set(title="Soft bits", xlabel="log P(0) / P(1)", ylabel="share")
        else:
            _say(soft_bits, "a sounding carries no bits")
        draw_channel(channel, self.burst, self.numerology, colour)
        draw_sinr(sinr, self.burst.record.rb_start, self.burst.sinr_db, colour)

    def _draw_sounded(self, axes: Any) -> None:
        if not len(self.sounded_sinr_db):
            _say(axes, "no IQ")
            return
        record = self.burst.record
        draw_sinr(axes, record.rb_start, self.sounded_sinr_db, self._colour(record.client))
        axes.set_title("SINR per resource block, as sounded")

    def _colour(self, client: str) -> str:
        return self.styles[client].colour


def burst_page(store: RunStore, burst: ReceivedBurst) -> BurstPage:
    """Gather what the page of ``burst`` shows."""
    record, experiment = burst.record, store.experiment
    same_window = [
        b for b in received_bursts(store, record.round_index) if b.record.window_index == record.window_index
    ]
    spectra = (s for s in store.spectra(record.round_index) if s.window_index == record.window_index)
    client = next((c for c in store.clients(record.round_index) if c.client == record.client), None)
    sounded_db = client.sinr_db[record.rb_start : record.rb_start + record.rb_count] if client is not None else []
    return BurstPage(
        run=store.directory.name,
        burst=burst,
        neighbours=[b for b in same_window if b.record.client != record.client],
        spectrum=next(spectra, None),
        numerology=numerology_at(experiment.radio.sample_rate_hz),
        styles=client_styles([member.name for member in experiment.clients.members]),
        passes=client.passes if client is not None else 0,
        recording=_recording(store, burst),
        iq=experiment.radio.driver != "abstract",
        sounded_sinr_db=np.array(sounded_db),
    )


def _recording(store: RunStore, burst: ReceivedBurst) -> Path | None:
    record = burst.record
    name = recording_name(record.round_index, record.client, record.window_index)
    path = store.directory / RECORDINGS / (name + META_SUFFIX)
    return path if path.is_file() else None


def outcome_lines(burst: ReceivedBurst, passes: int, numerology: Numerology, iq: bool) -> list[tuple[str, str]]:
    """What became of a burst, as pairs of label and text; without IQ, only what does not take samples to know."""
    r = burst.record
    air_ms = 1e3 * r.air_samples / numerology.sample_rate_hz
    lines = [("outcome", _verdict(burst))]
    if r.kind == "data":
        lines += [("MCS", r.mcs), ("pass", f"{r.pass_index + 1} of {passes}" if passes else str(r.pass_index + 1))]
    lines += [
        ("RBs", f"{r.rb_start} to {r.rb_start + r.rb_count - 1} ({r.rb_count})"),
        ("transmit gain", number(r.tx_gain_db, 1, "dB")),
        ("on air", ", ".join([number(air_ms, 2, "ms"), *([bits(r.air_bits)] if r.air_bits else [])])),
    ]
    if r.detected and iq:
        lines += [
            ("start", number(r.start_sample, 1, "samples")),
            ("carrier offset", number(r.cfo_hz, 1, "Hz")),
            ("EVM", number(r.evm_db, 1, "dB")),
        ]
    if r.detected:
        lines.append(("received SNR", number(r.snr_db, 1, "dB")))
    if r.kind == "data":
        lines += [
            ("blocks", f"{r.blocks} sent, {r.blocks_failed} failed"),
            ("by combining", f"{r.blocks_combined} blocks"),
        ]
    return [*lines, ("clipped samples", str(r.clipped_samples))] if iq else lines


def _verdict(burst: ReceivedBurst) -> str:
    r = burst.record
    if not r.detected:
        return "not detected"
    if r.kind != "data":
        return "detected"
    return "all blocks received" if r.blocks_failed == 0 else f"{r.blocks_failed} of {r.blocks} blocks failed"


def _say(axes: Any, text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=rcParams["axes.labelcolor"])
    axes.set_axis_off()


def _write(axes: Any, lines: Sequence[tuple[str, str]]) -> None:
    axes.set_axis_off()
    for place, (label, text) in enumerate(lines):
        height = 1.0 - place / 14
        axes.text(0.0, height, label, transform=axes.transAxes, va="top", color=rcParams["axes.labelcolor"])
        axes.text(0.42, height, text, transform=axes.transAxes, va="top", in_layout=False)
