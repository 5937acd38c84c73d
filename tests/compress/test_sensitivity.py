"""The table of what each choice costs and saves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nas.compress import read_sensitivity, write_sensitivity
from nas.compress.sensitivity import sensitivity
from nas.elastic import Supernet
from nas.errors import NasError, UsageError
from tests.compress.kinds import KINDS, denoiser, examples


@pytest.fixture(params=[*KINDS])
def supernet(request: pytest.FixtureRequest) -> Supernet:
    return KINDS[request.param]()


FINER = {
    "classifier": "stage2.block1.expand",
    "denoiser": "down_blocks.1.attentions.0.transformer_blocks.0.ff.width",
}


@pytest.mark.parametrize("kind", [*KINDS])
def test_the_table_has_every_smaller_choice(kind: str, tmp_path: Path) -> None:
    supernet = KINDS[kind]().train()
    batches = [x for x, _ in examples(supernet, 2)]
    heard: list[tuple[int, int]] = []
    rows = sensitivity(supernet, batches, progress=lambda done, count: heard.append((done, count)))
    space = supernet.space
    expected = {(d.name, c) for d in space.dimensions if d.name != "steps" for c in d.choices[:-1]}
    assert {(row.dimension, row.choice) for row in rows} == expected
    assert len(heard) == len(rows) == heard[-1][0]
    assert [row.error for row in rows] == sorted((row.error for row in rows), reverse=True)
    assert all(row.error > 0 and 0 <= row.params < 1 and 0 < row.macs < 1 for row in rows)
    assert supernet.training
    by_name = {(row.dimension, row.choice): row for row in rows}
    name = FINER[kind]
    widths = space[name].choices[:-1]
    assert by_name[name, widths[0]].macs > by_name[name, widths[-1]].macs
    assert by_name[name, widths[0]].params > by_name[name, widths[-1]].params > 0
    write_sensitivity(tmp_path / "sensitivity.csv", rows)
    read = read_sensitivity(tmp_path / "sensitivity.csv", supernet)
    assert [(row.dimension, row.choice) for row in read] == [(row.dimension, row.choice) for row in rows]
    np.testing.assert_allclose([row.error for row in read], [row.error for row in rows], rtol=1e-5)


def test_single_dimensions_can_be_asked_for() -> None:
    supernet = denoiser()
    some = sensitivity(supernet, [x for x, _ in examples(supernet, 1)], ["mid"])
    assert [(row.dimension, row.choice) for row in some] == [("mid", False)]


def test_wrong_input_is_refused(supernet: Supernet, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="batch"):
        sensitivity(supernet, [])
    with pytest.raises(UsageError, match="elephant"):
        sensitivity(supernet, [examples(supernet, 1)[0][0]], ["elephant"])
    with pytest.raises(NasError, match="cannot be read"):
        read_sensitivity(tmp_path / "absent.csv", supernet)
    (tmp_path / "other.csv").write_text("dimension,choice,error,macs,params\nelephant,1,0,0,0\n")
    with pytest.raises(NasError, match="no sensitivity table"):
        read_sensitivity(tmp_path / "other.csv", supernet)
