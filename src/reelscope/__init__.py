"""Reelscope turns short videos into facts."""

__version__ = "0.1.0"
