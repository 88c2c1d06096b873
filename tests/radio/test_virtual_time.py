"""The time of virtual Plutos: stepped, on demand, and paced by the clock."""

import threading
import time

import numpy as np
import pytest
from iiod_client import ADC, DAC, PHY, IiodClient, as_complex, tone_codes

from protocol.errors import ConfigurationError
from radio.virtual import engine
from radio.virtual.control_messages import Status
from radio.virtual.registers import OVERFLOW
from radio.virtual.testbed import virtual_plutos


def test_the_same_commands_give_the_same_samples_whatever_the_steps():
    def run(steps):
        medium = {"medium": {"model": "tdl-a", "doppler_hz": 30.0}}
        with (
            virtual_plutos(["a", "b"], medium, stepped=True) as plutos,
            IiodClient(plutos.uri("a")) as receiver,
            IiodClient(plutos.uri("b")) as sender,
        ):
            for client in (receiver, sender):
                client.configure()
            receiver.open(ADC, 30_000)
            sender.open(DAC, 4096, cyclic=True)
            sender.push(tone_codes(100, 4096))
            for step in steps:
                plutos.advance(step)
            return receiver.receive_codes(30_000)

    first = run([30_000])
    np.testing.assert_array_equal(run([30_000]), first)
    # Cut elsewhere only the rounding of single-precision sums differs.
    assert np.abs(run([7, 9_993, 20_000]).astype(int) - first).max() <= 1
    assert as_complex(first).std() > 0.005


def test_on_demand_reading_moves_time_just_as_far_as_it_needs():
    with virtual_plutos(["a", "b"], on_demand=True) as plutos, IiodClient(plutos.uri("a")) as client:
        client.configure()
        with IiodClient(plutos.uri("b")) as other:
            other.configure()
            other.ask(f"SET {ADC} BUFFERS_COUNT 2")
            other.open(ADC, 1000)
            client.open(ADC, 1000)
            before = plutos.control(Status()).radios
            client.receive(500)
            client.receive(500)
            after = plutos.control(Status()).radios
            assert after[0].samples - before[0].samples == 1000
            assert after[1].samples - before[1].samples == pytest.approx(1000, abs=2)
            assert [radio.overflows for radio in after] == [0, 0]
            client.receive(3000)
            assert [radio.overflows for radio in plutos.control(Status()).radios] == [0, 1]
            assert len(other.receive(2000)) == 2000
            plutos.advance(100)
            assert plutos.control(Status()).radios[0].samples - after[0].samples == 3100


def test_paced_time_cannot_be_advanced():
    with virtual_plutos(["a"]) as plutos, pytest.raises(ConfigurationError, match="--stepped"):
        plutos.advance(1)


def test_paced_buffers_that_nobody_reads_overflow_and_the_register_says_so():
    with virtual_plutos(["a"]) as plutos, IiodClient(plutos.uri("a")) as client:
        client.configure()
        assert client.ask(f"SET {ADC} BUFFERS_COUNT 2") == 0
        client.open(ADC, 5_000)
        while not client.status(ADC) & OVERFLOW:
            threading.Event().wait(0.002)
        assert plutos.control(Status()).radios[0].overflows >= 1
        client.receive(10_000)  # what the two buffers held


def test_paced_transmission_takes_as_long_as_its_samples():
    with virtual_plutos(["a"]) as plutos, IiodClient(plutos.uri("a")) as client:
        client.configure()
        client.open(DAC, 25_000)
        begin_s = plutos.engine.time_s()
        for _ in range(24):
            client.push(np.zeros((25_000, 2)))
        # All but the four buffers that wait in the kernel have been sent: 20 of 10 ms.
        assert plutos.engine.time_s() - begin_s > 0.195


def test_a_medium_that_is_late_still_gives_what_was_sent_before_the_transmitter_went_off(monkeypatch):
    """On a busy machine: samples are made long after their time, when the carrier is down and the buffer closed."""
    monkeypatch.setattr(engine, "TICK_S", 60.0)  # nothing is made but on demand
    medium = {"medium": {"loss_db": 40.0, "crystal_ppm": 0.0}}
    with (
        virtual_plutos(["a", "b"], medium) as plutos,
        IiodClient(plutos.uri("a")) as receiver,
        IiodClient(plutos.uri("b")) as sender,
    ):
        receiver.configure(gain_db=30)
        sender.configure(tx_gain_db=-10.0)
        assert receiver.ask(f"SET {ADC} BUFFERS_COUNT 32") == 0
        receiver.open(ADC, 1 << 14)
        sender.open(DAC, 25_000)
        sender.push(tone_codes(1000, 25_000))
        time.sleep(0.06)  # ten milliseconds on the air, and twice the medium's memory
        sender.set(f"{PHY} OUTPUT TX_LO", "powerdown", 1)
        assert sender.ask(f"CLOSE {DAC}") == 0
        plutos.engine.catch_up()
        heard = np.abs(receiver.receive(1 << 14)) > 0.02
        heard = np.concatenate([heard, *(np.abs(receiver.receive(1 << 14)) > 0.02 for _ in range(7))])
    assert np.count_nonzero(heard) == pytest.approx(25_000, abs=100)
