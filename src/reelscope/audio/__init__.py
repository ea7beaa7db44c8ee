"""Samples -> facts: voice activity, events and loudness, speech rate."""
