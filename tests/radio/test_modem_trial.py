"""What lies between a trial's transmitter and receiver is what it says."""

import numpy as np
import pytest

from protocol.bursts import DataBurst
from protocol.random_streams import random_stream
from radio.channel.medium import phasor
from radio.modem import burst_air_samples, receive
from radio.modem.trial import Impairments, Neighbour, Scene, random_blocks, received, send
from radio.numerology import DEFAULT_2MSPS

RATE_HZ = DEFAULT_2MSPS.sample_rate_hz


def data_burst(rb_start, rb_count, blocks=8, tx_gain_db=0.0):
    return DataBurst(
        client="a",
        burst_id=5 + rb_start,
        rb_start=rb_start,
        rb_count=rb_count,
        mcs="qpsk-1/2",
        block_ids=list(range(blocks)),
        tx_gain_db=tx_gain_db,
    )


def stream_of(burst, scene, **impairments):
    rng = random_stream(1, "trial")
    blocks = random_blocks(rng, burst)
    return received(rng, burst, blocks, Impairments(**{"snr_db": 60.0, **impairments}), DEFAULT_2MSPS, scene)


def density_db(stream, rb_start, rb_count, offset_hz=0.0):
    """Mean power per subcarrier of a grant's inner resource elements, dB."""
    down_hz = DEFAULT_2MSPS.centre_hz(rb_start, rb_count) + offset_hz
    turned = stream * phasor(len(stream), -down_hz / RATE_HZ, 0, 1.0)
    power = np.abs(np.fft.fft(turned * np.hanning(len(turned)))) ** 2
    half_hz = (4 * rb_count - 1) * DEFAULT_2MSPS.subcarrier_spacing_hz
    return 10 * np.log10(np.mean(power[np.abs(np.fft.fftfreq(len(turned), 1 / RATE_HZ)) < half_hz]))


@pytest.mark.parametrize("tx_gain_db", [0.0, -11.0])
def test_neighbours_lie_in_their_own_resource_blocks_at_their_own_level(tx_gain_db):
    burst = data_burst(2, 6)
    other = data_burst(9, 3, tx_gain_db=tx_gain_db)
    blocks = random_blocks(random_stream(2, "neighbour"), other)
    neighbour = Neighbour(other, blocks, density_db=17.0, start=1500.0, cfo_hz=1900.0)
    stream = stream_of(burst, Scene(neighbours=(neighbour,)))[8000:12000]
    level_db = density_db(stream, 9, 3, 1900.0) - density_db(stream, 2, 6)
    assert level_db == pytest.approx(17.0, abs=0.7)
    assert density_db(stream, 14, 8) - density_db(stream, 2, 6) < -35.0


@pytest.mark.parametrize("start", [-4000.5, 0.0, 80_000.25])
def test_a_neighbour_may_begin_before_the_stream_or_end_beyond_it(start):
    burst, other = data_burst(2, 6), data_burst(9, 3, blocks=1)
    blocks = random_blocks(random_stream(3, "neighbour"), other)
    stream = stream_of(burst, Scene(neighbours=(Neighbour(other, blocks, 30.0, start),)))
    loud = np.abs(stream) > 8.0
    assert len(stream) == len(stream_of(burst, Scene()))
    first, last = np.flatnonzero(loud)[[0, -1]]
    end = start + burst_air_samples(other, DEFAULT_2MSPS)
    assert first == pytest.approx(max(start, 0.0), abs=100)
    assert last == pytest.approx(min(end, len(stream)), abs=100)


def test_stages_act_on_transmitters_paths_and_receiver_in_this_order():
    burst, other = data_burst(2, 6), data_burst(9, 3)
    blocks = random_blocks(random_stream(4, "neighbour"), other)
    plain = stream_of(burst, Scene(neighbours=(Neighbour(other, blocks, 0.0, 1500.0),)))
    scene = Scene(
        fading=lambda x: np.float32(3.0) * x,
        neighbours=(Neighbour(other, blocks, 0.0, 1500.0, fading=lambda x: np.float32(5.0) * x),),
        transmitter=lambda x: np.clip(np.abs(x), None, 0.1) * np.exp(1j * np.angle(x)),
        receiver=lambda x: np.float32(2.0) * x,
    )
    heard = stream_of(burst, scene)
    # Limited first: the envelope is 0.1, then amplified by path and receiver.
    assert np.quantile(np.abs(heard), 0.9) == pytest.approx(2.0 * 0.1 * 5.8, rel=0.5)
    assert np.abs(heard).max() < 2.0 * (3.0 + 5.0) * 0.1 * 2.0
    assert np.abs(plain).max() > 1.0


def test_the_wanted_burst_survives_its_echo_and_its_shift():
    burst = data_burst(2, 6)
    scene = Scene(fading=lambda x: x + np.complex64(0.5j) * np.roll(x, 12))
    rng = random_stream(5, "echo")
    blocks = random_blocks(rng, burst)
    stream = send(rng, burst, blocks, Impairments(snr_db=20.0, cfo_hz=1500.0), DEFAULT_2MSPS, scene)
    report = receive(burst, stream, DEFAULT_2MSPS)
    assert report.blocks == blocks
    assert report.cfo_hz == pytest.approx(1500.0, abs=10.0)
