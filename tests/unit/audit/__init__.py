"""Tests of policy_server/publishing."""
