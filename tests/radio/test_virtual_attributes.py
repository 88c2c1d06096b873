"""Attributes of one virtual Pluto: shared files, ranges and the errno of a real one."""

import contextlib
import errno
import xml.etree.ElementTree as ElementTree

import pytest

from radio.virtual.attributes import ADC, DAC, PHY, XADC, pluto_inventory
from radio.virtual.clock_chain import Fir, clock_chain, parse_fir
from radio.virtual.device import Identity, PlutoDevice
from radio.virtual.protocol import IiodError, Target
from radio.virtual.settings import RadioSettings, Tone

RECEIVE, TRANSMIT = Target(PHY, "input", "voltage0"), Target(PHY, "output", "voltage0")
RX_LO, TX_LO = Target(PHY, "output", "RX_LO"), Target(PHY, "output", "altvoltage1")
FIR = "RX 3 GAIN -6 DEC 4\nTX 3 GAIN 0 INT 4\n" + "5,-5\n" * 128 + "\n"


class Sensors:
    """A radio side that measures the same for ever."""

    status = 0
    gain_db = 44.0

    def rssi_db(self):
        return 71.25

    def receive_gain_db(self):
        return self.gain_db

    def temperature_c(self):
        return 37.5

    def take_status(self, device):
        taken, self.status = self.status, 0
        return taken


class Bench:
    """A device with what it told the radio side."""

    def __init__(self, **identity):
        self.sensors, self.told = Sensors(), []
        self.device = PlutoDevice(Identity("1044a", **identity), self.sensors, self.told.append)

    def read(self, target, attribute):
        return self.device.read(target, attribute)

    def write(self, target, attribute, value):
        self.device.write(target, attribute, str(value))

    def refusal(self, target, attribute, value):
        with pytest.raises(IiodError) as refused:
            self.write(target, attribute, value)
        return refused.value.number


@pytest.fixture
def bench():
    return Bench()


def test_one_rate_is_seen_through_every_channel(bench):
    bench.write(TRANSMIT, "sampling_frequency", 4_000_000)
    assert bench.read(RECEIVE, "sampling_frequency") == "4000000"
    assert bench.read(Target(PHY, "input", "voltage2"), "sampling_frequency") == "4000000"
    assert bench.read(Target(ADC, "input", "voltage1"), "sampling_frequency_available") == "4000000 500000 "
    assert bench.read(Target(DAC, "output", "TX1_I_F1"), "sampling_frequency") == "4000000"
    assert "RXSAMP:4000000" in bench.read(Target(PHY), "rx_path_rates")
    assert bench.told[-1].sample_rate_hz == 4e6


def test_slow_rates_need_a_filter_that_is_on(bench):
    assert bench.refusal(RECEIVE, "sampling_frequency", 2_000_000) == errno.EINVAL
    assert bench.refusal(RECEIVE, "filter_fir_en", 1) == errno.EINVAL  # none is loaded
    bench.write(RECEIVE, "sampling_frequency", 3_000_000)
    bench.write(Target(PHY), "filter_fir_config", FIR)
    assert bench.read(Target(PHY), "filter_fir_config") == "FIR Rx: 128,4 Tx: 128,4"
    bench.write(Target(PHY, "input", "out"), "voltage_filter_fir_en", 1)
    assert bench.read(RECEIVE, "filter_fir_en") == bench.read(TRANSMIT, "filter_fir_en") == "1"
    bench.write(RECEIVE, "sampling_frequency", 600_000)
    assert bench.refusal(Target(PHY, "input", "out"), "voltage_filter_fir_en", 0) == errno.EINVAL
    assert bench.refusal(Target(PHY), "filter_fir_config", FIR) == errno.EBUSY
    assert bench.read(RECEIVE, "sampling_frequency") == "600000"


def test_a_filter_longer_than_the_clocks_allow_is_refused():
    assert clock_chain(61_440_000, "nominal", Fir(128, 2, 2), Fir(128, 2, 2)) is None
    assert clock_chain(61_440_000, "nominal", Fir(64, 2, 2), Fir(64, 2, 2)) is not None


@pytest.mark.parametrize(
    "text", ["", "RX 3 GAIN -6 DEC 4\n1,2\n", FIR.replace("DEC 4", "DEC 3"), FIR + "1,x\n", FIR + "7,7\n"]
)
def test_what_is_no_filter_is_refused(text):
    assert parse_fir(text) is None


def test_a_carrier_out_of_range_is_refused_and_the_old_one_stays(bench):
    bench.write(TX_LO, "frequency", 915_000_000)
    for value in (324_999_999, 3_800_000_001, "x", "", "nan"):
        assert bench.refusal(TX_LO, "frequency", value) == errno.EINVAL
    assert bench.read(TX_LO, "frequency") == "915000000"


def test_the_firmware_s_chip_sets_the_range_of_carriers():
    bench = Bench(model="ad9364")
    bench.write(RX_LO, "frequency", 70_000_000)
    assert b'value="ad9364"' in bench.device.context()


def test_a_new_carrier_does_not_switch_its_oscillator_on(bench):
    bench.write(TX_LO, "powerdown", 1)
    bench.write(TX_LO, "frequency", 915_000_000)
    assert bench.read(TX_LO, "powerdown") == "1"
    assert not bench.told[-1].transmit_lo_on


def test_the_gain_is_set_in_manual_mode_only_and_within_the_band_s_range(bench):
    assert bench.refusal(RECEIVE, "hardwaregain", 20) == errno.EOPNOTSUPP
    bench.write(RECEIVE, "gain_control_mode", "manual")
    assert bench.told[-1].manual_gain_db == 44  # where the automatic control was
    assert bench.refusal(RECEIVE, "hardwaregain", 72) == errno.EINVAL
    bench.write(RX_LO, "frequency", 915_000_000)
    assert bench.read(RECEIVE, "hardwaregain_available") == "[-1 1 73]"
    bench.write(RECEIVE, "hardwaregain", "72.6 dB")
    assert bench.told[-1].manual_gain_db == 72
    bench.write(RX_LO, "frequency", 2_400_000_000)
    assert bench.told[-1].manual_gain_db == 71
    assert bench.refusal(RECEIVE, "gain_control_mode", "psychic") == errno.EINVAL


def test_the_transmit_gain_moves_in_quarters(bench):
    bench.write(TRANSMIT, "hardwaregain", -12.37)
    assert bench.read(TRANSMIT, "hardwaregain") == "-12.250000 dB"
    for value in (0.25, -90, "inf"):
        assert bench.refusal(TRANSMIT, "hardwaregain", value) == errno.EINVAL


def test_measured_and_listed_values_cannot_be_written(bench):
    cases = [
        (RECEIVE, "rssi"), (RECEIVE, "hardwaregain_available"), (Target(PHY), "rx_path_rates"),
        (Target(PHY, "input", "temp0"), "input"), (Target(XADC), "sampling_frequency"),
    ]  # fmt: skip
    for target, attribute in cases:
        assert bench.refusal(target, attribute, 1) == errno.EACCES
    assert bench.read(RECEIVE, "rssi") == "71.25 dB"
    assert bench.read(Target(PHY, "input", "temp0"), "input") == "37500"
    raw, offset = (int(bench.read(Target(XADC, "input", "temp0"), name)) for name in ("raw", "offset"))
    assert (raw + offset) * 123.040771484 == pytest.approx(37500, abs=62)


def test_what_is_not_there_has_the_errno_of_libiio(bench):
    cases = [
        (Target("iio:device9"), "x", errno.ENODEV), (Target(PHY, "input", "voltage9"), "x", errno.ENXIO),
        (Target(PHY), "colour", errno.ENOENT), (Target(PHY), "dcxo_tune_fine", errno.ENODEV),
        (RX_LO, "fastlock_recall", errno.EINVAL),
    ]  # fmt: skip
    for target, attribute, number in cases:
        with pytest.raises(IiodError) as refused:
            bench.read(target, attribute)
        assert refused.value.number == number


def test_buffers_run_at_the_converters_rate_or_an_eighth_of_it(bench):
    stream = Target(ADC, "input", "voltage0")
    bench.write(RECEIVE, "sampling_frequency", 8_000_000)
    bench.write(stream, "sampling_frequency", 1_000_000)
    assert (bench.told[-1].receive_decimation, bench.told[-1].transmit_interpolation) == (8, 1)
    assert bench.refusal(stream, "sampling_frequency", 2_000_000) == errno.EINVAL
    bench.write(RECEIVE, "sampling_frequency", 4_000_000)
    assert bench.read(stream, "sampling_frequency") == "500000"


def test_tones_of_the_dds_reach_the_radio(bench):
    generator = Target(DAC, "output", "TX1_Q_F1")
    bench.write(generator, "frequency", 250_000)
    bench.write(generator, "phase", 450_000)
    bench.write(generator, "scale", 0.25)
    assert bench.told[-1].tones == (Tone(True, 250_000.0, 90.0, 0.25),)
    bench.write(generator, "raw", 0)
    assert bench.told[-1].tones == ()
    assert bench.refusal(generator, "scale", 1.5) == errno.EINVAL
    assert bench.refusal(generator, "frequency", 16_000_000) == errno.EINVAL


def test_the_status_register_is_read_cleared_and_kept_apart_from_memory(bench):
    debug = Target(ADC, "debug")
    bench.sensors.status = 5
    bench.write(debug, "direct_reg_access", "2147483784")
    assert bench.read(debug, "direct_reg_access") == "0x5"
    bench.write(debug, "direct_reg_access", "0x80000088 0x4")
    assert bench.read(debug, "direct_reg_access") == "0x1"
    bench.write(debug, "direct_reg_access", "0x10 0xAB")
    assert bench.read(debug, "direct_reg_access") == "0xAB"
    for value in ("", "x", "1 2 3", "-1", "0x100000000"):
        assert bench.refusal(debug, "direct_reg_access", value) == errno.EINVAL


def test_the_crystal_correction_has_a_range_around_the_factory_s(bench):
    bench.write(Target(PHY), "xo_correction", 40_000_123)
    assert bench.told[-1].xo_correction_hz == 40_000_123
    assert bench.refusal(Target(PHY), "xo_correction", 40_008_001) == errno.EINVAL


def test_power_up_puts_everything_back(bench):
    first = bench.told[0]
    bench.write(RX_LO, "frequency", 915_000_000)
    bench.write(Target(PHY, "debug"), "loopback", 1)
    assert bench.told[-1].digital_loopback
    bench.device.power_up()
    assert bench.told[-1] == first == RadioSettings()


def test_the_context_describes_every_attribute_once_and_says_who_it_is(bench):
    document = bench.device.context().decode()
    root = ElementTree.fromstring(document[document.index("<context ") :])
    shown = {
        (device.get("id"), channel.get("type"), channel.get("id")): [a.get("name") for a in channel.iter("attribute")]
        for device in root.iter("device")
        for channel in device.iter("channel")
    }
    for device in pluto_inventory().devices:
        for channel in device.channels:
            assert shown[device.id, channel.type, channel.id] == list(channel.attributes)
    values = {a.get("name"): a.get("value") for a in root.iter("context-attribute")}
    assert (values["hw_serial"], values["fw_version"]) == ("1044a", "v0.38")
    assert document.index("<!DOCTYPE context") < document.index("<context ")


def test_every_file_of_the_inventory_has_a_value_or_an_error():
    for device in pluto_inventory().devices:
        files = {file for channel in device.channels for file in channel.attributes.values()}
        files |= {*device.attributes, *(f"buffer/{n}" for n in device.buffer_attributes)}
        files |= {f"debug/{n}" for n in device.debug_attributes}
        assert files == set(device.values) | set(device.errors)


@pytest.mark.parametrize(
    "value", ["", " ", "x", "-1", "1e9", "1e400", "nan", "9" * 5000, "\xff\x00", "1 2 3", "[1 2", "0x10"]
)
def test_no_value_of_any_attribute_breaks_the_device(bench, value):
    for device in pluto_inventory().devices:
        targets = [Target(device.id), Target(device.id, "debug"), Target(device.id, "buffer")]
        targets += [Target(device.id, channel.type, channel.id) for channel in device.channels]
        for target in targets:
            for attribute in bench.device.attribute_names(target):
                with contextlib.suppress(IiodError):
                    bench.write(target, attribute, value)
                with contextlib.suppress(IiodError):
                    bench.read(target, attribute)
