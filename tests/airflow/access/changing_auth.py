"""Airflow's own simple auth manager, and DAGs that some users may not see or not change until a file says otherwise.

The file, in CHANGING_AUTH_FILE, is a list of [user, method, DAG]; it is read whenever somebody asks.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager


class ChangingAuthManager(SimpleAuthManager):
    def is_authorized_dag(self, *, method: Any, user: Any, details: Any = None, **asked: Any) -> bool:
        refused = json.loads(Path(os.environ["CHANGING_AUTH_FILE"]).read_text())
        if details is not None and [user.username, str(method), details.id] in refused:
            return False
        return super().is_authorized_dag(method=method, user=user, details=details, **asked)
