"""The music library: which track is this, where in it, which are the same."""
