"""Lab Streaming Layer that stays on this machine: what `LSLAPICFG` is to name in tests."""

from typing import Final

LOOPBACK: Final = """\
[ports]
IPv6 = disable
[multicast]
ResolveScope = machine
AddressesOverride = {127.0.0.1}
[lab]
KnownPeers = {127.0.0.1}
[log]
level = -2
"""
