"""This machine's addresses, as its network cards have them."""

from __future__ import annotations

import ifaddr
import pytest

from realtime import phone


def adapter(*ips: str | tuple[str, int, int]) -> ifaddr.Adapter:
    made = [ifaddr.IP(ip, 24, "card") for ip in ips]
    return ifaddr.Adapter("card", "card", made)


def test_the_way_out_comes_first_and_loopback_never(monkeypatch: pytest.MonkeyPatch) -> None:
    cards = [
        adapter("127.0.0.1", ("::1", 0, 0)),
        adapter("172.17.0.1"),
        adapter("192.168.1.20", ("fe80::1", 0, 2), ("fd00::2", 0, 0)),
        adapter("169.254.3.3"),
    ]
    monkeypatch.setattr(ifaddr, "get_adapters", lambda: cards)
    monkeypatch.setattr(phone, "_outward_address", lambda: "192.168.1.20")
    assert phone.own_addresses() == ["192.168.1.20", "172.17.0.1", "fd00::2"]
    monkeypatch.setattr(phone, "_outward_address", lambda: None)
    assert phone.own_addresses() == ["172.17.0.1", "192.168.1.20", "fd00::2"]
