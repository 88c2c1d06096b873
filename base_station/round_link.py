"""The link of one round: channels measured, what every place in the band is worth to whom, grants, what they taught."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from base_station.channel import Carrier, ChannelMeasurement, received_cap_db
from base_station.genie import true_channel
from base_station.lab import Lab
from base_station.sounding import Silence, Sounder
from base_station.state import ServerState
from base_station.uplink import UplinkGrant
from base_station.windows import WindowRunner
from protocol.configuration import RadioTable
from protocol.steps import reached
from radio.adaptation import GrantLink, LinkState, after_silence
from radio.arq import ArqTracker
from radio.fragments import FragmentTagger, blocks_per_fragment, payload_share
from radio.placed_rates import PlacedRates, PowerLimits, is_heard, placed_rates
from radio.rates import Grants, LinkRule


class RoundLink:
    """What a round knows of its clients' links. Needs no model, no data and no store."""

    def __init__(self, lab: Lab, windows: WindowRunner, state: ServerState) -> None:
        self._lab = lab
        self._windows = windows
        self._before = state.links
        self._radio = lab.experiment.radio
        share = payload_share(self._radio.fragment_bytes, lab.block_bytes)
        self._rule = LinkRule(lab.tables, lab.numerology, self._radio.target_block_error_rate, share)
        self.carriers: dict[str, Carrier] = dict(state.carriers)
        self.silence = Silence()
        self.channels: dict[str, ChannelMeasurement] = {}
        self.rates: dict[str, PlacedRates] = {}
        """Of the clients that can be heard."""
        self.grants: dict[str, UplinkGrant] = {}

    def measure(self, names: Iterable[str]) -> None:
        """Noise of the band, then one client's channel after the other."""
        sounder = Sounder(self._lab, self._windows, self.carriers)
        self.silence = sounder.listen_to_silence()
        reached("base-station", "silent", self._windows.round_index)
        for name in names:
            channel = sounder.measure(name)
            if channel is not None and self._lab.experiment.tsfa.allocation == "genie":
                channel = true_channel(self._lab.experiment, self._lab.numerology, self._windows.round_index, name)
            if channel is not None:
                self.channels[name] = channel
                self._lab.progress.client(name, "sounded", channel.reference_snr_db)

    def rate_places(self) -> None:
        """Rates of every place in the band, power capped against the weakest client that can be heard."""
        present = {name: c for name, c in self.channels.items() if name not in self._lab.roster.left_out}
        offsets = {name: self.offset_db(name) for name in present}
        self.rates = capped_rates(self._rule, present, self._radio, offsets, self.silence.barred)

    def offset_db(self, name: str) -> float:
        """What the round takes off a client's SINR before its first burst."""
        return self._before[name].offset_db

    def grant(self, name: str, rb_start: int, rb_count: int, blocks: int) -> None:
        """Grant a client RBs for an update of ``blocks`` code blocks; MCS and power follow from its SINR there."""
        lab, radio, rates = self._lab, self._radio, self.rates[name]
        reference = Grants.one(rb_start, rb_count, self.channels[name].sinr_db_within(rb_start, rb_count))
        powered = reference.at(float(rates.gain_db[rb_count - 1, rb_start]))
        tagger = FragmentTagger(lab.fragment_keys[name], lab.run_id, self._windows.round_index, name, lab.block_bytes)
        per_fragment = blocks_per_fragment(radio.fragment_bytes, lab.block_bytes)
        self.grants[name] = UplinkGrant(
            client=name,
            rb_start=rb_start,
            rb_count=rb_count,
            link=GrantLink(self._rule, self._before[name], powered, radio.snr_margin_db),
            cap_db=float(rates.cap_db[rb_count - 1, rb_start]),
            power_db=float(rates.power_db[rb_count - 1, rb_start]),
            cfo_correction_hz=self.carriers[name].cfo_correction_hz,
            clock_offset_ppm=self.carriers[name].clock_offset_ppm(radio.carrier_hz),
            arq=ArqTracker(tagger, blocks, per_fragment, radio.max_passes),
        )

    def states(self) -> dict[str, LinkState]:
        """What is known of every client's link after the round."""
        links = self._before | {name: grant.link.state for name, grant in self.grants.items()}
        for name in self.channels.keys() - self.rates.keys() - self._lab.roster.left_out.keys():
            links[name] = after_silence(links[name], self._radio.target_block_error_rate, self._radio.snr_margin_db)
        return links


def capped_rates(
    rule: LinkRule, channels: Mapping[str, ChannelMeasurement], radio: RadioTable, offsets_db: Mapping[str, float],
    barred: Sequence[int],
) -> dict[str, PlacedRates]:  # fmt: skip
    """Rates of every place in the band of the clients that can be heard, power capped against the weakest of them.

    ``offsets_db``: what link adaptation takes off each one's SINR. No grant may contain a ``barred`` RB.
    """
    full = PowerLimits(radio.psd_cap_db)
    heard = [
        name for name, channel in channels.items()
        if is_heard(rule, channel.fine_sinr_db, full, offsets_db[name], barred)
    ]  # fmt: skip
    snr_db = (channels[name].reference_snr_db for name in heard)
    limits = PowerLimits(radio.psd_cap_db, received_cap_db(snr_db, radio.max_power_spread_db))
    return {name: placed_rates(rule, channels[name].fine_sinr_db, limits, offsets_db[name], barred) for name in heard}
