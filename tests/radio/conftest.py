"""Virtual Plutos that several files of this folder share."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from iiod_client import IiodClient
from virtual_bench import LO_HZ, RATE_HZ, Bench

from radio.pluto.pluto import Pluto
from radio.virtual.testbed import virtual_plutos


@pytest.fixture(scope="module")
def plutos():
    """Radios ``a`` and ``b``, 40 dB apart, without crystal error, in wall-clock time."""
    with virtual_plutos(["a", "b"], {"medium": {"loss_db": 40.0, "crystal_ppm": 0.0}}) as plutos:
        yield plutos


@pytest.fixture
def opened(plutos):
    """Opens a Pluto; closed at the end, faults cleared."""
    found = []

    def open_pluto(name, limits=None, **options):
        found.append(Pluto(plutos.uri(name), limits, **options))
        return found[-1]

    yield open_pluto
    for pluto in found:
        pluto.close()
    for server in plutos.servers.values():
        server.radio.faults.clear()
        if not server.plugged_in:
            server.plug_in()


@pytest.fixture
def bench_of():
    """Opens a bench for a medium file's content."""
    with ExitStack() as stack:

        def open_bench(tables, **configuration):
            names = [table["name"] for table in tables["radio"]]
            plutos = stack.enter_context(virtual_plutos(names, tables, stepped=True))
            clients = [stack.enter_context(IiodClient(plutos.uri(name))) for name in names]
            for client in clients:
                client.configure(**({"rate_hz": RATE_HZ, "lo_hz": LO_HZ} | configuration))
            return Bench(plutos, clients)

        yield open_bench
