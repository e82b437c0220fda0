#!/bin/sh
# Bring DAG files to an Airflow: scripts/sync_dags_to_airflow.sh [FOLDER] [--symlink] [--cleanup] [--auto-unpause]
# [--dry-run] …; --help tells all. Without FOLDER: the airflow_dags/ of this project, wherever it is called from.
project=$(cd "$(dirname "$0")/.." && pwd)
tool=$project/.venv/bin/air-executor
[ -x "$tool" ] || tool=air-executor
AIR_EXECUTOR_DAGS=${AIR_EXECUTOR_DAGS:-$project/airflow_dags} exec "$tool" dags sync "$@"
