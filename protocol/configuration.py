"""The tables of an experiment: their keys, defaults and ranges.

An experiment is one TOML file with the tables ``[experiment] [model] [data] [training] [soft]
[tsfa] [radio] [channel] [clients]``; ``protocol.experiment_file`` reads and checks it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from protocol.errors import ConfigurationError
from protocol.schemes import SHIPPED_TASKS, Aggregation, AllocationRule, Compression, Frozen, TaskName

Positive = Annotated[float, Meta(gt=0.0)]
NonNegative = Annotated[float, Meta(ge=0.0)]
Fraction = Annotated[float, Meta(ge=0.0, le=1.0)]
Count = Annotated[int, Meta(ge=1)]
NAME_PATTERN = "^[A-Za-z0-9][A-Za-z0-9_.-]{0,47}$"
"""Of experiments, clients and methods: they become names of files."""
NAME_RULE = "a name of at most 48 letters (A to Z), digits, '_', '.' and '-', beginning with a letter or digit"
Name = Annotated[str, Meta(pattern=NAME_PATTERN)]
Precision = Literal["float32", "bfloat16"]
ModelDevice = Literal["auto", "cpu", "cuda"]
CodecName = Literal["ldpc", "ldpc-short", "convolutional"]
RadioDriver = Literal["simulated", "abstract", "pluto", "gr-iio", "uhd", "soapy"]
HARDWARE_DRIVERS = ("pluto", "gr-iio", "uhd", "soapy")
"""Drivers of radios on a desk: [channel] does not bear on them."""

IMAGE_TOKEN_PX = 14
"""An image counts as many tokens as it has squares of this side, and one."""
NO_DEADLINE_S = 1e9
"""Deadline of ``tsfa.allocation = "ideal"``: longer than any round."""


class Table(Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """Base of every table: frozen, keys known."""


class ExperimentTable(Table, frozen=True, kw_only=True):
    """``[experiment]``: what is run, how long, and what it is judged on."""

    name: Name
    seed: Annotated[int, Meta(ge=0, lt=2**53)] = 1
    rounds: Count = 10
    validation_texts: Count = 200
    """Validation texts evaluated each round (the same ones each round)."""
    test_texts: Count = 2000
    """Test texts evaluated once, at the end."""
    threads: Count = 2
    """Torch threads of the base station's evaluation."""


class ModelTable(Table, frozen=True, kw_only=True):
    """``[model]``: the transformer, its LoRA and its head."""

    source: str = "minilm-l6"
    """``minilm-l6``, ``dinov2-small``, ``smollm2-135m`` (from their packages) or ``local`` with ``path``."""
    path: str | None = None
    """Directory of any Hugging Face model for the task (or text encoder, with ``pooling = "mean"``)."""
    task: TaskName | None = None
    """What it learns. Without: what a shipped model is for, and ``text-classification`` for a local one."""
    pooling: Literal["mean", "native"] = "mean"
    """``mean``: mean pooling and one linear head. ``native``: the model's own head; other tasks than texts need it."""
    max_tokens: Annotated[int, Meta(ge=4, le=512)] = 64
    image_size_px: Annotated[int, Meta(ge=8, le=1024)] = 56
    """Height and width that images are scaled to."""
    lora_rank: Annotated[int, Meta(ge=1, le=256)] = 8
    lora_alpha: Positive = 16.0
    lora_dropout: Annotated[float, Meta(ge=0.0, lt=1.0)] = 0.0
    lora_targets: list[str] = field(default_factory=lambda: ["query", "value"])
    precision: Precision = "float32"
    """Of matrix products in training and evaluation; weights, adapter and optimiser are float32 in either."""
    device: ModelDevice = "auto"
    """What trains and evaluates; ``auto``: the first GPU of each machine that has one, else its processor."""

    @property
    def learns(self) -> TaskName:
        """The task, by ``task`` or by the model."""
        return self.task or SHIPPED_TASKS.get(self.source, "text-classification")

    @property
    def sample_tokens(self) -> int:
        """Tokens of one sample at most, which the work of training it is proportional to."""
        if self.learns == "image-classification":
            return (self.image_size_px // IMAGE_TOKEN_PX) ** 2 + 1
        return self.max_tokens


class DataTable(Table, frozen=True, kw_only=True):
    """``[data]``: the texts or images, and how they are dealt to the clients."""

    source: str = "20newsgroups"
    """A shipped data set (docs/data.md) or ``table``."""
    path: str | None = None
    """A table of training texts (``source = "table"``), or a directory of IDX files (``fashion-mnist``)."""
    test_path: str | None = None
    """The test table; without it a fifth of ``path`` is held out."""
    text_column: str = "text"
    label_column: str = "label"
    group_column: str | None = None
    """Column whose values are the clients of the ``natural`` partition."""
    partition: Literal["dirichlet", "iid", "shards", "natural"] = "dirichlet"
    dirichlet_alpha: Positive = 0.5
    shards_per_client: Count = 2
    minimum_samples: Count = 32
    """A Dirichlet partition is redrawn until every client holds this many texts."""
    validation_fraction: Annotated[float, Meta(gt=0.0, lt=0.5)] = 0.1


class TrainingTable(Table, frozen=True, kw_only=True):
    """``[training]``: local training and aggregation."""

    local_steps: Count = 8
    batch_size: Count = 16
    learning_rate: Positive = 0.004
    weight_decay: NonNegative = 0.0
    aggregation: Aggregation = "separate"
    """How the base station merges updates, and so which factors are trained (docs/algorithms.md, section 3)."""
    threads: Count = 1
    """Torch threads of one client process."""

    def frozen(self, round_index: int) -> Frozen:
        """The factor that is neither trained nor sent in a round (the first round is 1)."""
        if self.aggregation == "freeze-a":
            return "a"
        if self.aggregation == "alternate":
            return "b" if round_index % 2 == 0 else "a"
        return "none"

    @property
    def exact(self) -> bool:
        """Whether products are averaged, so that the basis of the factors turns every round."""
        return self.aggregation in ("exact-drop", "exact-fold")


class SoftTable(Table, frozen=True, kw_only=True):
    """``[soft]``: sparsified orthogonal fine-tuning (docs/algorithms.md, section 2), and what it is compared with."""

    compression: Compression = "soft"
    """What of an update is sent under a bit budget (docs/algorithms.md, section 6)."""
    orthogonality_weight: NonNegative = 0.01
    importance: Literal["update-energy", "product-norm", "taylor"] = "taylor"
    """What ``soft`` ranks components by, per bit."""
    quant_bits: Literal[4, 8, 16, 32] = 8
    residual: Literal["on", "off"] = "on"
    residual_decay: Fraction = 1.0
    """Share of the residual that the next update carries; 1 keeps all of it."""
    curve_points: Annotated[int, Meta(ge=2, le=64)] = 48


class TsfaTable(Table, frozen=True, kw_only=True):
    """``[tsfa]``: bandwidth and sparsity per round under a latency budget (docs/algorithms.md, section 4)."""

    V: NonNegative = 1.0
    """Weight of the error energy against the queues, s^2."""
    error_power: Annotated[float, Meta(ge=1.0, le=4.0)] = 1.0
    """Power of the unsent share of a client's error energy; above 1 a little of many clients serves best."""
    latency_budget_s: Positive = 5.0
    deadline_s: Positive | None = None
    """Default: three latency budgets."""
    ready_deadline_s: Positive | None = None
    """Model time by which a client must be ready. Default: two latency budgets, at most the deadline."""
    latency_model: Literal["per-client", "round"] = "per-client"
    allocation: AllocationRule = "tsfa"
    """Who is granted which RBs and bits: TSFA or a baseline (docs/algorithms.md, section 6)."""
    fixed_share: Annotated[float, Meta(gt=0.0, le=1.0)] | None = None
    """Share of its whole update's bits that a client sends under ``equal-fixed`` and ``equal-finish``. Default: 0.1."""
    best_k: Count | None = None
    """How many clients send under ``best-k``. Default: half of those heard in the round."""


class RadioTable(Table, frozen=True, kw_only=True):
    """``[radio]``: the uplink."""

    driver: RadioDriver = "simulated"
    """``simulated``: samples through GNU Radio. ``abstract``: no samples; losses drawn from the link tables (no IQ).
    ``pluto``, ``gr-iio``: ADALM-Plutos, through pyadi-iio or GNU Radio. ``uhd``, ``soapy``: never tried on hardware."""
    uri: str | None = None
    """Of the base station's radio on the desk: ``ip:192.168.2.1``, ``usb:``; device arguments of UHD and SoapySDR."""
    connection: Literal["cable", "air"] = "cable"
    """Between the radios: ``cable`` with attenuators, or ``air``, which needs ``band_hz`` and ``licence``."""
    cable_attenuation_db: Annotated[float, Meta(ge=50.0, le=200.0)] = 50.0
    """``cable``: attenuation between any two radios."""
    band_hz: Annotated[list[Positive], Meta(min_length=2, max_length=2)] | None = None
    """Lowest and highest frequency that may be sent."""
    licence: Annotated[str, Meta(min_length=4, max_length=200)] | None = None
    """``air``: what allows you to send in that band."""
    transmit_gain_db: Annotated[float, Meta(ge=-89.75, le=0.0)] = -20.0
    """Gain of a transmitter at full power, never passed; digital full scale is 13 dB above full power."""
    receive_gain_db: Annotated[float, Meta(ge=-10.0, le=76.0)] = 40.0
    """Gain of the base station's receiver, set by hand; it is never left to the chip."""
    max_duty: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.1
    """Share of any hour that a transmitter may be on the air."""
    detection_window_s: Annotated[float, Meta(ge=0.02, le=5.0)] = 0.25
    """How long a burst is waited for, beyond its length, once its client has sent it; measured latency takes over."""
    calibration_dir: str = "calibrations"
    """Where ``airtune calibrate`` keeps its files, and drivers look for that of their Pluto; empty: nowhere."""
    carrier_hz: Positive = 2.4e9
    sample_rate_hz: Positive = 2e6
    """2e6: 28 RBs of 62.5 kHz; 4e6: 56 of them."""
    guard_rb: Annotated[int, Meta(ge=0, le=4)] = 1
    jitter_samples: Annotated[int, Meta(ge=0, le=65536)] = 2048
    """A burst starts anywhere in the first this many samples of its window."""
    tx_power_dbm: float = 10.0
    """Transmit power of a client at ``tx_gain_db = 0``, spread over the RBs it uses."""
    psd_cap_db: NonNegative = 12.0
    """Power per RB may exceed the full-band level by at most this much."""
    max_power_spread_db: NonNegative = 20.0
    """Received power per RB is capped this far above the weakest ready client's."""
    target_block_error_rate: Annotated[float, Meta(gt=0.0, lt=1.0)] = 0.10
    """Share of blocks lost when first sent that link adaptation steers each client to."""
    snr_margin_db: Annotated[float, Meta(ge=-10.0, le=10.0)] = 1.0
    """Taken off the measured SINR before an MCS is chosen, until a client's lost blocks say otherwise."""
    barred_interference_db: Positive = 10.0
    """An RB whose silent-window power exceeds the median by this much is barred."""
    harq: Literal["chase", "none"] = "chase"
    """``chase``: soft bits of a failed block are added to those of its retransmission. ``none``: plain ARQ."""
    keep_failed_iq: bool = False
    """Keep the IQ of bursts that were not detected or lost blocks, as SigMF recordings in ``RUN/iq``."""
    keep_failed_iq_limit: Count = 50
    """Recordings of a run at most (up to 2 MB each)."""
    record_iq: bool = False
    """Record every window that the receiver hears, as one growing SigMF recording a round in ``RUN/iq``."""
    record_iq_limit_mb: Count = 4096
    """Recordings of ``RUN/iq`` together at most; then a warning, and the run goes on without."""
    spectrum_address: str | None = None
    """Where the receiver publishes samples of every window for a live view (examples/grc); without it nowhere."""
    max_passes: Count = 6
    """ARQ passes over one update, the first one included."""
    codec: CodecName = "ldpc"
    """``ldpc``: NR LDPC, blocks of 1008 bytes. ``ldpc-short``: the same, 252 bytes. ``convolutional``: K = 7, 252."""
    fragment_bytes: Annotated[int, Meta(ge=64, le=65535)] = 2006
    """Bytes of one fragment, its own header included; 2006, a length and the tag fill whole code blocks."""

    @property
    def keeps_iq(self) -> bool:
        """Whether samples are to be written to disk."""
        return self.keep_failed_iq or self.record_iq


class ChannelTable(Table, frozen=True, kw_only=True):
    """``[channel]``: the simulated medium."""

    model: Literal["awgn", "rayleigh", "rician", "tdl-a", "tdl-b", "tdl-c", "replay"] = "rayleigh"
    """One fade per client and round: flat (``rayleigh``, ``rician``), a delay profile of 3GPP TS 38.901, or
    ``replay``: what a campaign measured."""
    replay_file: str | None = None
    """Of ``replay``: what ``airtune campaign replay`` wrote."""
    delay_spread_s: Positive = 300e-9
    """RMS delay spread of the ``tdl`` models."""
    rician_k_db: Annotated[float, Meta(ge=-40.0, le=60.0)] = 10.0
    """``rician``: power of the constant path over that of the scattered ones."""
    doppler_hz: NonNegative = 0.0
    """0: every round has a fade of its own. Else rounds, one ``tsfa.latency_budget_s`` apart, are correlated."""
    path_loss_exponent: Positive = 3.5
    path_loss_1m_db: float = 40.0
    noise_figure_db: float = 6.0
    attenuation_db: float = 0.0
    """Extra attenuation between every client and the base station."""
    carrier_offset_ppm: Annotated[float, Meta(ge=0.0, le=50.0)] = 10.0
    """Crystal error of each radio, uniform within plus or minus this; it moves carrier and clock."""
    impairments: Literal["none", "pluto"] = "none"
    """``pluto``: image -45 dBc, LO leakage -40 dBc and 12-bit converters on both sides."""
    jammer_rb: Annotated[int, Meta(ge=0)] | None = None
    """First RB of a jammer that is always on; without it there is none."""
    jammer_rb_count: Count = 1
    jammer_db: Annotated[float, Meta(ge=-40.0, le=80.0)] = 20.0
    """Jammer power per RB over noise power per RB, at the base station."""
    minimum_fade_db: Annotated[float, Meta(ge=-60.0, le=0.0)] = -20.0
    """``rayleigh`` without Doppler: a fade below this gain is redrawn (it would need a longer wait than a round)."""
    receiver: Name = "base-station"
    """Whose receiver it is: crystals and fades are drawn for it. Campaigns between clients set it."""
    inverted_fraction: Fraction = 0.0
    """Fault: this fraction of 280-sample stretches of every data burst arrives with its sign inverted."""
    lost_block_rate: Fraction = 0.0
    """Fault: this fraction of received blocks is discarded before its CRC is checked."""


class ClientTable(Table, frozen=True, kw_only=True):
    """``[[clients.members]]``: one edge client."""

    name: Name
    distance_m: Positive | None = None
    mean_snr_db: float | None = None
    """Reference SNR (full band, full power); instead of ``distance_m``."""
    compute_scale: Positive = 1.0
    """Its compute time is the device profile's times this."""
    uri: str | None = None
    """Of its radio on the desk, as ``radio.uri``; every machine may have its own."""
    process: Name | None = None
    """Clients with the same ``process`` share one operating-system process."""


class ClientsTable(Table, frozen=True, kw_only=True):
    """``[clients]``: the edge clients and the control plane they meet on."""

    members: Annotated[list[ClientTable], Meta(min_length=1, max_length=256)]
    """Each is sounded alone in every round, 5 ms of air apiece."""
    device: str = "measured-here"
    """Device profile: a shipped name, a TOML path, or ``measured-here`` (timed when the run starts)."""
    control_address: str = "tcp://127.0.0.1:0"
    """Where the base station listens; port 0 takes a free one."""
    radio_address: str = "tcp://127.0.0.1:0"
    """Where the simulated ether listens."""
    keys_dir: str | None = None
    """Directory of CURVE key files; without it the local launcher makes throw-away keys."""
    liveness_timeout_s: Positive = 30.0
    """Wall-clock silence after which a client counts as gone."""
    answer_timeout_s: Positive = 900.0
    """Wall-clock time a client that is alive may take for one answer; then the round goes on without it."""
    join_timeout_s: Positive = 180.0
    """Wall-clock wait for the clients at the start of a run."""


class Experiment(Table, frozen=True, kw_only=True):
    """A whole experiment. Every table but ``experiment`` and ``clients`` has defaults."""

    experiment: ExperimentTable
    clients: ClientsTable
    model: ModelTable = field(default_factory=ModelTable)
    data: DataTable = field(default_factory=DataTable)
    training: TrainingTable = field(default_factory=TrainingTable)
    soft: SoftTable = field(default_factory=SoftTable)
    tsfa: TsfaTable = field(default_factory=TsfaTable)
    radio: RadioTable = field(default_factory=RadioTable)
    channel: ChannelTable = field(default_factory=ChannelTable)

    @property
    def deadline_s(self) -> float:
        """Latency no client may exceed in a round (default three budgets), s."""
        if self.tsfa.allocation == "ideal":
            return NO_DEADLINE_S
        return self.tsfa.deadline_s or 3.0 * self.tsfa.latency_budget_s

    @property
    def ready_deadline_s(self) -> float:
        """Model time by which a client must be ready (default two budgets, at most the deadline), s."""
        if self.tsfa.allocation == "ideal":
            return NO_DEADLINE_S
        return self.tsfa.ready_deadline_s or min(2.0 * self.tsfa.latency_budget_s, self.deadline_s)

    def member(self, name: str) -> ClientTable:
        """The client called ``name``; ConfigurationError if the experiment has none."""
        for member in self.clients.members:
            if member.name == name:
                return member
        known = ", ".join(m.name for m in self.clients.members)
        raise ConfigurationError(f"no client '{name}' in the experiment; it has: {known}")
