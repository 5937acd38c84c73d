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
from diffusers.models.transformers.dit_transformer_2d import DiTTransformer2DModel
from diffusers.models.transformers.pixart_transformer_2d import PixArtTransformer2DModel
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import nn

from diffusion.denoisers.configuration import CONDITIONAL, DIT, PIXART, UNCONDITIONAL
from diffusion.denoisers.family import DenoiserFamily
from diffusion.denoisers.native_config import native_config, native_names
from diffusion.denoisers.transformer import diffusion_transformer
from diffusion.denoisers.unet import diffusion_unet
from nas.elastic import FULL, packed
from nas.errors import UsageError
from nas.space import Subnet


def _constructor(parent: type) -> Callable[..., None]:
    """Return a constructor like the parent's that also takes `subnet`.

    Diffusers reads from its signature what a config.json may hold.
    """

    def construct(self: Any, *, subnet: Mapping[str, Any] | None = None, **config: Any) -> None:
        with torch.device("meta" if subnet else torch.get_default_device()):
            parent.__init__(self, **config)
        if subnet:
            _become(self, parent.__name__, config, subnet)

    signature = inspect.signature(parent.__init__)
    extra = inspect.Parameter("subnet", inspect.Parameter.KEYWORD_ONLY, default=None)
    shown: Any = construct
    shown.__signature__ = signature.replace(parameters=[*signature.parameters.values(), extra])
    return register_to_config(construct)


def _become(model: Any, kind: str, config: Mapping[str, Any], subnet: Mapping[str, Any]) -> None:
    """Put the modules of a subnet's network into `model`."""
    options, choices = _read(subnet)
    family = FAMILIES[kind]({**config, "_class_name": kind}, **options)
    # Loaders of weights build models without values, by a hook that a module made here shows.
    with torch.device(nn.Linear(1, 1).weight.device):
        network: Any = packed(family.build(family.space.subnet(choices)))
    for name, buffer in family.template.named_buffers():  # values that no file holds
        path, _, leaf = name.rpartition(".")
        network.get_submodule(path)._buffers[leaf] = buffer.clone()
    model._modules = network._modules
    for theirs, ours in family.moved.items():
        path, _, leaf = ours.rpartition(".")
        tensor = model._modules.pop(path).get_parameter(leaf)
        model._parameters[theirs] = tensor
    if isinstance(model, UNet2DConditionModel):
        model.num_upsamplers = network.num_upsamplers


class SubnetUNet2DConditionModel(UNet2DConditionModel):
    """A `UNet2DConditionModel` at a subnet's size; its configuration is the full network's and `subnet`.

    `subnet` holds the family's "options" (the shares offered) and the subnet's "choices".
    """

    __init__ = _constructor(UNet2DConditionModel)


class SubnetUNet2DModel(UNet2DModel):
    """A `UNet2DModel` at a subnet's size; its configuration is the full network's and `subnet`."""

    __init__ = _constructor(UNet2DModel)


class SubnetDiTTransformer2DModel(DiTTransformer2DModel):
    """A `DiTTransformer2DModel` at a subnet's size; its configuration is the full network's and `subnet`."""

    __init__ = _constructor(DiTTransformer2DModel)


class SubnetPixArtTransformer2DModel(PixArtTransformer2DModel):
    """A `PixArtTransformer2DModel` at a subnet's size; its configuration is the full network's and `subnet`."""

    __init__ = _constructor(PixArtTransformer2DModel)


FAMILIES: Mapping[str, Callable[..., DenoiserFamily]] = {
    CONDITIONAL: diffusion_unet,
    UNCONDITIONAL: diffusion_unet,
    DIT: diffusion_transformer,
    PIXART: diffusion_transformer,
}
_STOCK: Mapping[str, Any] = {
    CONDITIONAL: UNet2DConditionModel,
    UNCONDITIONAL: UNet2DModel,
    DIT: DiTTransformer2DModel,
    PIXART: PixArtTransformer2DModel,
}
_SUBNET: Mapping[str, Any] = {
    CONDITIONAL: SubnetUNet2DConditionModel,
    UNCONDITIONAL: SubnetUNet2DModel,
    DIT: SubnetDiTTransformer2DModel,
    PIXART: SubnetPixArtTransformer2DModel,
}
for _class in _SUBNET.values():
    # A pipeline's model_index.json names the module of a class, and users import only the package.
    _class.__module__ = "diffusion"


def options_within(subnet: Mapping[str, Any], place: object) -> dict[str, Any]:
    """Return the options of the family whose largest network is the `subnet` of the configuration in `place`.

    Raises `UsageError` for one with weights of few bits: there is nothing to choose from them.
    """
    options, choices = _read(subnet)
    own = {name: value for name, value in choices.items() if not name.endswith(".bits")}
    few = {value for name, value in choices.items() if name not in own} | {FULL}
    if len(few) > 1 or (options.get("bits") or [FULL])[-1] != FULL:
        raise UsageError(
            f"the weights of {place} have fewer than {FULL} bits, from which nothing is made; give the pipeline that "
            "it was made from"
        )
    skipped = {"bits", "within", *(options.get("sampling") or {})}
    own = {name: value for name, value in own.items() if name not in skipped}
    return {**{k: v for k, v in options.items() if k not in (*skipped, "sampling")}, "within": own}


def _read(subnet: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        return dict(subnet["options"]), dict(subnet["choices"])
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            'the configuration\'s subnet is no object with "options" and "choices"; give the config.json that was '
            "written with the weights"
        ) from error


def subnet_config(family: DenoiserFamily, subnet: Subnet) -> dict[str, Any]:
    """Return the configuration of `subnet` for the subclass: the full network's, with the subnet in it."""
    options = {name: value for name, value in family.options.items() if name != "config"}
    return {**family.config, "subnet": {"options": options, "choices": dict(subnet)}}


def to_diffusers(family: DenoiserFamily, subnet: Subnet, network: nn.Module) -> ModelMixin:
    """Return an extracted `network` of `subnet` as a model that diffusers saves and runs.

    They share their tensors, but weights of few bits are packed. The model is of the stock class where a stock
    configuration says the subnet, else of the subclass that carries it.
    """
    from accelerate import init_empty_weights

    network = packed(network)
    config = native_config(family, subnet)
    with init_empty_weights(include_buffers=False):
        if config is None:
            given = {k: value for k, value in subnet_config(family, subnet).items() if k != "_class_name"}
            model = _SUBNET[family.kind](**given)
        else:
            model = _STOCK[family.kind].from_config(config)
    theirs = {ours: name for name, ours in family.moved.items()}
    names = {name: name for name in network.state_dict()} if config is None else native_names(network)
    state = {
        theirs.get(name, names[name]): tensor for name, tensor in network.state_dict(keep_vars=True).items()
    }
    model.load_state_dict(state, assign=True)
    return model.eval()
