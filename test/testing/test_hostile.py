from __future__ import annotations

import hashlib
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from reelscope.testing import hostile


@given(st.binary(max_size=5000), st.integers(0, 2**32))
def test_the_same_seed_does_the_same_damage(data: bytes, seed: int) -> None:
    damaged = hostile.mutate(data, seed)
    assert damaged == hostile.mutate(data, seed)
    assert len(damaged) <= 40 * max(1, len(data))


def test_most_seeds_change_the_file_and_do_so_in_many_ways() -> None:
    data = bytes(range(256)) * 40
    copies = {hostile.mutate(data, seed) for seed in range(200)} - {data}
    assert len(copies) > 190
    assert {len(copy) > len(data) for copy in copies} == {True, False}


def test_seeds_that_were_reported_stay_what_they_were() -> None:
    data = bytes(range(256)) * 40
    digest = hashlib.sha256(b"".join(hostile.mutate(data, seed) for seed in range(50)))
    assert digest.hexdigest()[:16] == "d1450bbbaf698fe3"


def test_every_bad_file_has_a_name_of_its_own(tmp_path: Path) -> None:
    names = [bad.file_name for bad in hostile.BAD_FILES.values()]
    assert len({name.casefold() for name in names}) == len(names)
    assert max(len(name.encode()) for name in names) == 255
