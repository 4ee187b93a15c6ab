"""Tests of policy_server/net."""
