"""What was asked for, how it ended, and who has still to be told: durable, decided once, shared by many processes.

The only door to SQLite, which is loaded when a :class:`Store` is made.
"""

from __future__ import annotations

from raydp_wrap.process.identity import ProcessIdentity as Claimer
from raydp_wrap.store.delivery import Delivery, DeliveryStatus, Settlement, Undelivered
from raydp_wrap.store.network import network_file_system
from raydp_wrap.store.store import Store

__all__ = ["Claimer", "Delivery", "DeliveryStatus", "Settlement", "Store", "Undelivered", "network_file_system"]
