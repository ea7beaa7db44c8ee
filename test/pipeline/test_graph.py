"""The graph: order, selection, and the real stages."""

from __future__ import annotations

import pytest

from reelscope.errors import UsageError
from reelscope.pipeline.graph import Graph, build_graph, waits_for
from reelscope.records import STAGE_VALUES
from reelscope.settings import Settings
from reelscope.testing.stages import Say


def test_each_stage_stands_after_what_it_waits_for() -> None:
    graph = Graph([Say("c", needs=("b",)), Say("a"), Say("b", uses=("a",))])
    assert graph.names == ("a", "b", "c")


def test_a_circle_is_refused() -> None:
    with pytest.raises(ValueError, match="circle"):
        Graph([Say("a", needs=("b",)), Say("b", needs=("a",))])


def test_only_brings_what_is_needed_and_skip_takes_away() -> None:
    graph = Graph([Say("a"), Say("b", needs=("a",)), Say("c", uses=("b",)), Say("d")])
    assert graph.select(only=["b"]) == {"a", "b"}
    assert graph.select(only=["c"]) == {"c"}
    assert graph.select(skip=["a"]) == {"b", "c", "d"}
    with pytest.raises(UsageError, match="no stage is called 'x'; there are: a, "):
        graph.select(only=["x"])
    with pytest.raises(UsageError, match="no stage to run"):
        graph.select(only=["d"], skip=["d"])


def test_the_real_graph_is_whole() -> None:
    graph = build_graph(Settings())
    assert set(graph.names) == set(STAGE_VALUES)
    for stage in graph:
        assert set(waits_for(stage)) <= set(graph.names)
        assert stage.engine
        assert stage.version >= 1
