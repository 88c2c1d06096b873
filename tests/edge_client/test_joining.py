"""Joining a base station: one experiment on both sides, and a radio that can be reached from another machine."""

from __future__ import annotations

import msgspec
import pytest

from edge_client.client import ClientSession
from edge_client.joining import check_same_experiment, reachable_radio_address, with_own_radio
from edge_client.trainer import SharedModel
from protocol.errors import ConfigurationError
from protocol.experiment_file import experiment_from_dict, experiment_to_dict
from protocol.messages import Welcome


def experiment(**tables):
    raw = {"experiment": {"name": "lab"}, "clients": {"members": [{"name": "a", "mean_snr_db": 20.0}]}}
    for table, values in tables.items():
        raw.setdefault(table, {}).update(values)
    return experiment_from_dict(raw, "experiment")


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [
        ("experiment", "seed", 2),
        ("training", "aggregation", "freeze-a"),
        ("model", "lora_alpha", 8.0),
        ("model", "lora_targets", ["query"]),
        ("data", "dirichlet_alpha", 0.1),
        ("data", "source", "reuters-r8"),
        ("clients", "members", [{"name": "b", "mean_snr_db": 20.0}]),
    ],
)
def test_a_client_of_another_experiment_ends_with_the_key_and_both_values(tmp_path, table, key, value):
    own, station = experiment(**{table: {key: value}}), experiment()
    session = ClientSession("a", None, tmp_path, SharedModel(own))
    welcome = Welcome("run", msgspec.json.encode(experiment_to_dict(station)), bytes(32), b"{}", "tcp://127.0.0.1:1")
    with pytest.raises(ConfigurationError, match=rf"^{table}\.{key} is .* in this client's .* in the base") as caught:
        session.handle(welcome)
    shown = [m["name"] for m in value] if key == "members" else value
    assert repr(shown) in str(caught.value)


def test_files_may_lie_elsewhere_and_what_the_base_station_decides_may_differ():
    station = experiment(
        model={"source": "local", "path": "/a"}, data={"source": "table", "path": "/a.csv", "test_path": "/b.csv"}
    )
    own = experiment(
        model={"source": "local", "path": "/m"}, data={"source": "table", "path": "/t.csv"}, soft={"quant_bits": 4}
    )
    check_same_experiment(own, station)


def desk(uri="ip:192.168.2.1", **radio):
    members = [{"name": "a", "uri": uri}, {"name": "b", "uri": "ip:192.168.4.1"}]
    radio = {"driver": "pluto", "uri": "ip:192.168.9.1", **radio}
    return experiment(radio=radio, clients={"members": members})


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("max_duty", {"max_duty": 1.0}),
        ("transmit_gain_db", {"transmit_gain_db": 0.0}),
        ("carrier_hz", {"carrier_hz": 3e9}),
        ("connection", {"connection": "air", "band_hz": [2.3e9, 2.5e9], "licence": "a licence"}),
        ("driver", {"driver": "gr-iio"}),
    ],
)
def test_a_base_station_cannot_move_the_limits_of_a_client_s_transmitter(key, values):
    with pytest.raises(ConfigurationError, match=rf"^radio\.{key} is .* in this client's"):
        check_same_experiment(desk(), desk(**values))
    with pytest.raises(ConfigurationError, match=r"^radio\."):
        check_same_experiment(experiment(clients={"members": [{"name": "a", "mean_snr_db": 20.0}]}), desk())


def test_a_radio_has_the_uri_of_its_own_machine_s_file():
    mixed = with_own_radio("a", desk("usb:"), desk("ip:192.168.3.1"))
    assert (mixed.member("a").uri, mixed.member("b").uri) == ("usb:", "ip:192.168.4.1")
    check_same_experiment(desk("usb:"), desk("ip:192.168.3.1"))


@pytest.mark.parametrize(
    ("radio", "station", "used"),
    [
        ("tcp://0.0.0.0:5601", "tcp://192.168.1.10:5600", "tcp://192.168.1.10:5601"),
        ("tcp://127.0.0.1:5601", "tcp://lab.example:5600", "tcp://lab.example:5601"),
        ("tcp://*:5601", "tcp://192.168.1.10:5600", "tcp://192.168.1.10:5601"),
        ("tcp://[::]:5601", "tcp://[fd00::1]:5600", "tcp://[fd00::1]:5601"),
        ("tcp://localhost:5601", "tcp://192.168.1.10:5600", "tcp://192.168.1.10:5601"),
        ("tcp://10.0.0.2:5601", "tcp://192.168.1.10:5600", "tcp://10.0.0.2:5601"),
        ("tcp://127.0.0.1:5601", "tcp://127.0.0.1:5600", "tcp://127.0.0.1:5601"),
        ("tcp://0.0.0.0:5601", "tcp://localhost:5600", "tcp://0.0.0.0:5601"),
        ("ipc:///run/ether", "tcp://192.168.1.10:5600", "ipc:///run/ether"),
    ],
)
def test_a_radio_address_of_no_use_elsewhere_takes_the_host_of_the_base_station(radio, station, used):
    assert reachable_radio_address(radio, station) == used
