"""Spend against a budget's limit: periods, thresholds, evaluations. Pure."""
