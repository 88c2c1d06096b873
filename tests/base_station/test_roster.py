"""Who takes part in a round: answers, silence, restarts."""

from collections import deque

import pytest

from base_station.clients import MAX_REPLANS, Roster
from protocol.bursts import TransmitReport
from protocol.configuration import ClientsTable, ClientTable
from protocol.control import Rejection
from protocol.messages import Failed, GrantBits, Heartbeat, Hello, Sent


class ScriptedControl:
    """Stands for the control plane: says what it is told to, then nothing. Silence and delivery are not modelled."""

    def __init__(self, events, silence_s=0.0):
        self.events = deque(events)
        self.sent = []
        self.silence_s = silence_s

    def receive(self, timeout_s):
        return self.events.popleft() if self.events else None

    def send(self, name, message):
        self.sent.append((name, message))

    def last_heard_s(self, name):
        return self.silence_s


class Mute:
    def client(self, name, stage, snr_db=None):
        pass

    def warn(self, text):
        pass


HELLO = Hello("a", "instance")
WELCOME = GrantBits(0, 0)  # any message will do: the roster only passes it on


def sent(round_index):
    return Sent(round_index, 0, TransmitReport(0, 0.0, 0.0))


def roster_with(events, silence_s=0.0, **timeouts):
    table = ClientsTable(members=[ClientTable(name="a", distance_m=1.0)], **timeouts)
    control = ScriptedControl(events, silence_s)
    return Roster(control, {"a": WELCOME, "b": WELCOME}, table, Mute()), control


def gather(roster, names, **kwargs):
    return roster.gather(names, Sent, lambda _, m: m.round_index == 1, **kwargs)


def test_only_answers_to_this_question_count():
    roster, _ = roster_with([("a", sent(0)), ("a", sent(1)), ("b", sent(1))])
    assert gather(roster, ["a", "b"]) == {"a": sent(1), "b": sent(1)}


@pytest.mark.parametrize("event", [Failed(1, "no radio"), Rejection("off the schema")])
def test_a_client_that_fails_is_left_out_and_the_round_goes_on(event):
    roster, _ = roster_with([("a", event), ("b", sent(1))])
    assert list(gather(roster, ["a", "b"])) == ["b"]
    assert roster.left_out["a"] in ("no radio", "off the schema")


def test_a_client_that_beats_but_never_answers_is_left_out_in_the_end():
    roster, _ = roster_with([("a", Heartbeat("training", 1)), ("b", sent(1))], answer_timeout_s=0.01)
    assert list(gather(roster, ["a", "b"])) == ["b"]
    assert "no answer" in roster.left_out["a"]


def test_a_silent_client_is_gone():
    roster, _ = roster_with([("a", HELLO)], silence_s=31.0)
    assert gather(roster, ["a"]) == {}
    assert "not heard" in roster.left_out["a"]
    assert roster.begin_round() == []


def test_a_restarted_client_gets_the_plan_anew_but_not_for_ever():
    plans = []
    restarts = [("a", HELLO)] * (MAX_REPLANS + 2)
    roster, control = roster_with([("a", HELLO), *restarts])
    assert gather(roster, ["a"], replan=plans.append) == {}
    assert len(plans) == MAX_REPLANS
    assert [name for name, _ in control.sent] == ["a"] * (MAX_REPLANS + 1)


def test_a_client_restarted_while_bursts_are_awaited_sits_the_round_out():
    roster, _ = roster_with([("a", HELLO), ("b", sent(1)), ("a", HELLO)])
    roster.wait_for_any(1.0)
    assert list(gather(roster, ["a", "b"])) == ["b"]
    assert "restarted" not in roster.left_out.get("b", "")
    assert roster.begin_round() == ["a"]
