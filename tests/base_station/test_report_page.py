"""The report: right, self-contained, and there for runs of every kind."""

import csv
import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fake_run import commit_fake_round, make_fake_run

from base_station.report import write_report
from base_station.report.drawing import INK, MUTED
from base_station.report.palette import client_styles
from base_station.report.provenance_text import provenance_rows
from base_station.report.run_data import read_run
from base_station.report.tables import bits_table
from base_station.store.run_store import RunStore
from base_station.store.signals import unpacked
from protocol.errors import RunError
from protocol.experiment_file import experiment_from_dict

EMPTY_ELEMENTS = {"meta", "link", "br", "hr", "img", "input"}


class Page(HTMLParser):
    """Collects ids, references and text, and checks that elements close in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.references: list[str] = []
        self.open: list[str] = []
        self.words = ""
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        if tag not in EMPTY_ELEMENTS:
            self.open.append(tag)
        self.handle_startendtag(tag, attributes)

    def handle_startendtag(self, tag, attributes):
        for name, value in attributes:
            if name == "id":
                self.ids.append(value)
            elif name in ("href", "src", "xlink:href", "action", "data"):
                self.references.append(value)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += data


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = make_fake_run(tmp_path_factory.mktemp("report") / "four-clients")
    write_report(run)
    return run


@pytest.fixture(scope="module")
def html(run: Path) -> str:
    return (run / "report.html").read_text("utf-8")


def test_the_page_asks_for_nothing_from_outside(run, html):
    page = Page(html)
    for reference in page.references:
        inside = reference.startswith(("#", "data:image/png;base64,"))
        assert inside or (run / reference).is_file(), reference
    assert re.findall(r"https?:|//[a-z]+\.|@import|<script|<link|url\((?!#)", html) == []
    assert len(html) < 3_000_000


def test_the_page_is_well_formed_and_its_ids_are_unique(html):
    page = Page(html)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert {r[1:] for r in page.references if r.startswith("#")} <= set(page.ids)
    assert INK not in html
    assert MUTED not in html


def test_the_page_has_every_section(html):
    words = Page(html).words
    for phrase in (
        "Accuracy against rounds, airtime and bits on air", "SNR and channel gain of each client", "resource block",
        "Sparsity", "Virtual latency queue", "Realised latency", "Received symbols of round 10",
        "Channel gain per subcarrier", "How sure the receiver was of each bit", "carrier offset",
        "Power spectral density", "retransmissions", "bursts missed", "texts per class", "wall-clock seconds",
        "dense LoRA", "lora_rank = 8", "measured (Example, 2 cores, 2026-11-21)", "simulated", "ip (the adapter",
        "0.645", "95 % interval 0.624 to 0.666",
    ):  # fmt: skip
        assert phrase in words, phrase


def test_the_data_of_the_figures_equals_the_database(run):
    with RunStore.read(run) as store:
        clients, rounds = list(store.clients()), list(store.rounds())

    def rows(name: str) -> list[dict[str, str]]:
        with (run / "report_data" / f"{name}.csv").open(newline="") as file:
            return list(csv.DictReader(file))

    assert [float(r["queue_s"]) for r in rows("allocation")] == [c.queue_s for c in clients]
    assert [int(r["air_bits"]) for r in rows("bits")] == [c.air_bits for c in clients]
    assert float(rows("accuracy")[-1]["airtime_s"]) == pytest.approx(sum(r.airtime_s for r in rounds))
    assert [float(r["accuracy"]) for r in rows("accuracy")] == [0.048, *(r.accuracy for r in rounds)]
    granted = [(c.round_index, c.client, c.rb_start, c.rb_count) for c in clients if c.rb_count]
    assert [(int(r["round"]), r["client"], int(r["rb_start"]), int(r["rb_count"])) for r in rows("grants")] == granted
    highest = {t: s for t, _, s, _ in sorted(granted)}
    guards = {(int(r["round"]), int(r["rb_start"])) for r in rows("grants_guards")}
    assert {(t, s + n) for t, _, s, n in granted if s < highest[t]} == guards


def test_the_channel_of_every_grant_is_drawn_at_its_subcarriers(run):
    with RunStore.read(run) as store:
        granted = {c.client: c for c in store.clients() if c.round_index == 10 and c.air_bits}
    with (run / "report_data" / "channel.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {r["client"] for r in rows} == set(granted)
    for name, c in granted.items():
        khz = [float(r["frequency_khz"]) for r in rows if r["client"] == name]
        band = range(-112 + 8 * c.rb_start, -112 + 8 * (c.rb_start + c.rb_count))
        assert khz == [7.8125 * s for s in band if s not in (-1, 0, 1)]


def test_the_pictures_show_the_last_data_burst_of_each_client(run):
    with RunStore.read(run) as store:
        kept = {s.client: s for s in store.signals(10) if s.window_index == 100}

    def rows(name: str) -> list[dict[str, str]]:
        with (run / "report_data" / f"{name}.csv").open(newline="") as file:
            return list(csv.DictReader(file))

    for name, signal in kept.items():
        counts = [int(r["count"]) for r in rows("soft_bits") if r["client"] == name]
        assert counts == signal.soft_bits
        points = [
            complex(float(r["in_phase"]), float(r["quadrature"])) for r in rows("constellation") if r["client"] == name
        ]
        assert points == unpacked("constellation", signal.constellation).tolist()
    with RunStore.read(run) as store:
        data_window = next(s for s in store.spectra(10) if s.kind == "data")
    assert [float(r["psd_db_per_bin"]) for r in rows("spectrum")] == unpacked("psd", data_window.psd).tolist()


def test_kinds_of_bits_add_up_to_the_bits_on_air(run):
    _, data = bits_table(read_run(run))
    for row in data.rows:
        values = dict(zip(data.columns, row, strict=True))
        kinds = ("payload_bits", "headers_bits", "coding_bits", "retransmissions_bits")
        assert sum(values[k] for k in kinds) == values["air_bits"]
        assert values["payload_bits"] == values["encoded_bits"]
    assert data.rows[-1][-1] == read_run(run).summary["uplink_air_bits"]


@pytest.mark.parametrize(
    "kind",
    [
        {"done": 0},
        {"done": 1, "rounds": 1},
        {"heard": False, "rounds": 2},
        {"clients": 1, "rounds": 2, "signals": False},
        {"clients": 9, "rounds": 3, "done": 2},
        {"clients": 64, "rounds": 2},
    ],
    ids=lambda kind: ",".join(f"{k}={v}" for k, v in kind.items()),
)
def test_a_report_can_be_written_of_any_run(tmp_path, kind):
    run = make_fake_run(tmp_path / "run", **kind)
    html = write_report(run).read_text("utf-8")
    page = Page(html)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert len(html) < 3_000_000
    assert "nan" not in re.sub(r'd="[^"]*"', "", html).lower().split()
    if kind.get("heard") is False:
        assert "Rounds 1 to 2: no client was heard: SNR too low" in page.words
    if kind.get("done") == 0:
        assert "No round has been committed yet." in page.words


def test_a_report_can_be_written_while_the_run_goes_on(tmp_path):
    run = make_fake_run(tmp_path / "run", clients=2, rounds=3, done=1, signals=False)
    (run / "report_data").mkdir()
    (run / "report_data" / "old.csv").write_text("left by an earlier report")
    with RunStore.resume(run) as store:
        commit_fake_round(store, 2)
        assert "not finished: 2 rounds committed" in write_report(run).read_text("utf-8")
    assert not (run / "report_data" / "old.csv").exists()


def test_names_are_escaped(tmp_path):
    run = make_fake_run(tmp_path / "a<b>&c", clients=1, done=0, signals=False)
    html = write_report(run).read_text("utf-8")
    assert "a&lt;b&gt;&amp;c" in html
    assert "a<b>" not in html


@pytest.mark.parametrize(
    ("radio", "told"),
    [
        ({"driver": "pluto"}, "ADALM-Plutos through pyadi-iio, 868 MHz, on a cable with 60 dB"),
        (
            {"driver": "gr-iio", "connection": "air", "band_hz": [863e6, 870e6], "licence": "SRD band 48"},
            "ADALM-Plutos through GNU Radio's gr-iio, 868 MHz, over the air (SRD band 48)",
        ),
    ],
)
def test_radios_on_a_desk_are_named_with_what_they_sent_through(tmp_path, radio, told):
    data = read_run(make_fake_run(tmp_path / "run", clients=1, done=0, signals=False))
    desk = {"uri": "usb:", "carrier_hz": 868e6, "cable_attenuation_db": 60.0, **radio}
    raw = {"experiment": {"name": "desk"}, "radio": desk, "clients": {"members": [{"name": "a", "uri": "usb:"}]}}
    rows = provenance_rows(dataclasses.replace(data, experiment=experiment_from_dict(raw, "desk")))
    assert dict(rows)["Radio"] == told
    assert "Channel" not in dict(rows)


def test_a_directory_without_a_run_has_no_report(tmp_path):
    with pytest.raises(RunError):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_every_client_of_a_full_house_looks_different():
    for count in (1, 4, 8, 9, 64):
        styles = client_styles([f"c{i}" for i in range(count)])
        assert len({(s.colour, s.marker, s.dash) for s in styles.values()}) == count
