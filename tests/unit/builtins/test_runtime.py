"""``opa.runtime``."""

import json
from typing import cast

import pytest
from asked_sites import new_call

from policy_server.builtins.network import settled_registry
from policy_server.builtins.opa import OPA_VERSION
from policy_server.builtins.registry import Registry
from policy_server.settings import load_settings
from policy_server.toolkit.toolkit import Toolkit


def test_nothing_is_shown_by_default() -> None:
    """Least of all the environment."""
    assert Registry.discover().functions({0: "opa.runtime"})[0](new_call(), []) == b"{}"


def test_only_listed_variables_are_shown(toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch) -> None:
    """With their values, and the version of OPA."""
    monkeypatch.setenv("SITE", "oslo")
    monkeypatch.setenv("SECRET", "hunter2")
    settings = load_settings(environ={"POLICY_RUNTIME_ENV": "SITE, ABSENT_ONE", "HOME": "/home/kari"})

    registry = settled_registry(settings.network, settings.runtime_variables, toolkit)
    found = json.loads(registry.functions({0: "opa.runtime"})[0](new_call(), []) or b"")

    assert found == {"env": {"SITE": "oslo"}, "version": OPA_VERSION}


def test_the_version_is_the_toolkits(toolkit: Toolkit) -> None:
    """It is known without loading the toolkit, so it has to be compared."""
    assert cast("dict[str, str]", toolkit.version())["opa"] == OPA_VERSION
