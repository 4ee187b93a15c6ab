"""Tests of policy_server/sources."""
