"""Stage protocol, graph, runner, checkpoint, progress."""
