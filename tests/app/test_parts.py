"""What pages are made of: charts, recipes, the wipe."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app.parts import charts
from app.parts.recipe import general, kinds, nearest, recipe
from nas.search.results.candidates import read_candidates
from tests.app.invented import write_run

SPACE = {
    "mid": (False, True),
    "down.0.resnets.0.groups": (4, 8, 12, 16),
    "resnet.bits": (4, 8, 32),
    "down.0.attentions.0.depth": (0, 1),
    "down.0.attentions.0.ff.width": (64, 128, 192, 256),
    "steps": (1, 2, 4, 8, 25),
}


def test_a_recipe_is_the_largest_network_but_for_its_sliders() -> None:
    assert kinds(SPACE) == {
        "width": ["down.0.resnets.0.groups", "down.0.attentions.0.ff.width"],
        "blocks": ["down.0.attentions.0.depth"],
        "bits": ["resnet.bits"],
    }
    assert general(SPACE) == ["mid", "steps"]
    assert recipe(SPACE, {}, {}) == {name: choices[-1] for name, choices in SPACE.items()}
    chosen = recipe(SPACE, {"width": 0.5}, {"steps": 4, "unknown": 1})
    assert chosen["down.0.resnets.0.groups"] == 8 and chosen["down.0.attentions.0.ff.width"] == 128
    assert chosen["steps"] == 4 and chosen["resnet.bits"] == 32 and "unknown" not in chosen
    assert (
        nearest((0, 1), 0.0) == 0
        and nearest((False, True), 1.0) is True
        and nearest((False, True), 0.0) is False
    )


def test_every_candidate_plays_one_part_and_few_are_drawn(tmp_path: Path) -> None:
    found = read_candidates(write_run(tmp_path / "run", 5000))
    kept = found.allowed({"resolution": [16, 24]})
    role = charts.roles(found, 1.0, kept, 12)
    assert (role[~kept] == -1).sum() >= (~kept).sum() - 1 and role[12] == 5
    data = charts.points(found, role)
    assert len(data) <= charts.MOST_POINTS + (role >= 2).sum()
    assert set(found.front(kept)) <= {*data["id"]}
    drawn = charts.pareto_chart(found, 1.0, kept, 12).to_dict()
    assert "Pareto front" in drawn["description"]
    names = {param["name"] for param in drawn.get("params", [])}
    assert charts.PICK in names


def test_the_diagram_outlines_what_is_left_out(tmp_path: Path) -> None:
    found = read_candidates(write_run(tmp_path / "run", 300))
    shallow = next(row for row in range(300) if found.choices(row)["stage1.depth"] == 1)
    chart, rest = charts.diagram(found.dimensions, found.choices(shallow))
    assert chart is not None and rest == {"resolution": found.choices(shallow)["resolution"]}
    (data,) = [
        rows for rows in chart.to_dict()["datasets"].values() if "state" in rows[0] and "cx" not in rows[0]
    ]
    left_out = [row for row in data if row["state"] == "left out"]
    assert [row["share"] for row in left_out] == [0] and len(data) == 3


def test_the_other_charts_are_drawn(tmp_path: Path) -> None:
    found = read_candidates(write_run(tmp_path / "run", 300))
    rows = found.front()
    for chart in (
        charts.front_mix(found, rows, "resolution"),
        charts.importance_chart({"a": 0.7, "b": 0.3}),
        charts.parallel(found, rows, ["resolution", "stage1.depth"], int(rows[0])),
        charts.growth(np.arange(3), np.array([1.0, np.nan, 2.0]), found.quality),
        charts.predicted_measured(np.array([1.0, 2.0]), np.array([1.1, 1.9]), "x"),
        charts.error_histogram(np.array([1.0, 2.0]), np.array([1.1, 1.9])),
        charts.bars(["a"], [1.0], "MACs"),
    ):
        assert chart.to_dict()["$schema"]


@pytest.mark.parametrize("share", [-5, 0, 30, 100, 200])
def test_the_wipe_shows_both(share: int) -> None:
    from app.parts.wipe import wiped

    first, second = np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 100, np.uint8)
    made = wiped(first, second, share, 64)
    assert made.shape == (64, 64, 3)
    black = (made == 0).all(axis=2).any(axis=0).sum()
    assert abs(black - 0.64 * min(max(share, 0), 100)) <= 2
