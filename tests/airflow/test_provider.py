"""What a running Airflow knows of the provider: its parts, its connection type, its configuration."""

from __future__ import annotations

import json
from typing import Any

import pytest

from air_executor import __version__
from tests.airflow.site import AirflowSite, ApiError

CLASSES = ("AirExecutorHook", "AirExecutorJobOperator", "AirExecutorJobSensor", "AirExecutorJobTrigger")

ASK = """
import importlib, json, warnings
warnings.simplefilter("ignore")
from airflow.providers_manager import ProvidersManager
from airflow.configuration import conf
from airflow import plugins_manager

providers = ProvidersManager()
providers.initialize_providers_configuration()
info = providers.providers["air-executor"]
hook = providers.hooks["air_executor"]
kinds = ("hooks", "operators", "sensors", "triggers")
modules = [module for kind in kinds for part in info.data[kind] for module in part["python-modules"]]
plugins_manager.ensure_plugins_loaded()
errors = getattr(plugins_manager, "import_errors", None)
if not isinstance(errors, dict):
    errors = plugins_manager.get_import_errors()
plugins = getattr(plugins_manager, "plugins", None)
if plugins is None:
    plugins = plugins_manager._get_plugins()[0]
print("told:" + json.dumps({
    "version": info.version,
    "modules": [importlib.import_module(module).__name__ for module in modules],
    "links": sorted(providers.extra_links_class_names),
    "decorators": sorted(providers.taskflow_decorators),
    "hook": [hook.hook_class_name, hook.connection_id_attribute_name, hook.hook_name],
    "errors": {str(key): value for key, value in errors.items() if "air_executor" in str(key) + str(value)},
    "plugins": [plugin.name for plugin in plugins],
    "base_path": conf.get("air_executor", "base_path"),
    "section": "base_path" in conf.configuration_description["air_executor"]["options"],
}))
"""
"""Asked in one process of the site's environment: each costs Airflow's imports."""


@pytest.fixture(scope="module")
def told(airflow: AirflowSite) -> dict[str, Any]:
    done = airflow.installed.run("python", "-c", ASK, env=airflow.env)
    lines = [line for line in done.stdout.splitlines() if line.startswith("told:")]
    assert lines, done.stdout + done.stderr
    return dict(json.loads(lines[-1].removeprefix("told:")))


@pytest.mark.airflow(pre=True)
def test_airflow_finds_every_part(airflow: AirflowSite, told: dict[str, Any]) -> None:
    assert told["version"] == __version__
    assert told["modules"] == [f"air_executor.airflow.{name}" for name in ("hook", "operator", "sensor", "trigger")]
    assert "air_executor.airflow.links.AirExecutorJobLink" in told["links"]
    assert "air_executor" in told["decorators"]
    assert told["hook"] == ["air_executor.airflow.hook.AirExecutorHook", "air_executor_conn_id", "Air-Executor"]
    assert told["base_path"] == str(airflow.base)
    assert told["section"]


def test_the_plugin_is_loaded(told: dict[str, Any]) -> None:
    assert told["errors"] == {}
    assert "air_executor" in told["plugins"]


def test_the_command_line_lists_it(airflow: AirflowSite) -> None:
    listed = json.loads(airflow.airflow("providers", "list", "--output", "json").stdout.splitlines()[-1])
    (ours,) = (one for one in listed if one["package_name"] == "air-executor")
    assert ours["version"] == __version__
    shown = airflow.airflow("providers", "get", "air-executor", "--full", "--output", "yaml").stdout
    for part in ("air_executor.airflow.hook.AirExecutorHook", "air_executor.airflow.operator", "base_path"):
        assert part in shown


def test_the_api_lists_provider_and_plugin(airflow: AirflowSite) -> None:
    providers = {one["package_name"]: one for one in airflow.all_of("/providers", "providers")}
    assert providers["air-executor"]["version"] == __version__
    assert "air_executor" in {one["name"] for one in airflow.all_of("/plugins", "plugins")}


def test_the_form_of_a_connection(airflow: AirflowSite) -> None:
    if airflow.is_3:
        answer = airflow.request("GET", "/ui/connections/hook_meta")
        assert answer.status == 200, answer
        (ours,) = (one for one in answer.json() if one["connection_type"] == "air_executor")
        assert ours["hook_name"] == "Air-Executor"
        fields = set(ours["extra_fields"])
    else:
        page = form_of_2_10(airflow)
        assert '<option value="air_executor">Air-Executor</option>' in page
        prefix = "extra__air_executor__"
        fields = {name for name in ("base_path", "dashboard_url") if f'name="{prefix}{name}"' in page}
    assert {"base_path", "dashboard_url"} <= fields


def form_of_2_10(site: AirflowSite) -> str:
    """The page with the form, which needs the cookie of a login and not the API's."""
    import http.cookiejar
    import re
    from urllib.parse import urlencode
    from urllib.request import HTTPCookieProcessor, ProxyHandler, build_opener

    browser = build_opener(ProxyHandler({}), HTTPCookieProcessor(http.cookiejar.CookieJar()))
    with browser.open(f"{site.url}/login/", timeout=60) as answer:
        token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', answer.read().decode())
    assert token is not None
    credentials = urlencode({"username": "admin", "password": "admin", "csrf_token": token[1]}).encode()
    with browser.open(f"{site.url}/login/", credentials, timeout=60):
        pass
    with browser.open(f"{site.url}/connection/add", timeout=60) as answer:
        return str(answer.read().decode())


def test_the_button_that_tests_a_connection(airflow: AirflowSite) -> None:
    def pressed(**connection: Any) -> dict[str, Any]:
        content = {"connection_id": "tried", "conn_type": "air_executor", **connection}
        return dict(airflow.api("POST", "/connections/test", content))

    good = pressed(extra=json.dumps({"base_path": str(airflow.base)}))
    assert good["status"] is True, good
    assert str(airflow.base) in good["message"]
    bad = pressed(host="http://127.0.0.1:9")
    assert bad["status"] is False, bad
    assert "127.0.0.1:9" in bad["message"]
    with pytest.raises(ApiError) as refused:
        airflow.api("POST", "/connections/test", {"connection_id": "t", "conn_type": "air_executor"}, user="viewer")
    assert refused.value.status == 403


def test_a_connection_is_kept_and_shown_without_its_token(airflow: AirflowSite) -> None:
    content = {
        "connection_id": "kept",
        "conn_type": "air_executor",
        "host": "http://127.0.0.1:9",
        "password": "s3cr3t",
    }
    airflow.api("POST", "/connections", content)
    try:
        shown = airflow.api("GET", "/connections/kept")
        assert shown["host"] == content["host"]
        assert "s3cr3t" not in json.dumps(shown)
    finally:
        airflow.api("DELETE", "/connections/kept")
