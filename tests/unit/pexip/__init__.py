"""Tests of Infinity's dialect."""
