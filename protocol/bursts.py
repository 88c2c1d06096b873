"""What both ends of the uplink say about windows, bursts and what was received.

These are plain records (msgspec structs) so that they cross process borders as checked msgpack.
Frequencies are in Hz, powers in dB or dBm, time in samples of the full rate unless named otherwise.
"""

from __future__ import annotations

from typing import Annotated, Literal, Union

from msgspec import Meta, Struct, field

WindowKind = Literal["silent", "acquisition", "sounding", "data"]
BurstId = Annotated[int, Meta(ge=0, le=2**63 - 1)]
ClientName = Annotated[str, Meta(max_length=48)]

SOFT_BIT_BINS = 64
SOFT_BIT_REACH = 32.0
"""``BurstReport.soft_bits`` counts soft bits in this many equal bins from minus to plus this value."""


class Window(Struct, frozen=True, forbid_unknown_fields=True):
    """A stretch of time in which the base station listens.

    ``n_samples`` counts full-rate samples, burst jitter and zeros on both sides included.
    ``session`` is new each time a base station starts, so nothing from an earlier life is taken for this one's.
    """

    session: Annotated[str, Meta(max_length=32)]
    round_index: Annotated[int, Meta(ge=0, le=1_000_000)]
    index: Annotated[int, Meta(ge=0, le=100_000)]
    kind: WindowKind
    n_samples: Annotated[int, Meta(ge=1, le=2**20)]


class SoundingBurst(Struct, frozen=True, tag="sounding", forbid_unknown_fields=True):
    """A known burst over ``rb_count`` RBs; with ``acquisition`` it is found at +-50 ppm of carrier."""

    client: ClientName
    burst_id: BurstId
    rb_start: Annotated[int, Meta(ge=0, le=1023)]
    rb_count: Annotated[int, Meta(ge=1, le=1024)]
    acquisition: bool = False
    tx_gain_db: Annotated[float, Meta(ge=-100.0, le=40.0)] = 0.0
    """Total transmit power relative to the client's full power; at most 0 except under hardware calibration."""
    cfo_correction_hz: Annotated[float, Meta(ge=-500e3, le=500e3)] = 0.0
    """Added to the client's carrier (minus the offset measured before)."""


class DataBurst(Struct, frozen=True, tag="data", forbid_unknown_fields=True):
    """A grant of one burst: ``len(block_ids)`` code blocks in ``rb_count`` RBs at one MCS."""

    client: ClientName
    burst_id: BurstId
    rb_start: Annotated[int, Meta(ge=0, le=1023)]
    rb_count: Annotated[int, Meta(ge=1, le=1024)]
    mcs: Annotated[str, Meta(max_length=24)]
    block_ids: Annotated[list[int], Meta(min_length=1, max_length=2048)]
    """Which blocks of the client's update, in burst order."""
    tx_gain_db: Annotated[float, Meta(ge=-100.0, le=40.0)] = 0.0
    cfo_correction_hz: Annotated[float, Meta(ge=-500e3, le=500e3)] = 0.0
    clock_offset_ppm: Annotated[float, Meta(ge=-200.0, le=200.0)] = 0.0
    """The base station's estimate of the client's crystal error relative to its own (for its receiver)."""


Burst = Union[SoundingBurst, DataBurst]  # noqa: UP007  (a runtime alias that Python 3.10 and msgspec share)


class BurstReport(Struct, frozen=True):
    """What the receiver made of one expected burst. Lists are per RB of the burst, in order.

    ``blocks[i]`` is the content of ``block_ids[i]`` if its CRC (masked with the burst id) held, else None.
    """

    client: str
    burst_id: int
    detected: bool
    start_sample: float = 0.0
    cfo_hz: float = 0.0
    """Carrier offset left after the client's correction."""
    rx_power_dbfs: float = -200.0
    """Mean received power of the burst while on, all its RBs together."""
    snr_db: float = -200.0
    evm_db: float = 0.0
    gain_db: list[float] = field(default_factory=list)
    """Channel power gain per RB: received over transmitted power spectral density."""
    level_uncertainty_db: float | None = None
    """Standard deviation of the level that all of ``gain_db`` shares, by calibration; None: nominal, or simulated."""
    noise_db: list[float] = field(default_factory=list)
    """Noise power per RB seen in the burst itself, dB relative to full scale."""
    sinr_db: list[float] = field(default_factory=list)
    """Per RB, as received (power and RB count of this burst)."""
    blocks: list[bytes | None] = field(default_factory=list)
    blocks_combined: int = 0
    """Blocks decoded with the help of soft bits of earlier bursts (HARQ)."""
    air_samples: int = 0
    """First preamble sample to last data sample, full rate, as granted."""
    coded_bits: int = 0
    """Data resource elements times bits per symbol (air bits)."""
    constellation: bytes = b""
    """Up to 512 equalised data symbols, complex64."""
    channel_db: list[float] = field(default_factory=list)
    """Channel estimate per occupied subcarrier, dB (sounding: whole band), for pictures."""
    soft_bits: list[int] = field(default_factory=list)
    """Histogram of the soft bits (log P(0)/P(1)) of some symbols of a data burst, ``SOFT_BIT_BINS`` counts; values
    beyond ``SOFT_BIT_REACH`` count in the outermost bins. Empty for a sounding."""
    channel: bytes = b""
    """Sounding: the channel as it was estimated, not smoothed, complex64 per occupied subcarrier. Its level, common
    phase and mean delay are arbitrary; ``gain_db`` has the level."""


class WindowReport(Struct, frozen=True):
    """Everything received in one window."""

    window: Window
    bursts: list[BurstReport] = field(default_factory=list)
    noise_db: list[float] = field(default_factory=list)
    """Power per RB over the whole band, dB relative to full scale (silent windows)."""
    psd_db: list[float] = field(default_factory=list)
    """Power spectral density of the window, 256 bins centred on the carrier, dB per bin."""
    clipped_samples: int = 0
    lost: list[str] = field(default_factory=list)
    """Expected transmitters that never delivered."""
    refused: dict[str, int] = field(default_factory=dict)
    """Deliveries that did not count since the last report, by reason: malformed, twice, of another window, ..."""
    stage_s: dict[str, float] = field(default_factory=dict)
    """Wall-clock seconds by stage: wait, ether, flowgraph, decode."""
    warnings: list[str] = field(default_factory=list)
    """What the user should know about the radio, each said once."""


class TransmitReport(Struct, frozen=True):
    """What a client's radio did in one window."""

    air_samples: Annotated[int, Meta(ge=0, le=2**20)]
    tx_power_dbm: Annotated[float, Meta(ge=-300.0, le=100.0)]
    energy_j: Annotated[float, Meta(ge=0.0, le=1e6)]
    clipped_samples: Annotated[int, Meta(ge=0, le=2**20)] = 0
    flowgraph_s: Annotated[float, Meta(ge=0.0, le=1e6)] = 0.0
    """Wall-clock seconds in modulation and the flowgraph."""
