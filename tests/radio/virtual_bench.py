"""A bench in stepped time: one virtual radio receives what all others send."""

from __future__ import annotations

from iiod_client import ADC, DAC, tone_codes

RATE_HZ = 2_500_000
LO_HZ = 915_000_000
PERIOD = 4096
SAMPLES = 1 << 16
CLEAN = {"transmit_image_db": -150.0, "receive_image_db": -150.0, "lo_leakage_dbm": -150.0, "receive_dc_dbfs": -150.0}
"""A radio without impairments."""


def radios(*ppm, **more):
    """[[radio]] tables ``r0``, ``r1`` .. with these crystals and no impairments but those named."""
    return [{"name": f"r{i}", "crystal_ppm": p, **CLEAN, **more} for i, p in enumerate(ppm)]


class Bench:
    """Radio ``r0`` receives, all others send; in stepped time."""

    def __init__(self, plutos, clients):
        self.plutos, self.clients = plutos, clients

    def receive(self, samples=SAMPLES):
        receiver = self.clients[0]
        receiver.open(ADC, samples)
        self.plutos.advance(samples, "r0")
        received = receiver.receive(samples)
        assert receiver.ask(f"CLOSE {ADC}") == 0
        return received

    def send_tone(self, cycles, amplitude=0.5, sender=1):
        """A tone of ``cycles`` in PERIOD samples that is already on when the next samples are received."""
        self.clients[sender].open(DAC, PERIOD, cyclic=True)
        self.clients[sender].push(tone_codes(cycles, PERIOD, amplitude))
        self.plutos.advance(2 * PERIOD)
