"""The link of whole rounds over the radio without samples: soundings, places, power, offsets."""

import msgspec
import numpy as np
import pytest

from base_station.state import ServerState
from benchmarks.parts.radio_rounds import RadioRounds, equal_shares
from protocol.experiment_file import experiment_from_dict
from radio.adaptation import after_burst

BAND = (0, 28)


def lab(snr_db, seed=3, **tables):
    members = [{"name": f"c{i + 1}", "mean_snr_db": value} for i, value in enumerate(snr_db)]
    raw = {
        "experiment": {"name": "links", "seed": seed},
        "radio": {"driver": "abstract"},
        "channel": {"model": "awgn"},
        "clients": {"members": members},
    }
    for table, values in tables.items():
        raw[table].update(values)
    return RadioRounds(experiment_from_dict(raw, "links"))


@pytest.mark.parametrize("snr_db", [(45.0, 32.0, 18.0, 5.0), (2.0, 20.0, 42.0, 30.0)])
def test_received_power_per_resource_block_stays_within_twenty_db(snr_db):
    with lab(snr_db) as rounds:
        played = rounds.play(4, equal_shares(rounds.experiment, 28))
    first = played.received_psd_db()[0]
    assert len(first) == 4
    assert max(first.values()) - min(first.values()) <= 20.0
    strongest = played.link.grants[f"c{1 + int(np.argmax(snr_db))}"]
    assert strongest.cap_db < -10.0
    assert strongest.tx_gain_db == pytest.approx(strongest.cap_db - 10 * np.log10(28 / strongest.rb_count))


def test_power_beyond_the_top_mcs_is_taken_back_and_saves_energy():
    with lab((48.0, 44.0)) as rounds:
        played = rounds.play(4, equal_shares(rounds.experiment, 28))
    for name, grant in played.link.grants.items():
        assert grant.backoff_db > 8.0
        assert grant.last_mcs == rounds.lab.tables.mcs_names[-1]
        assert grant.arq.complete
        full_power_j = 1e-2 * grant.air_samples / 2e6
        assert played.data_energy_j(name) == pytest.approx(full_power_j * 10 ** (grant.tx_gain_db / 10), rel=0.05)
        assert played.data_energy_j(name) < 0.2 * full_power_j


def test_a_jammer_costs_only_its_resource_blocks():
    jammed = {"jammer_rb": 9, "jammer_rb_count": 2, "jammer_db": 14.0}
    with lab((24.0,), channel=jammed) as rounds:
        played = rounds.play(4, {"c1": BAND})
    assert played.link.silence.barred == [9, 10]
    rates = played.link.rates["c1"]
    assert rates.best_within(0, 11) == (0, 9)
    assert rates.best_within(9, 19) == (11, 17)
    assert rates.best_within(9, 2) is None
    assert played.link.grants["c1"].arq.complete


def test_a_client_sits_where_its_channel_is_good():
    with lab((6.0,), channel={"model": "tdl-c", "delay_spread_s": 800e-9}) as rounds:
        played = rounds.play(2, {"c1": BAND})
        reference_db = np.array(played.link.channels["c1"].reference_sinr_db)
        start, count = played.link.rates["c1"].best_within(*BAND)
        places = [played.link.rates["c1"].best_within(s, 6) for s in range(23)]
        rates = [0.0 if p is None else played.link.rates["c1"].rate_bps[p[1] - 1, p[0]] for p in places]
        means = [np.mean(reference_db[s : s + 6]) for s in range(23)]
    assert np.ptp(reference_db) > 3.0
    assert (played.link.grants["c1"].rb_start, played.link.grants["c1"].rb_count) == (start, count)
    assert np.corrcoef(rates, means)[0, 1] > 0.8


def test_offsets_follow_the_first_transmissions_and_are_kept_in_the_state():
    with lab((9.0, 20.0), seed=5, channel={"lost_block_rate": 0.3}) as rounds:
        shares = equal_shares(rounds.experiment, 28)
        expected, passes = dict(rounds.state.links), set()
        for _ in range(3):
            played = rounds.play(8, shares)
            assert played.link.offset_db("c1") == expected["c1"].offset_db
            for burst in (b for b in played.windows.bursts if b.kind == "data"):
                passes.add(burst.pass_index)
                if burst.pass_index == 0:
                    before = expected[burst.client]
                    expected[burst.client] = after_burst(before, burst.blocks, burst.blocks_failed, 0.1)
        state = ServerState.from_bytes(rounds.state.to_bytes())
    assert len(passes) > 1
    assert state.links == expected
    assert all(link.offset_db > 1.15 for link in state.links.values())


def test_a_client_shut_out_by_its_offset_is_let_in_again_step_by_step():
    with lab((-8.0,)) as rounds:
        link = rounds.state.links["c1"]
        rounds.state.links["c1"] = msgspec.structs.replace(link, offset_db=10.0)
        shut_out = rounds.play(1, {"c1": BAND})
        after_db = rounds.state.links["c1"].offset_db
        rounds.state.links["c1"] = link
        let_in = rounds.play(1, {"c1": BAND})
    assert "c1" in shut_out.link.channels
    assert shut_out.link.rates == shut_out.link.grants == {}
    assert 9.9 < after_db < 10.0
    assert let_in.link.grants["c1"].arq.complete
