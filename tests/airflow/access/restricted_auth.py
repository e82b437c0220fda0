"""Airflow's own simple auth manager, and one user, `guest`, who has no rights to DAGs whose ids begin with `private`.

The simple one knows roles only. 2.10 needs none of this: its roles name DAGs.
"""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager


class RestrictedAuthManager(SimpleAuthManager):
    def is_authorized_dag(self, *, user: Any, details: Any = None, **asked: Any) -> bool:
        if user.username == "guest" and details is not None and (details.id or "").startswith("private"):
            return False
        return super().is_authorized_dag(user=user, details=details, **asked)
