"""How the Airflow of a test is set up: everything through its environment, which holds nothing of ours beside it."""

from __future__ import annotations

import base64
import os
from pathlib import Path

from tests.airflow.versions import Version

ASK_S = 0.25
"""Between two questions to Airflow, each of which costs it as much as a task of ours."""
ACCESS = Path(__file__).with_name("access")
USERS = {"admin": "Admin", "viewer": "Viewer", "guest": "Viewer"}
"""User (whose password is the name) and role. `guest` may see no DAG whose id begins with `private`."""


def plain_environment(version: Version, home: Path) -> dict[str, str]:
    """What any Airflow process of a test gets: no examples, no connections, its own home."""
    return {
        "PATH": f"{version.environment / 'bin'}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "TMPDIR": os.environ.get("TMPDIR", "/tmp"),
        "PYTHONUNBUFFERED": "1",
        "AIRFLOW_HOME": str(home),
        **_options(
            core={
                "load_examples": "False",
                "dags_are_paused_at_creation": "False",
                "dags_folder": str(home / "dags"),
            },
            database={"load_default_connections": "False", "sql_alchemy_conn": f"sqlite:///{home / 'airflow.db'}"},
            usage_data_collection={"enabled": "False"},
        ),
    }


def site_environment(
    version: Version, home: Path, base: Path, port: int, database: str, *, quick: bool = True
) -> dict[str, str]:
    """A whole site; `quick` to see DAG files, to start tasks, and to notice what died."""
    key = base64.urlsafe_b64encode(os.urandom(32)).decode()
    url = f"http://127.0.0.1:{port}"
    users = ",".join(f"{user}:{role.lower()}" for user, role in USERS.items())
    needed: Options = {
        "core": {
            "executor": "LocalExecutor",
            "fernet_key": key,
            "test_connection": "Enabled",
            "max_map_length": "10000",
        },
        "database": {"sql_alchemy_conn": database},
        "air_executor": {"base_path": str(base)},
        "api": {"expose_config": "True"},
    }
    if version.series >= (3, 0):
        needed["core"] |= {
            "auth_manager": "restricted_auth.RestrictedAuthManager",
            "simple_auth_manager_users": users,
            "simple_auth_manager_passwords_file": str(home / "passwords.json"),
            "execution_api_server_url": f"{url}/execution/",
        }
        needed["api"] |= {"base_url": url, "secret_key": key, "workers": "1"}
        needed["api_auth"] = {"jwt_secret": key}
    else:
        needed["api"] |= {"auth_backends": "airflow.providers.fab.auth_manager.api.auth.backend.basic_auth"}
        needed["webserver"] = {"base_url": url, "secret_key": key, "workers": "1", "expose_config": "True"}
        needed["scheduler"] = {"standalone_dag_processor": "True"}
    # the folder of the auth manager; DAG files see it too, which does no harm
    env = plain_environment(version, home) | _options(**needed) | {"PYTHONPATH": str(ACCESS)}
    if quick:
        env |= _options(**QUICK) | _options(**(QUICK_3 if version.series >= (3, 0) else QUICK_2))
    return env


Options = dict[str, dict[str, str]]

QUICK: Options = {
    "core": {"parallelism": "8", "killed_task_cleanup_time": "5", "max_active_tasks_per_dag": "200"},
    "scheduler": {
        "scheduler_idle_sleep_time": "0.3",
        "scheduler_heartbeat_sec": "1",
        "job_heartbeat_sec": "1",
        "trigger_timeout_check_interval": "2",
        "max_tis_per_query": "64",
    },
    "triggerer": {"job_heartbeat_sec": "1", "triggerer_health_check_threshold": "10"},
}
QUICK_3: Options = {
    "scheduler": {"task_instance_heartbeat_timeout": "60", "task_instance_heartbeat_timeout_detection_interval": "2"},
    "workers": {"min_heartbeat_interval": "2"},
    "dag_processor": {
        "refresh_interval": "1",
        "bundle_refresh_check_interval": "1",
        "min_file_process_interval": "600",
    },
}
QUICK_2: Options = {
    "core": {"min_serialized_dag_fetch_interval": "0", "min_serialized_dag_update_interval": "0"},
    "scheduler": {
        "dag_dir_list_interval": "1",
        "min_file_process_interval": "600",
        "local_task_job_heartbeat_sec": "2",
        "scheduler_zombie_task_threshold": "60",
        "zombie_detection_interval": "2",
    },
}


def _options(**sections: dict[str, str]) -> dict[str, str]:
    return {
        f"AIRFLOW__{section.upper()}__{option.upper()}": value
        for section, options in sections.items()
        for option, value in options.items()
    }


def components(version: Version, port: int) -> dict[str, list[str]]:
    """The commands of a site, by the name its tests use."""
    if version.series >= (3, 0):
        server = ["api-server", "--host", "127.0.0.1", "--port", str(port)]
        dag_processor = ["airflow"]
    else:
        server = ["webserver", "--hostname", "127.0.0.1", "--port", str(port), "--workers", "1"]
        # 2.10 forgets this import, and gets away with it only where the DAG processor is a part of the scheduler
        whole = "import multiprocessing.connection; from airflow.__main__ import main; main()"
        dag_processor = ["python", "-c", whole]
    return {
        "scheduler": ["airflow", "scheduler", "--skip-serve-logs"],
        "triggerer": ["airflow", "triggerer", "--skip-serve-logs"],
        "dag-processor": [*dag_processor, "dag-processor"],
        "api-server": ["airflow", *server],
    }


PREPARE = """
import json, os, sys, warnings
warnings.simplefilter("ignore")
from airflow.cli import cli_parser

def airflow(*args):
    parsed = cli_parser.get_parser().parse_args(args)
    parsed.func(parsed)

airflow("db", "migrate")
users = json.loads(sys.argv[1])
passwords = os.environ.get("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE")
if passwords:
    with open(passwords, "w") as file:
        json.dump({user: user for user in users}, file)
elif users:
    from functools import partial
    from airflow.providers.fab.auth_manager.security_manager import override
    from werkzeug.security import generate_password_hash
    # basic authentication takes a tenth of a second for each request to check what is hashed as usual
    override.generate_password_hash = partial(generate_password_hash, method="pbkdf2:sha256:1")
    airflow("sync-perm")
    airflow("roles", "create", "Guest")
    for resource in ("Website", "My Profile", "DAG Runs", "Task Instances", "Task Logs", "XComs"):
        airflow("roles", "add-perms", "Guest", "--resource", resource, "--action", "can_read")
    for user, role in users.items():
        role = "Guest" if user == "guest" else role
        name = ("--firstname", user, "--lastname", user, "--email", user + "@example.org")
        airflow("users", "create", "--username", user, "--password", user, "--role", role, *name)
"""
"""What has to be done once: Airflow's own commands, in one process, since each would cost its imports again."""
