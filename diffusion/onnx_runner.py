"""Sample pictures with an exported pipeline: numpy, onnxruntime and tokenizers are all it needs.

    python run_onnx.py "a photo of a ship" --seed 1 --output ship.png

This file stands in every exported pipeline as `run_onnx.py`, beside the ONNX files and `sampling.json`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray
Run = Callable[[str, Mapping[str, Array]], Array]


def sample(sampling: Mapping[str, Any], run: Run, latents: Array, prompt: Array, negative: Array) -> Array:
    """Return pictures (n, 3, height, width), -1 to 1 and a little beyond.

    `latents` are noise (n, channels, height, width), float32; `prompt` and `negative` token numbers (n, tokens), int64.
    Before step i the latents are `mix[i]` times the noise and all predictions so far: what every deterministic
    scheduler without thresholds comes to. `run` runs a program by its name.
    """
    count, channels = latents.shape[:2]
    steps, mix = sampling["steps"], np.asarray(sampling["mix"], np.float32)
    guided = any(step["guided"] for step in steps)
    ids = np.concatenate([negative, prompt]) if guided else prompt
    conditions = run("text_encoder", {"input_ids": ids})
    known, deep = [latents], None
    for index, step in enumerate(steps):
        rows = 2 * count if step["guided"] else count
        x = _mixed(mix[index], known) * np.float32(step["scale"])
        feed = {
            "sample": np.concatenate([x, x]) if step["guided"] else x,
            "timestep": np.full(rows, step["timestep"], np.float32),
            "encoder_hidden_states": conditions[-rows:],
        }
        if step["whole"]:
            out = run("unet", feed)
            prediction, deep = out[:, :channels], out[:, channels:]
        else:
            assert deep is not None, "the first step is a whole one"
            prediction = run("unet_shallow", {**feed, "deep": deep[-rows:]})
        if step["guided"]:
            without, with_text = prediction[:count], prediction[count:]
            prediction = without + np.float32(sampling["guidance"]) * (with_text - without)
        known.append(prediction)
    return run("vae_decoder", {"input": _mixed(mix[len(steps)], known)})


def _mixed(weights: Array, known: Sequence[Array]) -> Array:
    """Return the weighted sum of the noise and the predictions so far."""
    total = weights[0] * known[0]
    for weight, prediction in zip(weights[1:], known[1:], strict=False):
        if weight:
            total = total + weight * prediction
    return total


class Pipeline:
    """An exported pipeline on disk, run by ONNX Runtime."""

    def __init__(self, folder: str | Path = ".", threads: int = 0) -> None:
        import onnxruntime

        self.folder = Path(folder)
        self.sampling = json.loads((self.folder / "sampling.json").read_text(encoding="utf-8"))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._sessions = {
            name: onnxruntime.InferenceSession(
                str(self.folder / f"{name}.onnx"), options, providers=["CPUExecutionProvider"]
            )
            for name in self.sampling["programs"]
        }

    def run(self, name: str, feed: Mapping[str, Array]) -> Array:
        """Run one program; inputs that it does not use are left out."""
        session = self._sessions[name]
        wanted = {value.name for value in session.get_inputs()}
        (output,) = session.run(None, {key: value for key, value in feed.items() if key in wanted})
        return np.asarray(output)

    def tokens(self, prompts: Sequence[str]) -> Array:
        """Return the token numbers (n, tokens) of prompts."""
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(self.folder / "tokenizer" / "tokenizer.json"))
        length, end = int(self.sampling["tokens"]), int(self.sampling["pad"])
        rows = []
        for prompt in prompts:
            ids = tokenizer.encode(prompt).ids
            if len(ids) > length:
                raise SystemExit(f"{prompt!r} has {len(ids)} tokens, at most {length} are taken; shorten it")
            rows.append(ids + [end] * (length - len(ids)))
        return np.asarray(rows, np.int64)

    def __call__(self, prompts: Sequence[str], seeds: Sequence[int], negative: str = "") -> Array:
        """Return one picture, uint8 (n, height, width, 3), for each pair of a prompt and a seed."""
        shape = self.sampling["latents"]
        noise = [np.random.default_rng(seed).standard_normal(shape, dtype=np.float32) for seed in seeds]
        made = sample(
            self.sampling,
            self.run,
            np.stack(noise),
            self.tokens(prompts),
            self.tokens([negative] * len(prompts)),
        )
        return np.rint((made / 2 + 0.5).clip(0, 1) * 255).astype(np.uint8).transpose(0, 2, 3, 1)


def main() -> None:
    """Sample one picture and write it as PNG."""
    parser = argparse.ArgumentParser(description="Sample a picture with an exported pipeline.")
    parser.add_argument("prompt")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", default="picture.png")
    chosen = parser.parse_args()
    from PIL import Image

    (picture,) = Pipeline(Path(__file__).parent)([chosen.prompt], [chosen.seed])
    Image.fromarray(picture).save(chosen.output)
    print(f"wrote {chosen.output}")


if __name__ == "__main__":
    main()
