"""What the radio's processes say to each other. Samples travel beside a message, never inside it."""

from __future__ import annotations

from typing import Literal, Union

from msgspec import Struct, field

from protocol.bursts import Burst, BurstReport, TransmitReport, Window
from protocol.configuration import Experiment
from radio.quantity import Quantity


class LinkMessage(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type"):
    """Base of all messages on links."""


class Start(LinkMessage, frozen=True, tag="start"):
    """Parent to child: the experiment, and for a transmitter whose it is and where the medium is."""

    experiment: Experiment
    client: str = ""
    radio_address: str = ""
    iq_directory: str = ""
    """Where IQ is kept, if the experiment asks for it; empty for nowhere."""


class Started(LinkMessage, frozen=True, tag="started"):
    """Child to parent: ready to work; the ether says where it listens, a capture what was measured of its radio."""

    radio_address: str = ""
    gain_offsets_db: dict[str, Quantity] = field(default_factory=dict)
    """By client: what turns gains between digital powers into the channel's, where that was calibrated."""
    identity: dict[str, str] = field(default_factory=dict)
    """Which radio it is."""


StartFailureCause = Literal["missing", "address-in-use", "data", "configuration", "other"]


class StartFailed(LinkMessage, frozen=True, tag="start-failed"):
    """Child to parent: cannot start, and why."""

    cause: StartFailureCause
    reason: str


class ExpectWindow(LinkMessage, frozen=True, tag="expect-window"):
    """Parent to receiver: the next window's samples will come from the source; look for these bursts."""

    window: Window
    bursts: list[Burst]


class ArmEther(LinkMessage, frozen=True, tag="arm-ether"):
    """Parent to ether: take deliveries of these clients for this window."""

    window: Window
    clients: list[str]


class ArmCapture(LinkMessage, frozen=True, tag="arm-capture"):
    """Parent to capture: keep what is received from now on; these bursts will be in it."""

    window: Window
    bursts: list[Burst]


class EveryoneSent(LinkMessage, frozen=True, tag="everyone-sent"):
    """Parent to capture: every client has sent its burst, or never will."""


class SourceArmed(LinkMessage, frozen=True, tag="source-armed"):
    """Ether or capture to parent: deliveries, or samples, are being taken."""


class SourceFailed(LinkMessage, frozen=True, tag="source-failed"):
    """Capture to parent: the radio failed and was not found again."""

    reason: str


class LeaveOut(LinkMessage, frozen=True, tag="leave-out"):
    """Parent to ether or capture: do not wait for this client."""

    client: str


class WindowSamples(LinkMessage, frozen=True, tag="window-samples"):
    """Ether or capture to receiver: the window, with its samples beside."""

    window: Window


class SourceDone(LinkMessage, frozen=True, tag="source-done"):
    """Ether or capture to parent: the window is closed."""

    clipped_samples: int
    lost: list[str]
    wait_s: float
    source_s: float
    refused: dict[str, int] = field(default_factory=dict)
    """Refused deliveries by reason since the ether started."""
    warnings: list[str] = field(default_factory=list)


class DecodeBurst(LinkMessage, frozen=True, tag="decode-burst"):
    """Receiver to decoder: find and decode ``burst`` in the branch samples beside."""

    window: Window
    position: int
    burst: Burst


class BurstDecoded(LinkMessage, frozen=True, tag="burst-decoded"):
    """Decoder to parent: report of the burst at ``position`` of the window's list."""

    position: int
    report: BurstReport
    decode_s: float
    warning: str = ""


class ReceiverDone(LinkMessage, frozen=True, tag="receiver-done"):
    """Receiver to parent: all branches are with the decoders."""

    psd_db: list[float]
    flowgraph_s: float
    noise_db: list[float] = field(default_factory=list)
    """Per RB; silent windows only."""
    warning: str = ""


class TransmitBurst(LinkMessage, frozen=True, tag="transmit-burst"):
    """Parent to transmitter: put this burst on the air."""

    window: Window
    burst: Burst
    blocks: list[bytes]


class Transmitted(LinkMessage, frozen=True, tag="transmitted"):
    """Transmitter to parent: the samples are with the medium."""

    report: TransmitReport


class TransmitRefused(LinkMessage, frozen=True, tag="transmit-refused"):
    """Transmitter to parent: nothing went on the air, and why."""

    reason: str


class Finish(LinkMessage, frozen=True, tag="finish"):
    """Parent to transmitter: hand over what is on its way and end."""


AnyLinkMessage = Union[  # noqa: UP007
    Start, Started, StartFailed, ExpectWindow, ArmEther, ArmCapture, EveryoneSent, SourceArmed, SourceFailed, LeaveOut,
    WindowSamples, SourceDone, DecodeBurst, BurstDecoded, ReceiverDone, TransmitBurst, Transmitted, TransmitRefused,
    Finish,
]  # fmt: skip
