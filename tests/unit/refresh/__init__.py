"""Tests of policy_server/refresh."""
