"""Tests of policy_server.storage."""
