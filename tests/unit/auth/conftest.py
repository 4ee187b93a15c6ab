"""Issuers and clocks."""

import pytest
from auth_issuer import Issuer, Time
from pytest_httpserver import HTTPServer


@pytest.fixture
def clock() -> Time:
    """A clock that stands at NOW."""
    return Time()


@pytest.fixture
def issuer(httpserver: HTTPServer) -> Issuer:
    """A real HTTP server that publishes keys."""
    return Issuer(httpserver)
