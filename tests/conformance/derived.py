"""Models that become families: small variants with random weights, one of each kind, and hand-written awkward ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, cast

import timm.models as timms
import torch
import torch.nn.functional as F
import torchvision.models as torchvisions
from timm.models._efficientnet_builder import decode_arch_def
from torch import Tensor, nn
from torchvision.models.regnet import BlockParams

from nas.derive import Derivation, derive


class Tied(nn.Module):
    """A language model whose head has the embedding's weights."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.inner = nn.Embedding(9, 16), nn.Linear(16, 24)
        self.back, self.head = nn.Linear(24, 16), nn.Linear(16, 9, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        """Return scores of words (batch, words, vocabulary)."""
        batch, count = tokens.shape
        tokens = tokens.reshape(batch, count)
        return self.head(self.back(self.inner(self.embedding(tokens)).relu()))


class Shared(nn.Module):
    """A layer that runs twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.twice = nn.Conv2d(3, 16, 3), nn.Conv2d(16, 16, 3, padding=1)
        self.norm, self.head = nn.BatchNorm2d(16), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits."""
        x = self.stem(x).relu()
        x = self.twice(self.twice(x).relu())
        return self.head(self.norm(x).mean((2, 3)))


class Gated(nn.Module):
    """Gated linear units, by `glu`, by halves, and interleaved, and a dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ModuleList([nn.Linear(12, 32), nn.Linear(16, 48), nn.Linear(24, 64)])
        self.drop, self.head = nn.Dropout(0.2), nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits."""
        x = F.glu(self.up[0](x))
        value, gate = self.up[1](x).chunk(2, -1)
        pairs = self.up[2](value * gate.sigmoid()).unflatten(-1, (-1, 2))
        return self.head(self.drop(pairs[..., 0] * pairs[..., 1].tanh()))


class Pixels(nn.Module):
    """Grouped convolutions, a channel shuffle and a pixel shuffle, as in super-resolution."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.grouped = nn.Conv2d(3, 32, 3, padding=1), nn.Conv2d(32, 64, 3, padding=1, groups=4)
        self.norm, self.up = nn.GroupNorm(4, 64), nn.Conv2d(64, 64, 1)
        self.head = nn.Conv2d(16, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return an image of twice the size."""
        x = F.channel_shuffle(self.norm(self.grouped(self.stem(x))).relu(), 4)
        return self.head(F.pixel_shuffle(self.up(x), 2))


class Constant(nn.Module):
    """Attention whose sizes are constants of the code: its modules cannot be told, its graph can."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv1d(3, 32, 1), nn.BatchNorm1d(32)
        self.qkv, self.proj, self.head = nn.Linear(32, 96), nn.Linear(32, 32), nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits."""
        x = self.norm(self.stem(x)).view(-1, 32, 6).mT
        q, k, v = self.qkv(x).view(-1, 6, 3, 4, 8).permute(2, 0, 3, 1, 4).unbind(0)
        x = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(-1, 6, 32)
        return self.head(self.proj(x).mean(1))


class Both(nn.Module):
    """Two inputs by name, one of whole numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.image, self.words, self.head = nn.Conv2d(3, 16, 3), nn.Embedding(7, 16), nn.Linear(32, 5)

    def forward(self, pixels: Tensor, words: Tensor) -> Tensor:
        """Return logits."""
        seen, read = self.image(pixels).relu().mean((2, 3)), self.words(words).mean(1)
        return self.head(torch.cat([seen, read], 1))


class Language(nn.Module):
    """A small language model of transformers that returns logits."""

    def __init__(self, name: str, kind: str = "ForSequenceClassification", **options: Any) -> None:
        super().__init__()
        import transformers

        config = getattr(transformers, f"{name}Config")(
            vocab_size=40, num_labels=5, bos_token_id=0, eos_token_id=1, **options
        )
        self.net = getattr(transformers, f"{name}{kind}")(config)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits for tokens (batch, words)."""
        batch, count = tokens.shape
        return self.net(tokens.reshape(batch, count)).logits


def _unet() -> nn.Module:
    from diffusers.models.unets.unet_2d import UNet2DModel

    return UNet2DModel(
        sample_size=8,
        in_channels=3,
        out_channels=3,
        layers_per_block=1,
        block_out_channels=(16, 32),
        norm_num_groups=4,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=8,
    )


def _image(size: int) -> tuple[Tensor, ...]:
    return (torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0)),)


def _tokens(count: int = 6) -> tuple[Tensor, ...]:
    return (torch.arange(2 * count).reshape(2, count) * 7 % 40,)


def _swin() -> nn.Module:
    sizes: dict[str, Any] = {"img_size": 32, "patch_size": 4, "window_size": 4, "embed_dim": 24}
    return timms.SwinTransformer(**sizes, depths=(2, 2), num_heads=(3, 6), num_classes=5)


def _ghost() -> nn.Module:
    stages = [[[3, 16, 16, 0, 1]], [[3, 48, 24, 0.25, 2]], [[3, 72, 24, 0, 1]]]
    return timms.GhostNet(stages, num_classes=5, width=1.0)


def _lite() -> nn.Module:
    """EfficientNet-Lite, cut small, with TensorFlow's "same" padding."""
    stages = decode_arch_def([["ds_r1_k3_s1_e1_c16"], ["ir_r2_k5_s2_e3_c24"], ["ir_r1_k5_s2_e3_c32"]])
    norm = partial(nn.BatchNorm2d, eps=1e-3)
    return timms.EfficientNet(
        cast(Any, stages), 5, 64, stem_size=16, pad_type="same", norm_layer=norm, act_layer=nn.ReLU6
    )


class Filtered(nn.Sequential):
    """An inverted residual of one kernel size."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        wide = 4 * inputs
        super().__init__(
            nn.Conv2d(inputs, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.Hardswish(),
            nn.Conv2d(wide, wide, kernel, stride, kernel // 2, groups=wide), nn.BatchNorm2d(wide), nn.Hardswish(),
            nn.Conv2d(wide, outputs, 1), nn.BatchNorm2d(outputs),
        )  # fmt: skip
        self.is_residual = inputs == outputs

    def forward(self, input: Tensor) -> Tensor:
        """Return (batch, outputs, height / stride, width / stride)."""
        return input + super().forward(input) if self.is_residual else super().forward(input)


def _mobilenet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 5, 2, 2), nn.BatchNorm2d(16), nn.ReLU(), Filtered(16, 16, 7, 1), Filtered(16, 24, 5, 2),
        Filtered(24, 24, 3, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 5),
    )  # fmt: skip


INVERTED = [[1, 16, 1, 1], [4, 24, 2, 2], [4, 32, 2, 2]]

MODELS: Mapping[str, Callable[[], tuple[Any, ...]]] = {
    "resnet": lambda: (timms.ResNet(cast(Any, timms.resnet.BasicBlock), (2, 1, 1, 1), channels=(16, 16, 24, 32), num_classes=5), _image(32)),
    "bottleneck": lambda: (
        timms.ResNet(cast(Any, timms.resnet.Bottleneck), (2, 1, 1, 1), channels=(16, 16, 16, 16), cardinality=4, base_width=16, num_classes=5),
        _image(32),
    ),
    "mobilenetv2": lambda: (torchvisions.MobileNetV2(5, inverted_residual_setting=INVERTED), _image(32)),
    "mobilenetv3": lambda: (torchvisions.mobilenet_v3_small(num_classes=5), _image(32)),
    "efficientnet": lambda: (timms.create_model("test_efficientnet", num_classes=5), _image(32)),
    "regnet": lambda: (torchvisions.RegNet(BlockParams.from_init_params(4, 16, 16.0, 2.0, 8, se_ratio=0.25), 5), _image(32)),
    "densenet": lambda: (torchvisions.DenseNet(16, cast(Any, (2, 2)), 16, num_classes=5), _image(32)),
    "shufflenet": lambda: (torchvisions.ShuffleNetV2([2, 2, 2], [16, 32, 48, 64, 96], 5), _image(32)),
    "convnext": lambda: (timms.create_model("test_convnext", num_classes=5), _image(32)),
    "ghostnet": lambda: (_ghost(), _image(32)),
    "vit": lambda: (timms.create_model("test_vit", num_classes=5, img_size=32), _image(32)),
    "swin": lambda: (_swin(), _image(32)),
    "beit": lambda: (timms.Beit(img_size=32, embed_dim=48, depth=2, num_heads=3, use_rel_pos_bias=True, init_values=0.1, num_classes=5), _image(32)),
    "mixer": lambda: (timms.MlpMixer(img_size=32, patch_size=8, embed_dim=32, num_blocks=2, num_classes=5), _image(32)),
    "bert": lambda: (Language("Bert", hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64), _tokens()),
    "distilbert": lambda: (Language("DistilBert", dim=32, n_layers=2, n_heads=4, hidden_dim=64), _tokens()),
    "gpt2": lambda: (Language("GPT2", "LMHeadModel", n_embd=32, n_layer=2, n_head=4, use_cache=False), _tokens()),
    "unet": lambda: (_unet(), (*_image(8), torch.tensor([3, 7])), "sample"),
    "tied": lambda: (Tied(), (torch.arange(8).reshape(2, 4),)),
    "shared": lambda: (Shared(), _image(8)),
    "gated": lambda: (Gated(), (torch.randn(2, 12),)),
    "pixels": lambda: (Pixels(), _image(6)),
    "constant": lambda: (Constant(), (torch.randn(2, 3, 6),)),
    "both": lambda: (Both(), (*_image(8), torch.arange(8).reshape(2, 4) % 7)),
}  # fmt: skip


SIZED: Mapping[str, Callable[[], tuple[Any, ...]]] = {
    "lite": lambda: (_lite(), _image(32)),
    "mobilenet": lambda: (_mobilenet(), _image(32)),
    "convnext": MODELS["convnext"],
}
"""Models whose kernels and pictures are of several sizes."""


@cache
def sized(name: str) -> Derivation:
    """Derive the family of a model with elastic kernels, of pictures of several sizes, once a process."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model, inputs = SIZED[name]()
    return derive(model.eval(), inputs, elastic="kernel", resolutions=(32, 36, 44), name=name)


@cache
def derived(name: str) -> Derivation:
    """Derive the family of a model, once a process."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model, inputs, *output = MODELS[name]()
    return derive(model.eval(), inputs, name=name, output=output[0] if output else None)
