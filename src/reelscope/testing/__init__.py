"""Synthetic media with known truth, for tests, benchmarks and the sample."""
