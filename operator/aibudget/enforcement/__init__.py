"""Evaluations become Holds: what is stopped and for whom, its original kept, and everything given back."""
