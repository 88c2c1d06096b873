"""What each command of the control port does to the virtual Plutos."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocol.errors import ConfigurationError
from radio.virtual.control_messages import (
    Advance,
    Clear,
    Command,
    DeadLo,
    Drop,
    Overflow,
    Replug,
    Serial,
    SetCrystal,
    SetLink,
    Slow,
    Stall,
    Status,
    Stuck,
    Unplug,
)

if TYPE_CHECKING:
    from radio.virtual.server import RadioServer
    from radio.virtual.testbed import VirtualPlutos


def carry_out(plutos: VirtualPlutos, command: Command) -> None:
    """Do it. Raises ConfigurationError if it cannot be done."""
    match command:
        case Status():
            return
        case Advance(samples=samples, radio=radio):
            plutos.engine.advance(samples, None if radio is None else plutos.server(radio).radio.name)
        case SetLink():
            _set_link(plutos, command)
        case SetCrystal():
            _set_crystal(plutos, command)
        case Serial(radio=radio, same_as=other):
            plutos.server(radio).radio.device.set_serial(plutos.server(other).radio.own_serial)
        case _:
            _fault(plutos, plutos.server(command.radio), command)


def _fault(plutos: VirtualPlutos, server: RadioServer, command: Command) -> None:
    radio = server.radio
    match command:
        case Stall():
            radio.faults.stall()
        case Slow(bytes_per_s=bytes_per_s):
            radio.faults.slow_down(bytes_per_s)
        case Drop():
            server.drop()
        case Overflow(samples=samples):
            plutos.engine.lose(radio.name, samples)
        case DeadLo(side=side):
            _set_oscillators(plutos, radio.name, dead_receive=side != "transmit", dead_transmit=side != "receive")
        case Stuck(file=file):
            radio.device.hold(file)
        case Unplug():
            server.unplug()
        case Replug():
            _replug(server)
        case Clear():
            radio.faults.clear()
            radio.device.set_serial(radio.own_serial)
            radio.device.hold(None)
            _set_oscillators(plutos, radio.name, dead_receive=False, dead_transmit=False)


def _replug(server: RadioServer) -> None:
    if server.plugged_in:
        raise ConfigurationError(f"radio '{server.radio.name}' is plugged in; unplug it first")
    server.radio.power_up()
    server.plug_in()


def _set_oscillators(plutos: VirtualPlutos, name: str, dead_receive: bool, dead_transmit: bool) -> None:
    with plutos.engine.lock:
        front_end = plutos.engine.front_ends[name]
        front_end.dead_receive_lo, front_end.dead_transmit_lo = dead_receive, dead_transmit


def _set_link(plutos: VirtualPlutos, command: SetLink) -> None:
    first, second = (plutos.server(name).radio.name for name in command.between)
    with plutos.engine.lock:
        path = plutos.engine.medium.path(first, second)
        if command.loss_db is not None:
            path.loss_db = command.loss_db
        if command.redraw:
            path.realisation += 1


def _set_crystal(plutos: VirtualPlutos, command: SetCrystal) -> None:
    name = plutos.server(command.radio).radio.name
    with plutos.engine.lock:
        front_end = plutos.engine.front_ends[name]
        if command.ppm is not None:
            front_end.crystal.ppm = command.ppm
        if command.temperature_c is not None:
            front_end.crystal.warm_c = command.temperature_c
        front_end.retune(plutos.engine.time_s())
