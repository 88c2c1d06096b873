"""Progress displays: what a user sees of a run."""

from __future__ import annotations

import io
import time

import pytest
from fake_run import make_fake_run
from rich.console import Console

from base_station.store.records import ClientRoundRecord, RoundRecord
from base_station.store.run_store import RunStore
from base_station.store.summary import accuracy_so_far
from deploy.live_display import LiveProgress, duration, link_bar, sparkline
from deploy.progress import LineProgress, megabits, open_progress


def play(progress):
    """A run of two rounds, the second not yet done."""
    for name in ("near", "far"):
        progress.client(name, "joined")
    progress.started(12, 1, ["near", "far"], 0.05)
    progress.stage(1, "train")
    progress.client("near", "training")
    progress.client("far", "sounding", 8.25)
    client = ClientRoundRecord(
        round_index=1, client="near", state="delivered", rb_count=14, mcs="16qam-3/4", delivered_bits=310_000,
        sparsity=0.52, latency_s=4.71, queue_s=5.2,
    )  # fmt: skip
    silent = ClientRoundRecord(round_index=1, client="far", state="nothing")
    record = RoundRecord(
        round_index=1, accuracy=0.31, loss=2.5, air_bits=1_240_000, airtime_s=1.5, latency_s=4.71, wall_s=10.0,
        note="far was not heard",
    )  # fmt: skip
    progress.round_done(record, [client, silent])
    progress.stage(2, "train")
    progress.warn("client far ended: killed by SIGKILL")


def test_lines_tell_what_happened_with_the_time():
    stream = io.StringIO()
    progress = LineProgress("demo", stream, clock=lambda: time.struct_time((2026, 1, 1, 9, 5, 7, 3, 1, 0)))
    play(progress)
    progress.stage(12, "test")
    progress.finished("accuracy 0.66\nairtime 2 s")
    progress.close()
    lines = stream.getvalue().splitlines()
    assert all(line.startswith("09:05:07 ") for line in lines[:-2])
    assert lines[1:5] == [
        "09:05:07 near joined",
        "09:05:07 far joined",
        "09:05:07 rounds 1 to 12 with near, far; accuracy before training 0.050",
        "09:05:07 round 1 of 12: accuracy 0.310, loss 2.500, 1 of 2 clients delivered, 1.24 Mbit on air in 1.50 s, "
        "slowest latency 4.71 s, took 10.0 s",
    ]
    assert lines[5:7] == ["09:05:07 far was not heard", "09:05:07 warning: client far ended: killed by SIGKILL"]
    assert lines[-2:] == ["accuracy 0.66", "airtime 2 s"]


def test_a_resumed_run_tells_the_accuracy_of_its_last_committed_round(tmp_path):
    with RunStore.read(make_fake_run(tmp_path / "run", clients=2, rounds=5, done=3, signals=False)) as store:
        accuracy = list(store.rounds())[-1].accuracy
        assert accuracy_so_far(store) == accuracy
    stream = io.StringIO()
    LineProgress("demo", stream).started(5, 4, ["near"], accuracy)
    assert (
        stream.getvalue().splitlines()[-1].endswith(f"rounds 4 to 5 with near; accuracy after round 3 {accuracy:.3f}")
    )


def test_a_new_run_tells_the_accuracy_before_training(tmp_path):
    with RunStore.read(make_fake_run(tmp_path / "run", clients=2, rounds=5, done=0, signals=False)) as store:
        assert accuracy_so_far(store) == 0.048


def live_text(act):
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=110, height=40, color_system=None)
    progress = LiveProgress("demo", console)
    act(progress)
    progress.close()
    return stream.getvalue()


def test_the_live_view_shows_round_clients_link_accuracy_and_time_left():
    text = live_text(play)
    parts = ["round 2 of 12", "train ", "near", "training", "8.2", "16qam-3/4", "310", "52%", "4.71", "0.050 ▂█ 0.310"]
    for part in (*parts, "1.24 Mbit in 1.50 s of airtime", "about 2 min left", "! client far ended"):
        assert part in text, part


def test_the_closing_lines_stand_below_the_last_view():
    text = live_text(lambda progress: (play(progress), progress.finished("accuracy [0.61, 0.66]")))
    assert text.rstrip().endswith("accuracy [0.61, 0.66]")


def test_an_empty_view_can_be_drawn():
    assert "loading model and data" in live_text(lambda progress: None)


def test_text_with_brackets_is_shown_as_it_is():
    assert "client [/bold] left" in live_text(lambda progress: progress.warn("client [/bold] left"))


def test_a_stream_that_is_no_terminal_gets_lines():
    assert isinstance(open_progress("demo", io.StringIO()), LineProgress)


@pytest.mark.parametrize(
    ("values", "sparks"), [([0.0, 0.0], "▁▁"), ([0.1, 0.2, 0.4, 0.8], "▂▃▅█"), ([0.5], "█"), ([-1.0, 1.0], "▁█")]
)
def test_sparklines_start_at_zero(values, sparks):
    assert sparkline(values) == sparks


@pytest.mark.parametrize(("snr_db", "filled"), [(-20.0, 0), (0.0, 0), (15.0, 3), (30.0, 6), (60.0, 6)])
def test_the_link_bar_fills_with_snr(snr_db, filled):
    bar = link_bar(snr_db)
    assert sum(span.end - span.start for span in bar.spans if span.style != "grey23") == filled
    assert len(bar.plain) == 6


@pytest.mark.parametrize(("seconds", "text"), [(0, "0 s"), (89, "89 s"), (150, "2 min"), (7500, "2 h 05 min")])
def test_durations_are_rounded_to_what_matters(seconds, text):
    assert duration(seconds) == text


def test_bits_are_told_in_the_unit_that_fits():
    assert (megabits(310_400), megabits(1_244_000)) == ("310 kbit", "1.24 Mbit")
