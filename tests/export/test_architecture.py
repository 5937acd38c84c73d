"""The architecture of a subnet as a table."""

from __future__ import annotations

from torch import nn

from nas.export import architecture, weightless
from nas.models import Model
from nas.space import Subnet


def test_groups_add_up_to_the_counts(model: Model, middle: Subnet) -> None:
    built, counts = architecture(model.supernet, middle), model.supernet.count(middle)
    assert sum(group.macs for group in built.groups) == counts.macs
    assert sum(group.params for group in built.groups) == counts.params
    assert built.general == {"resolution": middle["resolution"]}


def test_a_stage_lists_its_blocks_choices_and_widths(model: Model) -> None:
    largest = model.space.largest()
    stage = next(g for g in architecture(model.supernet, largest).groups if g.name == "stages.2")
    depth = int(largest["stage2.depth"])
    assert stage.blocks == depth
    assert stage.choices["kernel"] == [largest[f"stage2.block{b}.kernel"] for b in range(1, depth + 1)]
    network = model.supernet.skeleton(largest)

    def outputs(name: str) -> int:
        conv = network.get_submodule(name)
        assert isinstance(conv, nn.Conv2d)
        return conv.out_channels

    expected = [outputs(f"stages.2.{b}.expand.conv") for b in range(1, depth + 1)]
    assert stage.widths["expanded"] == expected
    assert stage.output[0] == outputs("stages.2.1.project.conv")


def test_rows_share_their_columns_with_cost_last(model: Model, middle: Subnet) -> None:
    rows = architecture(model.supernet, middle).rows()
    assert len({tuple(row) for row in rows}) == 1
    assert next(iter(rows[0])) == "part"
    assert [*rows[0]][-3:] == ["output", "MACs", "params"]


def test_a_supernet_without_weights_is_described_alike(model: Model, middle: Subnet) -> None:
    bare = weightless(model.family)
    assert all(parameter.is_meta for parameter in bare.parameters())
    assert architecture(bare, middle) == architecture(model.supernet, middle)


def test_json_holds_every_group(model: Model) -> None:
    parts = architecture(model.supernet, model.space.smallest()).to_dict()["parts"]
    assert parts[0]["name"] == "stem"
    assert parts[0]["output"] == [16, 24, 24]
