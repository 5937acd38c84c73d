"""The models of `bench_any_model` with random weights, and what is done with each in a process of its own.

Imports nothing of this project: programs of other environments make the same models, with the same inputs.
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import resource
import sys
import traceback
from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

SIZES = (64, 96, 128, 160, 192, 224, 240, 256)
"""Image sizes that are tried, until one runs."""
MEMORY_BYTES = 12 * 2**30

TIMM: Mapping[str, Mapping[str, Any]] = {
    "beit_base_patch16_224": {"depth": 4},
    "deepseek_vit_412m": {"depth": 2},
    "gemma4_vit_167m": {"depth": 2},
    "naflexvit_base_patch16_parfac_gap": {"depth": 4},
    "qwen3_vit_88m": {"depth": 2},
    "samvit_base_patch16": {"depth": 4},
    "vgg11": {"num_features": 256},
    "vitamin_small_224": {},
}
"""Options of models of timm that are large even as the smallest of their family."""
TORCHVISION = (
    "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "googlenet", "inception_v3",
    "maxvit_t", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large", "regnet_x_400mf",
    "regnet_y_400mf", "resnet18", "resnet50", "resnext50_32x4d", "shufflenet_v2_x0_5", "shufflenet_v2_x1_0",
    "squeezenet1_0", "squeezenet1_1", "swin_t", "swin_v2_t", "vgg11_bn", "vit_b_16",
)  # fmt: skip
"""Builders of classifiers."""
_WORDS: dict[str, Any] = {
    "vocab_size": 96, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128,
    "max_position_embeddings": 64, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2,
}  # fmt: skip
_PIXELS: dict[str, Any] = {
    "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128, "image_size": 64,
    "patch_size": 16,
}  # fmt: skip
_ONE_READER = {"num_key_value_heads": 2}
TRANSFORMERS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "Bert": ("ForSequenceClassification", _WORDS),
    "Roberta": ("ForSequenceClassification", _WORDS),
    "Electra": ("ForSequenceClassification", {**_WORDS, "embedding_size": 32}),
    "Albert": ("ForSequenceClassification", {**_WORDS, "embedding_size": 32}),
    "DistilBert": (
        "ForSequenceClassification",
        {"vocab_size": 96, "dim": 64, "n_layers": 2, "n_heads": 4, "hidden_dim": 128},
    ),
    "DebertaV2": ("ForSequenceClassification", _WORDS),
    "GPT2": ("LMHeadModel", {"vocab_size": 96, "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 64}),
    "GPTNeoX": ("ForCausalLM", _WORDS),
    "OPT": ("ForCausalLM", {**_WORDS, "ffn_dim": 128, "word_embed_proj_dim": 64}),
    "Llama": ("ForCausalLM", {**_WORDS, **_ONE_READER}),
    "Qwen2": ("ForCausalLM", {**_WORDS, **_ONE_READER}),
    "Mistral": ("ForCausalLM", {**_WORDS, **_ONE_READER}),
    "Phi": ("ForCausalLM", _WORDS),
    "T5": (
        "EncoderModel",
        {"vocab_size": 96, "d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4},
    ),
    "ViT": ("ForImageClassification", _PIXELS),
    "DeiT": ("ForImageClassification", _PIXELS),
    "Dinov2": ("ForImageClassification", {**_PIXELS, "mlp_ratio": 2}),
    "CLIPVision": ("Model", _PIXELS),
    "Swin": (
        "ForImageClassification",
        {"image_size": 64, "embed_dim": 24, "depths": [2, 2], "num_heads": [3, 6], "window_size": 4},
    ),
    "ConvNext": ("ForImageClassification", {"hidden_sizes": [16, 32, 64, 96], "depths": [1, 1, 2, 1]}),
    "ResNet": (
        "ForImageClassification",
        {"embedding_size": 16, "hidden_sizes": [32, 64, 96, 128], "depths": [2, 1, 1, 1]},
    ),
    "Segformer": ("ForImageClassification", {"hidden_sizes": [16, 32, 40, 64], "depths": [1, 1, 1, 1]}),
}
"""Configurations of transformers, each with the class that is made of it."""
DIFFUSERS: Mapping[str, Mapping[str, Any]] = {
    "UNet2DModel": {
        "sample_size": 16, "in_channels": 3, "out_channels": 3, "layers_per_block": 1, "norm_num_groups": 8,
        "block_out_channels": (32, 64), "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"), "attention_head_dim": 8,
    },
    "UNet2DConditionModel": {
        "sample_size": 16, "in_channels": 4, "out_channels": 4, "layers_per_block": 1, "norm_num_groups": 8,
        "block_out_channels": (32, 64), "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"), "cross_attention_dim": 32, "attention_head_dim": 4,
    },
    "AutoencoderKL": {
        "block_out_channels": (32, 64), "down_block_types": ("DownEncoderBlock2D",) * 2, "latent_channels": 4,
        "up_block_types": ("UpDecoderBlock2D",) * 2, "norm_num_groups": 8, "sample_size": 32,
    },
    "DiTTransformer2DModel": {
        "sample_size": 16, "num_layers": 2, "num_attention_heads": 4, "attention_head_dim": 16, "in_channels": 4,
        "out_channels": 4, "num_embeds_ada_norm": 10,
    },
}  # fmt: skip


class Answer(nn.Module):
    """A model of transformers or diffusers that returns the one tensor that counts."""

    def __init__(self, model: nn.Module, key: str) -> None:
        super().__init__()
        self.net, self.key = model, key

    def forward(self, x: Tensor) -> Tensor:
        """Return the tensor."""
        return getattr(self.net(x), self.key)


class Denoiser(Answer):
    """A model that is told the step of the diffusion, and what it is to show."""

    def forward(self, x: Tensor, step: Tensor, context: Tensor | None = None) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the tensor."""
        if context is None:
            return getattr(self.net(x, step), self.key)
        return getattr(self.net(x, step, context), self.key)


def make(model: str) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return a model in evaluation mode with random weights, and a batch of two for it.

    Args:
        model: such as "timm:resnet10t".
    """
    library, _, name = model.partition(":")
    torch.manual_seed(0)
    module, inputs = {
        "timm": _timm, "torchvision": _torchvision, "transformers": _transformers, "diffusers": _diffusers,
    }[library](name)  # fmt: skip
    return forgetful(module), inputs


def forgetful(module: nn.Module) -> nn.Module:
    """Return a module in evaluation mode without what it keeps of its weights there, such as biases by position."""
    return module.train().eval()


def _image(size: int, channels: int = 3) -> Tensor:
    return torch.randn(2, channels, size, size, generator=torch.Generator().manual_seed(0))


def _timm(name: str) -> tuple[nn.Module, tuple[Tensor, ...]]:
    import timm

    return _at_first_size(lambda **size: timm.create_model(name, **TIMM.get(name, {}), **size), "img_size")


def _torchvision(name: str) -> tuple[nn.Module, tuple[Tensor, ...]]:
    from torchvision.models import get_model

    plain: dict[str, Any] = {"weights": None}
    if name in ("googlenet", "inception_v3"):
        plain |= {"aux_logits": False, "init_weights": False}
    return _at_first_size(lambda **size: get_model(name, **plain, **size), "image_size")


def _at_first_size(build: Callable[..., nn.Module], argument: str) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return a model with images of the first size that it runs with; some are told theirs."""
    error: Exception | None = None
    module: nn.Module | None = None
    for is_told, size in product((True, False), SIZES):
        try:
            if is_told:
                module = build(**{argument: size}).eval()
            elif module is None or size == SIZES[0]:
                module = build().eval()
            with torch.no_grad():
                out = module(_image(size))
            if isinstance(out, Tensor) and out.isfinite().all():
                return module, (_image(size),)
        except TypeError as seen:  # takes no size
            error = seen
            if is_told:
                module = None
        except Exception as seen:
            error = seen
    raise RuntimeError(f"runs with no image of {SIZES[0]} to {SIZES[-1]} pixels: {error}")


def _transformers(name: str) -> tuple[nn.Module, tuple[Tensor, ...]]:
    transformers = importlib.import_module("transformers")
    kind, options = TRANSFORMERS[name]
    config = getattr(transformers, f"{name}Config")(**options)
    if kind != "Model":
        config.num_labels = 7
    config.use_cache = False
    net = getattr(transformers, f"{name}{kind}")(config)
    if "Image" in kind or "Vision" in name:
        return Answer(net, "logits" if "Image" in kind else "pooler_output"), (_image(64),)
    words = torch.randint(3, 96, (2, 12), generator=torch.Generator().manual_seed(0))
    return Answer(net, "last_hidden_state" if kind == "EncoderModel" else "logits"), (words,)


def _diffusers(name: str) -> tuple[nn.Module, tuple[Tensor, ...]]:
    net = getattr(importlib.import_module("diffusers"), name)(**DIFFUSERS[name])
    channels, size = DIFFUSERS[name].get("in_channels", 3), DIFFUSERS[name]["sample_size"]
    x, step = _image(size, channels), torch.tensor([3, 7])
    if name == "AutoencoderKL":
        return Answer(net, "sample"), (x,)
    if name == "UNet2DConditionModel":
        context = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(1))
        return Denoiser(net, "sample"), (x, step, context)
    if name == "DiTTransformer2DModel":
        return Denoiser(net, "sample"), (x, step, torch.tensor([1, 4]))
    return Denoiser(net, "sample"), (x, step)


@torch.no_grad()
def reveal(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights in double precision that hide no mistake: no zeros, no standard statistics."""
    generator, found = torch.Generator().manual_seed(1), {}
    for name, tensor in state.items():
        noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
        if not tensor.is_floating_point():
            found[name] = tensor
        elif name.endswith(("running_mean", "bias")):
            found[name] = noise * 0.3
        elif tensor.ndim >= 2:
            found[name] = noise / max(1, tensor[0].numel()) ** 0.5
        else:
            found[name] = noise.abs() * 0.4 + 0.4
    return found


def in_own_process(
    function: Callable[[str], Mapping[str, Any]], model: str, seconds: float
) -> dict[str, Any]:
    """Return what a function says of a model, run in a copy of this process that may take so many seconds.

    A function that takes longer, or that breaks its process, says nothing but "error".
    """
    context = multiprocessing.get_context("fork")
    reader, writer = context.Pipe(duplex=False)

    def run() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
        try:
            writer.send(dict(function(model)))
        except Exception as error:
            print(traceback.format_exc(), file=sys.stderr)
            writer.send({"error": in_short(error)})

    process = context.Process(target=run)
    process.start()
    writer.close()
    try:
        if not reader.poll(seconds):
            return {"error": f"not done in {seconds:.0f} s"}
        return reader.recv()
    except EOFError:
        process.join()
        return {"error": f"its process ended with {process.exitcode}"}
    finally:
        process.kill()
        process.join()


def in_short(error: BaseException) -> str:
    """Return an error in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:240]}"


def serve(function: Callable[[str], Mapping[str, Any]], seconds: float) -> None:
    """Answer each line of the standard input, a model's name, with a line of JSON."""
    for line in sys.stdin:
        print(json.dumps(in_own_process(function, line.strip(), seconds)), flush=True)
