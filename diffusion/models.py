"""Subnets as models of diffusers: in the stock format where that can say them, else with the subnet in config.json.

    import diffusion
    pipeline = DiffusionPipeline.from_pretrained(folder)

loads either; a stock model needs no import. Nothing is unpickled and no code of a folder is run.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from diffusers.configuration_utils import register_to_config
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import nn

from diffusion.configuration import CONDITIONAL, UNCONDITIONAL
from diffusion.stock import stock_config, stock_names
from diffusion.unet import DiffusionUNet, diffusion_unet
from nas._errors import UsageError
from nas.space import Subnet


def _takes_subnet(parent: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a constructor the parent's signature and `subnet`: diffusers reads from it what a config.json may hold."""

    def decorate(init: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(parent.__init__)
        extra = inspect.Parameter("subnet", inspect.Parameter.KEYWORD_ONLY, default=None)
        init.__signature__ = signature.replace(parameters=[*signature.parameters.values(), extra])  # type: ignore[attr-defined]
        return init

    return decorate


def _become(model: Any, kind: str, config: Mapping[str, Any], subnet: Mapping[str, Any]) -> None:
    """Put the modules of a subnet's network into `model`."""
    try:
        options, choices = subnet["options"], subnet["choices"]
    except (KeyError, TypeError) as error:
        raise UsageError(
            'the configuration\'s subnet is no object with "options" and "choices"; give the config.json that was '
            "written with the weights"
        ) from error
    family = diffusion_unet({**config, "_class_name": kind}, **options)
    # Loaders of weights build models without values, by a hook that a module made here shows.
    with torch.device(nn.Linear(1, 1).weight.device):
        network = family.build(family.space.subnet(choices))
    model._modules = network._modules
    if isinstance(model, UNet2DConditionModel):
        model.num_upsamplers = network.num_upsamplers  # pyright: ignore[reportAttributeAccessIssue]


class SubnetUNet2DConditionModel(UNet2DConditionModel):
    """A `UNet2DConditionModel` at a subnet's size; its configuration is the full network's and `subnet`.

    `subnet` holds the family's "options" (the shares offered) and the subnet's "choices".
    """

    @register_to_config
    @_takes_subnet(UNet2DConditionModel)
    def __init__(self, subnet: Mapping[str, Any] | None = None, **config: Any) -> None:
        with torch.device("meta" if subnet else torch.get_default_device()):
            super().__init__(**config)
        if subnet:
            _become(self, CONDITIONAL, config, subnet)


class SubnetUNet2DModel(UNet2DModel):
    """A `UNet2DModel` at a subnet's size; its configuration is the full network's and `subnet`."""

    @register_to_config
    @_takes_subnet(UNet2DModel)
    def __init__(self, subnet: Mapping[str, Any] | None = None, **config: Any) -> None:
        with torch.device("meta" if subnet else torch.get_default_device()):
            super().__init__(**config)
        if subnet:
            _become(self, UNCONDITIONAL, config, subnet)


# A pipeline's model_index.json names the module of a class, and users import only the package.
for _class in (SubnetUNet2DConditionModel, SubnetUNet2DModel):
    _class.__module__ = "diffusion"

_SUBNET: Mapping[str, type[ModelMixin]] = {
    CONDITIONAL: SubnetUNet2DConditionModel,
    UNCONDITIONAL: SubnetUNet2DModel,
}
_STOCK: Mapping[str, type[ModelMixin]] = {CONDITIONAL: UNet2DConditionModel, UNCONDITIONAL: UNet2DModel}


def subnet_config(family: DiffusionUNet, subnet: Subnet) -> dict[str, Any]:
    """Return the configuration of `subnet` for the subclass: the full network's, with the subnet in it."""
    options = {name: value for name, value in family.options.items() if name != "config"}
    return {**family.config, "subnet": {"options": options, "choices": dict(subnet)}}


def to_diffusers(family: DiffusionUNet, subnet: Subnet, network: nn.Module) -> ModelMixin:
    """Return an extracted `network` of `subnet` as a model that diffusers saves and runs; they share their tensors.

    It is of the stock class where a stock configuration says the subnet, else of the subclass that carries it.
    """
    from accelerate import init_empty_weights

    config, names = stock_config(family, subnet), stock_names(network)
    kind = family.config["_class_name"]
    with init_empty_weights(include_buffers=False):
        if config is None:
            given = {
                key: value for key, value in subnet_config(family, subnet).items() if key != "_class_name"
            }
            model = _SUBNET[kind](**given)
        else:
            model = _STOCK[kind].from_config(config)  # pyright: ignore[reportAttributeAccessIssue]
    state = {
        name if config is None else names[name]: tensor
        for name, tensor in network.state_dict(keep_vars=True).items()
    }
    model.load_state_dict(state, assign=True)
    return model.eval()
