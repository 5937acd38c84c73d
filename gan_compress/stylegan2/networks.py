"""Static modules of the StyleGAN2 generator (Karras et al. 2020, skip connections of images), without custom kernels.

The modulated convolution scales its input, convolves with one weight shared by the batch and demodulates its output:
the same numbers as the published grouped form, which makes a weight for every image, but it exports with a dynamic
batch and can be quantized. Tensors have the names and shapes of the rosinality and Anycost GAN checkpoints.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from math import log2, sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SQRT2 = sqrt(2)
MAPPING_RATE = 0.01
"""Factor on the learning rate of the mapping network and of what stands before it (Karras et al. 2019)."""


def blur_kernel(gain: float = 1.0) -> Tensor:
    """Return the 4 × 4 low-pass kernel of StyleGAN2, its sum `gain`."""
    line = (1.0, 3.0, 3.0, 1.0)
    # Numbers and no tensors: the first division on the meta device makes torch import its compiler for a second.
    return torch.tensor([[gain * a * b / sum(line) ** 2 for b in line] for a in line])


class PixelNorm(nn.Module):
    """Scale every latent to length √n."""

    def forward(self, z_bs: Tensor) -> Tensor:
        """Return (batch, style)."""
        return z_bs * torch.rsqrt(z_bs.square().mean(1, keepdim=True) + 1e-8)


class EqualLinear(nn.Module):
    """Linear layer with equalised learning rate: the weight is stored with unit variance and scaled when used."""

    def __init__(
        self, inputs: int, outputs: int, *, bias: float = 0.0, lr: float = 1.0, activate: bool = False
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(
            torch.randn(outputs, inputs).div_(lr)
        )  # `/` on the meta device imports torch's compiler
        self.bias = nn.Parameter(torch.full((outputs,), bias))
        self.scale, self.lr, self.activate = lr / sqrt(inputs), lr, activate

    def forward(self, x_bi: Tensor) -> Tensor:
        """Return (batch, outputs)."""
        y_bo = F.linear(x_bi, self.weight * self.scale, self.bias * self.lr)
        return F.leaky_relu(y_bo, 0.2) * SQRT2 if self.activate else y_bo


class Blur(nn.Module):
    """Low-pass filter after an upsampling convolution."""

    kernel: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.register_buffer("kernel", blur_kernel(4.0))

    def forward(self, x_bchw: Tensor) -> Tensor:
        """Return (batch, channels, height - 1, width - 1)."""
        weight = self.kernel.expand(self.channels, 1, 4, 4)
        return F.conv2d(x_bchw, weight, padding=1, groups=self.channels)


class Upsample(Blur):
    """Twice the size, low-pass filtered."""

    def forward(self, x_bchw: Tensor) -> Tensor:
        """Return (batch, channels, 2 height, 2 width)."""
        weight = self.kernel.expand(self.channels, 1, 4, 4)
        return F.conv_transpose2d(x_bchw, weight, stride=2, padding=1, groups=self.channels)


class ModulatedConv(nn.Module):
    """Convolution whose input channels are scaled by the style, and whose output is normalised by what that does.

    `fan_in` is the number of input channels of the largest network: the learned weights' scale is a property of the
    checkpoint, not of the subnet.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        style: int,
        *,
        fan_in: int,
        upsample: bool = False,
        demodulate: bool = True,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, outputs, inputs, kernel, kernel))
        self.modulation = EqualLinear(style, inputs, bias=1.0)
        self.scale, self.demodulate = 1 / sqrt(fan_in * kernel**2), demodulate
        self.blur = Blur(outputs) if upsample else None

    def forward(self, x_bihw: Tensor, style_bs: Tensor) -> Tensor:
        """Return (batch, outputs, height, width), twice as high and wide with upsampling."""
        weight = self.weight[0] * self.scale
        scale_bi = self.modulation(style_bs)
        x_bihw = x_bihw * scale_bi[:, :, None, None]
        if self.blur is None:
            y_bohw = F.conv2d(x_bihw, weight, padding=weight.shape[-1] // 2)
        else:
            y_bohw = self.blur(F.conv_transpose2d(x_bihw, weight.transpose(0, 1), stride=2))
        if not self.demodulate:
            return y_bohw
        power_bo = scale_bi.square() @ weight.square().sum((2, 3)).T
        return y_bohw * torch.rsqrt(power_bo + 1e-8)[:, :, None, None]


class NoiseInjection(nn.Module):
    """Adds one noise picture to every channel."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x_bchw: Tensor, noise_b1hw: Tensor) -> Tensor:
        """Return (batch, channels, height, width)."""
        return x_bchw + self.weight * noise_b1hw


class BiasedLeakyReLU(nn.Module):
    """Bias, leaky ReLU, and the gain that keeps the variance."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x_bchw: Tensor) -> Tensor:
        """Return (batch, channels, height, width)."""
        return F.leaky_relu(x_bchw + self.bias[:, None, None], 0.2) * SQRT2


class StyledConv(nn.Module):
    """Modulated 3 × 3 convolution, noise, bias and activation."""

    def __init__(self, inputs: int, outputs: int, style: int, *, fan_in: int, upsample: bool = False) -> None:
        super().__init__()
        self.conv = ModulatedConv(inputs, outputs, 3, style, fan_in=fan_in, upsample=upsample)
        self.noise = NoiseInjection()
        self.activate = BiasedLeakyReLU(outputs)

    def forward(self, x_bchw: Tensor, style_bs: Tensor, noise_b1hw: Tensor) -> Tensor:
        """Return (batch, outputs, height, width), twice as high and wide with upsampling."""
        return self.activate(self.noise(self.conv(x_bchw, style_bs), noise_b1hw))


class ToRGB(nn.Module):
    """Modulated 1 × 1 convolution to an image, added to the image of half the size where there is one."""

    def __init__(
        self, inputs: int, style: int, *, fan_in: int, upsample: bool = True, colours: int = 3
    ) -> None:
        super().__init__()
        self.upsample = Upsample(colours) if upsample else None
        self.conv = ModulatedConv(inputs, colours, 1, style, fan_in=fan_in, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(1, colours, 1, 1))

    def forward(self, x_bchw: Tensor, style_bs: Tensor, smaller: Tensor | None = None) -> Tensor:
        """Return the image (batch, colours, height, width); `smaller` is the one of half the size."""
        image = self.conv(x_bchw, style_bs) + self.bias
        return image if smaller is None or self.upsample is None else image + self.upsample(smaller)


class ConstantInput(nn.Module):
    """The learned 4 × 4 picture that every image starts from."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.input = nn.Parameter(torch.randn(1, channels, 4, 4))

    def forward(self, batch_size: int) -> Tensor:
        """Return (batch, channels, 4, 4)."""
        return self.input.expand(batch_size, -1, -1, -1)


class FixedNoise(nn.Module):
    """The noise pictures that are used when no others are given, so that the same latent gives the same image."""

    def __init__(self, resolution: int) -> None:
        super().__init__()
        for index, size in enumerate(noise_sizes(resolution)):
            self.register_buffer(f"noise_{index}", torch.randn(1, 1, size, size))


def noise_sizes(resolution: int) -> list[int]:
    """Return the size of every convolution's noise: 4, 8, 8, 16, 16, …"""
    return [4, *(2**power for power in range(3, int(log2(resolution)) + 1) for _ in range(2))]


class ClassCondition(nn.Module):
    """Joins a latent with the learned vector of its class; classes may be mixed, so that they can be interpolated."""

    def __init__(self, style: int, classes: int) -> None:
        super().__init__()
        self.style = style
        self.embed = EqualLinear(classes, style, lr=MAPPING_RATE)
        self.join = EqualLinear(2 * style, style, lr=MAPPING_RATE)
        self.normalize = PixelNorm()

    def forward(self, z_bi: Tensor) -> Tensor:
        """Return (batch, style) of latents with their classes' shares behind them (batch, style + classes)."""
        latent_bs, shares_bc = z_bi[:, : self.style], z_bi[:, self.style :]
        return self.join(torch.cat([self.normalize(latent_bs), self.normalize(self.embed(shares_bc))], 1))


class Generator(nn.Module):
    """StyleGAN2 generator of one resolution, made of its parts."""

    def __init__(
        self,
        style: nn.Module,
        start: nn.Module,
        conv1: nn.Module,
        to_rgb1: nn.Module,
        convs: Sequence[tuple[str, nn.Module]],
        to_rgbs: Sequence[tuple[str, nn.Module]],
        noises: nn.Module,
        condition: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.condition = condition
        self.style, self.input, self.conv1, self.to_rgb1 = style, start, conv1, to_rgb1
        self.convs = nn.Sequential(OrderedDict(convs))
        self.to_rgbs = nn.Sequential(OrderedDict(to_rgbs))
        self.noises = noises

    @property
    def layers(self) -> int:
        """How many styles an image takes, one for each convolution and the last image."""
        return len(self.convs) + 2

    def forward(self, z_bi: Tensor) -> Tensor:
        """Return images (batch, 3, resolution, resolution), about -1 to 1, of latents as `map` takes them."""
        return self.synthesize(self.map(z_bi))

    def map(self, z_bi: Tensor) -> Tensor:
        """Return the styles (batch, style) of latents; with classes, their shares stand behind each latent."""
        return self.style(z_bi if self.condition is None else self.condition(z_bi))

    def synthesize(self, style: Tensor, noise: Sequence[Tensor] | None = None) -> Tensor:
        """Return images of one style each (batch, style), or of one for each layer (batch, layers, style).

        `noise` are pictures (batch or 1, 1, size, size) as `noise_sizes` says; without them the fixed ones.
        """
        pictures = list(self.noises.buffers()) if noise is None else noise

        def of(layer: int) -> Tensor:
            return style if style.ndim == 2 else style[:, layer]

        x = self.conv1(self.input(style.shape[0]), of(0), pictures[0])
        image = self.to_rgb1(x, of(1))
        for index, to_rgb in enumerate(self.to_rgbs):
            layer = 2 * index
            x = self.convs[layer](x, of(layer + 1), pictures[layer + 1])
            x = self.convs[layer + 1](x, of(layer + 2), pictures[layer + 2])
            image = to_rgb(x, of(layer + 3), image)
        return image
