"""Two networks of one UNet: the whole, which also gives its deep features, and the outer layers, which take them.

DeepCache (Ma et al. 2024): features that come from below change little from step to step, so that most steps need
only the first stage going down and the last going up. Both run diffusers' own forward on copies of its containers.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn


class Denoiser(nn.Module):
    """A UNet that returns its prediction with the features that enter its last stage, joined along the channels."""

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.unet, self._border = _with_border(unet)
        self.max_batch = getattr(unet, "max_batch", None) or 65536

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor | None = None,
        text_embeds: Tensor | None = None,
        time_ids: Tensor | None = None,
    ) -> Tensor:
        """Return (batch, channels of the prediction + of the features, height, width)."""
        # No **inputs: torch.export's guards know arguments by name only.
        prediction = self.unet(sample, timestep, **_told(encoder_hidden_states, text_embeds, time_ids))
        return torch.cat([prediction, self._border.take()], dim=1)


class ShallowDenoiser(nn.Module):
    """The outer layers of a UNet: its first stage going down and its last going up, around given features."""

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        twin, self._border = _with_border(unet)
        (name, first), *_ = unet.get_submodule("down_blocks").named_children()
        last, border = list(twin.get_submodule("up_blocks").named_children())[-1]
        self.unet = _twin(
            twin,
            down_blocks=_list({name: _twin(first, downsamplers=None)}),
            mid_block=None,
            up_blocks=_list({last: border}),
        )
        self.unet.num_upsamplers = 0
        self.max_batch = getattr(unet, "max_batch", None) or 65536

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        deep: Tensor,
        encoder_hidden_states: Tensor | None = None,
        text_embeds: Tensor | None = None,
        time_ids: Tensor | None = None,
    ) -> Tensor:
        """Return the prediction with the features `deep` (batch, channels, height, width) of an earlier step."""
        self._border.given = deep
        prediction = self.unet(sample, timestep, **_told(encoder_hidden_states, text_embeds, time_ids))
        self._border.take()
        return prediction


def _told(
    encoder_hidden_states: Tensor | None, text_embeds: Tensor | None, time_ids: Tensor | None
) -> dict[str, Tensor]:
    """Return the arguments that there are: a UNet without a text has none of them."""
    given = {
        "encoder_hidden_states": encoder_hidden_states,
        "text_embeds": text_embeds,
        "time_ids": time_ids,
    }
    return {name: x for name, x in given.items() if x is not None}


class _Border(nn.Module):
    """The last stage going up; it keeps what comes from below, or has it replaced by what it is given."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block
        self.has_cross_attention = bool(getattr(block, "has_cross_attention", False))
        self.given: Tensor | None = None
        self._kept: Tensor | None = None

    @property
    def resnets(self) -> Any:
        """The stage's residual blocks, of which diffusers asks the number."""
        return self.block.resnets

    def forward(self, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        self._kept = hidden_states if self.given is None else self.given
        return self.block(self._kept, *args, **kwargs)

    def take(self) -> Tensor:
        """Return the features of this run and forget them: nothing stays between runs."""
        kept, self._kept, self.given = self._kept, None, None
        assert kept is not None
        return kept


def _with_border(unet: nn.Module) -> tuple[Any, _Border]:
    blocks = dict(unet.get_submodule("up_blocks").named_children())
    last = [*blocks][-1]
    border = _Border(blocks[last])
    return _twin(unet, up_blocks=_list({**blocks, last: border})), border


def _twin(module: nn.Module, **replaced: nn.Module | None) -> Any:
    """Return a copy of a container that shares all its modules but the `replaced`."""
    twin = copy.copy(module)
    twin._modules = {**module._modules, **replaced}
    return twin


def _list(modules: dict[str, nn.Module]) -> nn.ModuleList:
    """Return a list whose modules keep their names."""
    found = nn.ModuleList()
    found._modules = dict(modules)
    return found
