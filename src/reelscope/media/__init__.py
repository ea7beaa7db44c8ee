"""A file on disk -> probe, samples, frames. Decoded once, with exact times."""
