"""Virtual Plutos that several files of this folder share."""

from __future__ import annotations

import pytest

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
