"""Ports that can be bound."""

import socket

from services.local.ports import LOOPBACK, choose_ports, listening


def test_a_preferred_port_is_taken_when_it_is_free() -> None:
    [free] = choose_ports([None])
    assert choose_ports([free]) == [free]


def test_a_free_port_stands_in_for_a_taken_one() -> None:
    with socket.socket() as other:
        other.bind((LOOPBACK, 0))
        other.listen()
        taken = other.getsockname()[1]
        assert listening(taken)
        [chosen] = choose_ports([taken])
        assert chosen != taken
    assert not listening(chosen)


def test_ports_chosen_together_differ() -> None:
    [free] = choose_ports([None])
    ports = choose_ports([None, free, free, None])
    assert len(set(ports)) == len(ports)
