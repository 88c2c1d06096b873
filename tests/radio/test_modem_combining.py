"""Chase combining: soft bits of failed blocks add up over bursts, and never for the worse."""

import numpy as np
import pytest

from protocol.bursts import DataBurst
from protocol.random_streams import random_stream
from radio.link_tables import LinkTables
from radio.modem import combining
from radio.modem.block_coding import block_soft_bits, encode_blocks
from radio.modem.combining import SoftMemory
from radio.modem.mcs import McsTable

BLOCKS = 3


def data_burst(mcs, burst_id, block_ids=range(BLOCKS), client="a"):
    return DataBurst(client, burst_id, 0, 8, mcs, list(block_ids))


def payloads(count=BLOCKS, mcs="qpsk-1/2"):
    rng = random_stream(1, "combining", mcs)
    return [rng.bytes(McsTable.load()[mcs].block_bytes) for _ in range(count)]


def soft_bits(burst, blocks, snr_db, seed=0):
    """Soft bits after a flat channel with white noise."""
    scheme = McsTable.load()[burst.mcs]
    n_symbols = -(-len(blocks) * scheme.block_coded_bits // scheme.bits_per_symbol)
    sent = encode_blocks(burst, blocks, n_symbols)
    rng = random_stream(seed, "noise", burst.burst_id)
    noise = rng.standard_normal(n_symbols) + 1j * rng.standard_normal(n_symbols)
    snr = 10.0 ** (snr_db / 10.0)
    received = (sent + noise * np.sqrt(0.5 / snr)).astype(np.complex64)
    return block_soft_bits(burst, received, np.full(n_symbols, snr, np.float32))


@pytest.mark.parametrize(("first", "second"), [
    ("qpsk-1/2", "qpsk-1/2"), ("16qam-3/4", "qpsk-3/4"), ("64qam-719", "16qam-522"),
    ("qpsk-526-short", "qpsk-277-short"),
])  # fmt: skip
def test_two_bursts_that_fail_alone_decode_together_whatever_their_mcs(first, second):
    blocks = payloads(mcs=first)
    bursts = [data_burst(first, 11), data_burst(second, 12)]
    soft = [soft_bits(burst, blocks, LinkTables.load().required_snr_db(burst.mcs, 0.5) - 1.4) for burst in bursts]
    assert all(SoftMemory().decode(b, s)[0] == [None] * BLOCKS for b, s in zip(bursts, soft, strict=True))
    memory = SoftMemory()
    assert memory.decode(bursts[0], soft[0]) == ([None] * BLOCKS, 0)
    assert memory.decode(bursts[1], soft[1]) == (blocks, BLOCKS)
    assert len(memory) == 0


def test_only_the_blocks_that_failed_are_kept_and_found_again_by_their_id():
    blocks = payloads()
    weak, strong = (
        soft_bits(data_burst("qpsk-1/2", 11), blocks, 1.2),
        soft_bits(data_burst("qpsk-1/2", 11), blocks, 9.0),
    )
    memory = SoftMemory()
    assert memory.decode(data_burst("qpsk-1/2", 11), np.concatenate([strong[:1], weak[1:]]))[0] == [
        blocks[0],
        None,
        None,
    ]
    assert len(memory) == BLOCKS - 1
    again = data_burst("qpsk-1/2", 12, [2])
    assert memory.decode(again, soft_bits(again, blocks[2:], 1.2)) == ([blocks[2]], 1)
    stranger = data_burst("qpsk-1/2", 13, [1], client="b")
    assert memory.decode(stranger, soft_bits(stranger, blocks[1:2], 1.2)) == ([None], 0)


def test_soft_bits_of_a_burst_that_was_not_its_own_do_not_spoil_a_block():
    blocks = payloads()
    memory = SoftMemory()
    rubbish = 50.0 * random_stream(3, "rubbish").standard_normal((BLOCKS, 4108)).astype(np.float32)
    assert memory.decode(data_burst("qpsk-1/2", 11), rubbish)[0] == [None] * BLOCKS
    burst = data_burst("qpsk-1/2", 12)
    assert memory.decode(burst, soft_bits(burst, blocks, 9.0)) == (blocks, 0)


def test_a_new_round_begins_with_an_empty_memory_and_the_oldest_blocks_go_first(monkeypatch):
    monkeypatch.setattr(combining, "MAX_KEPT_BLOCKS", 2)
    memory = SoftMemory()
    memory.begin(4)
    burst = data_burst("qpsk-1/2", 11)
    memory.decode(burst, np.zeros((BLOCKS, 4108), np.float32))
    assert len(memory) == 2
    memory.begin(4)
    assert len(memory) == 2
    memory.begin(5)
    assert len(memory) == 0
