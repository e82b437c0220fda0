"""The ledger of suppressions."""

from __future__ import annotations

from air_executor.fixing.suppressions.ledgers import Ledger, ledger
from air_executor.fixing.suppressions.suppression import Suppression

__all__ = ["Ledger", "Suppression", "ledger"]
