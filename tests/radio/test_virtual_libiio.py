"""Virtual Plutos used by the real libiio and by ADI's own Python classes, unchanged."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from iiod_client import as_complex, peak, tone_codes
from needs import needs_pyadi

from radio.virtual.attributes import pluto_inventory
from radio.virtual.control_messages import Drop, Stall, Status
from radio.virtual.testbed import virtual_plutos

RATE_HZ, LO_HZ = 2_000_000, 915_000_000
BUFFERS = 32
"""Kernel buffers: a quarter of a second, so that a busy machine loses nothing."""
needs_tools = pytest.mark.skipif(
    shutil.which("iio_info") is None, reason="libiio's tools are missing; run: apt-get install libiio-utils"
)


def tool(*command, data=None):
    return subprocess.run(command, input=data, capture_output=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def plutos():
    """Radios ``a`` and ``b``, 40 dB apart, without crystal error, in wall-clock time."""
    with virtual_plutos(["a", "b"], {"medium": {"loss_db": 40.0, "crystal_ppm": 0.0}}) as plutos:
        yield plutos


@pytest.fixture(scope="module")
def uri(plutos):
    return plutos.uri("a")


@needs_tools
def test_iio_info_finds_every_device_channel_and_attribute(uri):
    shown = tool("iio_info", "-u", uri)
    assert (shown.returncode, shown.stderr) == (0, b"")
    text = shown.stdout.decode()
    assert "IIO context has 4 devices" in text
    assert "hw_model: Analog Devices PlutoSDR Rev.C (Z7010-AD9363A)" in text
    for device in pluto_inventory().devices:
        count = len(device.channels)
        assert re.search(rf"{device.id}: {device.name}( \(buffer capable\))?\n\t\t{count} channels found", text)
    assert "ERROR: Unable to read" not in text


@needs_tools
def test_iio_attr_reads_writes_and_is_refused_like_on_a_pluto(uri):
    receiver = ["iio_attr", "-u", uri, "-c", "ad9361-phy", "RX_LO", "frequency"]
    assert tool(*receiver, "1234567890").stdout.split()[-1] == b"1234567890"
    assert tool(*receiver).stdout.split() == [b"1234567890"]
    refused = tool(*receiver, "1000")
    assert b"Invalid argument (22)" in refused.stdout + refused.stderr
    assert tool("iio_attr", "-u", uri, "-D", "ad9361-phy", "loopback", "0").returncode == 0
    assert tool("iio_attr", "-u", uri, "-C", "fw_version").stdout.split() == [b"fw_version:", b"v0.38"]


@needs_tools
def test_iio_writedev_and_iio_readdev_move_samples_through_the_loopback(uri):
    data = tone_codes(100, 4096).tobytes()
    tool("iio_attr", "-u", uri, "-c", "ad9361-phy", "voltage0", "sampling_frequency", "3000000")
    tool("iio_attr", "-u", uri, "-D", "ad9361-phy", "loopback", "1")
    writer = subprocess.Popen(
        ["iio_writedev", "-u", uri, "-b", "4096", "-c", "cf-ad9361-dds-core-lpc"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        writer.stdin.write(data)
        writer.stdin.flush()
        reader = ["iio_readdev", "-u", uri, "-b", "8192", "-s", "32768", "cf-ad9361-lpc"]
        for _ in range(20):  # the writer needs a moment to come on
            received = np.frombuffer(tool(*reader).stdout, "<i2").reshape(-1, 2)
            assert len(received) == 32768
            if np.abs(received).max() > 100:
                break
        found = peak(as_complex(received[-16384:]), 3e6)
        assert found == pytest.approx((100 * 3e6 / 4096, 20 * np.log10(0.5)), abs=0.1)
    finally:
        writer.terminate()
        writer.communicate(timeout=20)
        tool("iio_attr", "-u", uri, "-D", "ad9361-phy", "loopback", "0")


@pytest.fixture
def sdr_of(plutos):
    """Opens ``adi.Pluto`` on a radio, configured; buffers are destroyed at the end, as pyadi-iio needs it."""
    import adi

    opened = []

    def open_sdr(name):
        sdr = adi.Pluto(uri=plutos.uri(name))
        opened.append(sdr)
        sdr.sample_rate = RATE_HZ
        sdr.rx_lo = sdr.tx_lo = LO_HZ
        sdr.gain_control_mode_chan0 = "manual"
        sdr.rx_hardwaregain_chan0 = 20
        sdr.tx_hardwaregain_chan0 = -10
        sdr.rx_buffer_size = 1 << 14
        sdr._rxadc.set_kernel_buffers_count(BUFFERS)
        return sdr

    yield open_sdr
    for sdr in opened:
        sdr.rx_destroy_buffer()
        sdr.tx_destroy_buffer()


def flushed(sdr):
    """Samples taken from now on (the buffers before them are thrown away), full scale 1."""
    sdr.rx_destroy_buffer()
    sdr.rx()
    return sdr.rx() / 2048.0


def tone(cycles, samples=4096, amplitude=0.5):
    codes = tone_codes(cycles, samples, amplitude)
    return codes[:, 0] + 1j * codes[:, 1]


@needs_pyadi
def test_adi_pluto_is_configured_and_reads_back_what_was_set(sdr_of):
    sdr = sdr_of("a")
    assert (sdr.sample_rate, sdr.rx_lo, sdr.tx_lo) == (RATE_HZ, LO_HZ, LO_HZ)
    assert (sdr.rx_hardwaregain_chan0, sdr.tx_hardwaregain_chan0) == (20, -10)
    assert sdr._ctrl.attrs["filter_fir_config"].value == "FIR Rx: 128,4 Tx: 128,4"
    for rate_hz in (521_000, 30_720_000, 61_440_000, RATE_HZ):
        sdr.sample_rate = rate_hz
        assert sdr.sample_rate == rate_hz
    sdr.rx_dec8_filter_en = True
    assert sdr.rx_dec8_filter_en
    sdr.rx_dec8_filter_en = False
    with pytest.raises(OSError, match="Invalid argument"):
        sdr.rx_lo = 100


@needs_pyadi
def test_what_one_adi_pluto_sends_the_other_receives(sdr_of):
    receiver, sender = sdr_of("a"), sdr_of("b")
    sender.tx_cyclic_buffer = True
    sender.tx(tone(100))
    expected = 100 * RATE_HZ / 4096, 7.0 - 10.0 - 6.02 - 40.0 + 20.0
    assert peak(flushed(receiver), RATE_HZ) == pytest.approx(expected, abs=0.1)
    sender.tx_destroy_buffer()
    assert peak(flushed(receiver), RATE_HZ)[1] < -45.0
    sender.tx_cyclic_buffer = False
    sender.dds_single_tone(300_000, 0.25)
    assert peak(flushed(receiver), RATE_HZ) == pytest.approx((3e5, expected[1] - 6.02), abs=0.1)
    sender.dds_single_tone(-300_000, 0.0)


@needs_pyadi
def test_adi_pluto_streams_without_a_gap_through_the_digital_loopback(plutos, sdr_of):
    sdr = sdr_of("a")
    sdr.loopback = 1
    sdr.tx_cyclic_buffer = True
    ramp = (np.arange(4096) - 2048) * 16
    sdr.tx(ramp + 1j * ramp[::-1])

    def overflows():
        return plutos.control(Status()).radios[0].overflows

    for _ in range(10):  # a machine that stops for a quarter of a second loses samples, and says so
        before = overflows()
        flushed(sdr)
        received = np.concatenate([sdr.rx() for _ in range(4)])
        if overflows() == before:
            break
    sdr.loopback = 0
    assert set(np.unique(np.diff(received.real))) == {1.0, -4095.0}


@needs_pyadi
def test_automatic_gain_and_power_meter_follow_the_signal(sdr_of):
    receiver, sender = sdr_of("a"), sdr_of("b")
    sender.tx_cyclic_buffer = True
    sender.tx(tone(100))
    flushed(receiver)
    receiver.rx_destroy_buffer()  # nobody receives: readings are those at rest
    strong = float(receiver._ctrl.find_channel("voltage0").attrs["rssi"].value.split()[0])
    receiver.gain_control_mode_chan0 = "slow_attack"
    assert receiver.rx_hardwaregain_chan0 == pytest.approx(-10.0 - (7.0 - 10.0 - 6.02 - 40.0), abs=1.0)
    sender.tx_hardwaregain_chan0 = -30
    weak = float(receiver._ctrl.find_channel("voltage0").attrs["rssi"].value.split()[0])
    assert weak - strong == pytest.approx(20.0, abs=0.5)
    receiver.gain_control_mode_chan0 = "manual"


@needs_pyadi
def test_a_connection_that_drops_is_an_error_and_a_new_context_works(plutos, sdr_of):
    sdr = sdr_of("a")
    sdr.rx()
    plutos.control(Drop(radio="a"))
    with pytest.raises(OSError):
        sdr.rx()
    assert len(sdr_of("a").rx()) == 1 << 14


@needs_pyadi
def test_libiio_gives_up_on_a_stalled_radio_and_an_unplugged_one(plutos):
    import iio

    context = iio.Context(plutos.uri("b"))
    context.set_timeout(300)
    plutos.control(Stall(radio="b"))
    try:
        with pytest.raises(OSError):
            context.find_device("ad9361-phy").attrs["xo_correction"].value  # noqa: B018
    finally:
        plutos.server("b").radio.faults.clear()
    plutos.server("b").unplug()
    try:
        with pytest.raises(OSError):
            iio.Context(plutos.uri("b"))
    finally:
        plutos.server("b").plug_in()


GNU_RADIO = Path(__file__).with_name("virtual_pluto_flowgraph.py")


def system_python_has_gr_iio():
    found = Path("/usr/bin/python3")
    return found.exists() and tool(str(found), "-c", "from gnuradio import iio").returncode == 0


@pytest.mark.skipif(not system_python_has_gr_iio(), reason="GNU Radio's gr-iio is missing; run: make setup")
def test_gnu_radio_s_own_blocks_send_and_receive(plutos):
    done = tool("/usr/bin/python3", str(GNU_RADIO), plutos.uri("b"), plutos.uri("a"), str(RATE_HZ), str(LO_HZ))
    assert done.returncode == 0, done.stderr.decode()
    frequency_hz, level_dbfs = map(float, re.search(rb"measured (\S+) (\S+)", done.stdout).groups())
    assert frequency_hz == pytest.approx(100_000, abs=20.0)
    assert level_dbfs == pytest.approx(7.0 - 10.0 - 6.02 - 40.0 + 20.0, abs=0.3)
