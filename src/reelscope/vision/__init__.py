"""Frames -> facts: key frames, quality, similarity, shots, text, the choice of frames."""
