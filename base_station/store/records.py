"""What a run remembers of each round: one record per round, per client and round, per grant and per burst.

Columns whose names end in ``_wall_s`` are wall-clock readings; all others are reproduced exactly by a
resumed run (estimated reals to 1e-3).
"""

from __future__ import annotations

from msgspec import Struct, field


class ClientRoundRecord(Struct, kw_only=True):
    """One client in one round."""

    round_index: int
    client: str
    state: str
    """``delivered``, ``partial``, ``nothing``, ``silent``, ``not-heard``, ``late``, ``gone`` or ``failed``."""
    reason: str = ""
    weight: float = 0.0
    samples: int = 0
    compute_s: float = 0.0
    airtime_s: float = 0.0
    """Own data bursts, retransmissions included."""
    latency_predicted_s: float = 0.0
    latency_s: float = 0.0
    """Realised: barrier + own airtime, capped at the deadline."""
    queue_s: float = 0.0
    """Virtual queue after the round."""
    loss: float = 0.0
    gain_db: float = 0.0
    """Measured channel gain, mean over RBs."""
    reference_snr_db: float = 0.0
    """Measured SNR at full band and full power."""
    sinr_db: list[float] = field(default_factory=list)
    """Measured per RB, full band and full power."""
    evm_db: float | None = None
    """Mean over the round's data bursts; None if none was received."""
    cfo_hz: float = 0.0
    """Measured carrier offset, correction included."""
    rb_start: int = 0
    rb_count: int = 0
    mcs: str = ""
    tx_gain_db: float = 0.0
    """Of its last data burst; full power is 0."""
    power_cap_db: float = 0.0
    """What its power per RB could exceed the full-band level by, in its grant."""
    power_backoff_db: float = 0.0
    """Power taken back in its last data burst, because even the top MCS had more than it needs."""
    link_offset_db: float = 0.0
    """Taken off the measured SINR when rates and MCS were chosen (outer-loop link adaptation)."""
    clipped_samples: int = 0
    bits_requested: int = 0
    """The largest point of its error curve."""
    bits_granted: int = 0
    payload_bits: int = 0
    """Size of the update file it encoded."""
    delivered_bits: int = 0
    """Payload bits in fragments that arrived and were committed."""
    header_bits: int = 0
    """Fragment headers and tags, and padding up to whole code blocks, as first sent."""
    coding_bits: int = 0
    """Block CRCs, redundancy of the channel code and filling of the last OFDM symbol, as first sent."""
    retransmission_bits: int = 0
    """Air bits of every pass after the first."""
    air_bits: int = 0
    """Data resource elements times bits per symbol, retransmissions included."""
    passes: int = 0
    blocks_sent: int = 0
    blocks_failed: int = 0
    fragments: int = 0
    fragments_delivered: int = 0
    fragments_forged: int = 0
    """Fragments whose blocks passed their CRC but whose tag did not hold."""
    sparsity: float = 1.0
    """Share of LoRA values that were not sent (1 for a silent client)."""
    update_energy: float = 0.0
    """Curve value at zero bits."""
    unsent_energy: float = 0.0
    """Curve value at the point that was sent."""
    lora_energy: float = 0.0
    exact_energy: float = 0.0
    head_energy: float = 0.0
    residual_energy: float = 0.0
    """Energy of the residual the client started the round with, counted like ``update_energy``."""
    residual_lost: bool = False
    residual_lost_energy: float = 0.0
    """Energy of the residual that the turned factors of an exact aggregation could not hold."""
    cosine_mean: float = 0.0
    cosine_worst: float = 0.0
    transmit_energy_j: float = 0.0
    accuracy: float | None = None
    """Global model's validation accuracy weighted by this client's own label mix."""
    train_wall_s: float = 0.0
    encode_wall_s: float = 0.0


class BurstRecord(Struct, kw_only=True):
    """One expected burst (sounding or data) in one window."""

    round_index: int
    window_index: int
    client: str
    kind: str
    """``acquisition``, ``sounding`` or ``data``."""
    pass_index: int = 0
    rb_start: int = 0
    rb_count: int = 0
    mcs: str = ""
    tx_gain_db: float = 0.0
    detected: bool = False
    start_sample: float = 0.0
    cfo_hz: float = 0.0
    snr_db: float = 0.0
    evm_db: float = 0.0
    blocks: int = 0
    blocks_failed: int = 0
    blocks_combined: int = 0
    """Decoded with the help of soft bits of earlier bursts."""
    air_samples: int = 0
    air_bits: int = 0
    clipped_samples: int = 0


class SignalRecord(Struct, kw_only=True):
    """What one burst detected in IQ looked like, packed as ``base_station.store.signals`` says (about 2 kB).

    It belongs to the ``BurstRecord`` of the same round, window and client.
    """

    round_index: int
    window_index: int
    client: str
    constellation: bytes
    """At most 256 equalised symbols, float16 in-phase and quadrature in turn."""
    channel: bytes
    """Channel gain per loaded subcarrier, hundredths of dB, int16."""
    sinr: bytes
    """SINR per RB as received, hundredths of dB, int16."""
    soft_bits: list[int] = field(default_factory=list)
    """Histogram as in ``BurstReport.soft_bits``; empty for soundings."""


class SpectrumRecord(Struct, kw_only=True):
    """Power spectral density of one received window."""

    round_index: int
    window_index: int
    kind: str
    """``silent``, ``acquisition``, ``sounding`` or ``data``."""
    psd: bytes
    """256 bins centred on the carrier, hundredths of dB per bin relative to full scale, int16."""


class RoundRecord(Struct, kw_only=True):
    """One round."""

    round_index: int
    clients_ready: int = 0
    barrier_s: float = 0.0
    """t_grant: the last ready client's compute time plus sounding, model time."""
    airtime_s: float = 0.0
    """At least one client on the air, sounding included, jitter and waiting excluded."""
    sounding_airtime_s: float = 0.0
    air_bits: int = 0
    payload_bits: int = 0
    downlink_bits: int = 0
    objective: float = 0.0
    lower_bound: float = 0.0
    gap: float = 0.0
    exact: bool = True
    common_queue_s: float = 0.0
    """Queue of the ``round`` latency model."""
    latency_s: float = 0.0
    """Largest realised latency."""
    kappa: float = 0.0
    deliveries_refused: int = 0
    """Deliveries to the radio that did not count: malformed, doubled, replayed, of nobody expected."""
    barred_rbs: list[int] = field(default_factory=list)
    noise_db: list[float] = field(default_factory=list)
    covariance: float = 0.0
    """Sum over modules of |s C_m|_F."""
    covariance_relative: float = 0.0
    cosine_mean: float = 0.0
    cosine_worst: float = 0.0
    """Column overlap of the global adapter."""
    additive_over_exact: float = 0.0
    """Mean over clients of additive / exact update energy."""
    aggregation_dropped: float = 0.0
    """Energy the ``exact`` aggregation could not hold at rank r."""
    loss: float = 0.0
    accuracy: float = 0.0
    """Validation."""
    worst_client_accuracy: float = 0.0
    macro_f1: float | None = 0.0
    """None for a language model."""
    note: str = ""
    """A sentence for the reader when something went wrong (``no client was heard: ...``)."""
    solve_wall_s: float = 0.0
    wall_s: float = 0.0
    stage_wall_s: dict[str, float] = field(default_factory=dict)
    """Seconds by stage: train, sounding, allocate, encode, uplink, aggregate, evaluate."""
