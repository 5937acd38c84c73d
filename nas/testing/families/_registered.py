"""A family has a name: its options make it again, and a folder of its weights is a model for every command."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from nas.elastic import Supernet, call
from nas.families import get_family
from nas.models import get_task, load_model, save_model
from nas.testing.families._case import some_subnets


class Registered:
    """A family has a name: its options make it again, and a folder of its weights is a model for every command."""

    def test_its_name_and_options_make_it_again(self, supernet: Supernet) -> None:
        """Options go through JSON, as in a model's folder or in a program that a measuring process builds."""
        family = supernet.family
        again = get_family(family.name, **json.loads(json.dumps(dict(family.options))))
        assert again.space.digest == family.space.digest
        assert again.name == family.name
        assert json.dumps(dict(again.options)) == json.dumps(dict(family.options))
        with torch.device("meta"):
            network = again.build(again.space.largest())
        shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
        matrices = {f"{part.name}.{name}" for part in family.parts for name in part.matrices}
        state = supernet.network.state_dict()
        assert shapes == {name: tensor.shape for name, tensor in state.items() if name not in matrices}

    def test_its_task_is_installed(self, supernet: Supernet) -> None:
        task = get_task(supernet.family.task)
        assert task.name == supernet.family.task
        assert task.qualities

    @torch.no_grad()
    def test_a_model_folder_gives_the_supernet_back(self, supernet: Supernet, tmp_path: Path) -> None:
        half = (0.5, 0.5, 0.5)
        save_model(tmp_path / "model", supernet, name="mine", classes=["a", "b"], mean=half, std=half)
        model = load_model(tmp_path / "model")
        assert model.classes == ["a", "b"]
        assert model.mean == half
        loaded, state = model.supernet.network.state_dict(), supernet.network.state_dict()
        assert loaded.keys() == state.keys()
        assert all(torch.equal(tensor, state[name]) for name, tensor in loaded.items())
        assert not model.supernet.training
        subnet = some_subnets(supernet.family, 1)[-1]
        x = supernet.family.example_input(subnet, 2)
        assert torch.equal(call(model.extract(subnet), x), model.supernet(x, subnet))
