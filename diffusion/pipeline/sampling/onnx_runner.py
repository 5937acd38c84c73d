"""Sample pictures with an exported pipeline: numpy, onnxruntime and tokenizers are all it needs.

    python run_onnx.py "a photo of a ship" --seed 1 --output ship.png

The prompt is a text, the name or number of a class, or nothing: what the pipeline makes pictures of. This file stands
in every exported pipeline as `run_onnx.py`, beside the ONNX files and `sampling.json`.
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


def sample(sampling: Mapping[str, Any], run: Run, inputs: Mapping[str, Array]) -> Array:
    """Return pictures (n, channels, height, width), -1 to 1 and a little beyond.

    `inputs` are `latents`, noise (n, channels, height, width), float32, and what the conditions are made of: token
    numbers and masks (n, tokens), classes (n), int64. `run` runs a program by its name.

    Before step i the latents are `mix[i]` times the noise and all predictions so far: what every deterministic
    scheduler comes to. One that clips images has them among the predictions.
    """
    latents = inputs["latents"]
    count, channels = latents.shape[:2]
    steps, mix, names = sampling["steps"], np.asarray(sampling["mix"], np.float32), sampling["denoiser"]
    conditioning = tell(sampling, run, inputs, any(step["guided"] for step in steps))
    known, deep = [latents], None
    for index, step in enumerate(steps):
        rows = 2 * count if step["guided"] else count
        x = mixed(mix[index], known) * np.float32(step["scale"])
        feed = {
            names["sample"]: np.concatenate([x, x]) if step["guided"] else x,
            "timestep": np.full(rows, step["timestep"], np.float32),
            **{name: value[-rows:] for name, value in conditioning.items()},
        }
        if step["whole"]:
            out = run(names["whole"], feed)
            deep = out[:, names["outputs"] :]
        else:
            assert deep is not None, "the first step is a whole one"
            out = run(names["shallow"], {**feed, "deep": deep[-rows:]})
        prediction = out[:, :channels]
        if step["guided"]:
            without, with_prompt = prediction[:count], prediction[count:]
            prediction = without + np.float32(sampling["guidance"]) * (with_prompt - without)
        known.append(prediction)
        known += clean(sampling, index, known)
    x = mixed(mix[len(steps)], known)
    return run(sampling["decoder"], {"input": x}) if sampling["decoder"] else x


def tell(
    sampling: Mapping[str, Any], run: Run, inputs: Mapping[str, Array], guided: bool
) -> dict[str, Array]:
    """Return the denoiser's arguments: if `guided`, a row for each picture without its prompt, then one with it."""
    features = {}
    for program, arguments in sampling["encoders"].items():
        given = {argument: inputs[name] for argument, name in arguments.items()}
        has_negatives = all(_negative(name) in inputs for name in arguments.values())
        if guided and has_negatives:
            given = {a: np.concatenate([inputs[_negative(arguments[a])], x]) for a, x in given.items()}
        made = run(program, given)
        features[program] = (
            np.concatenate([np.zeros_like(made), made]) if guided and not has_negatives else made
        )
    rows = len(inputs["latents"]) * (2 if guided else 1)

    def value(source: Any) -> Array:
        if isinstance(source, list):
            parts = [features[part["program"]][..., part["start"] : part["stop"]] for part in source]
            parts = [x[:, 0] if part["pooled"] else x for part, x in zip(source, parts, strict=True)]
            return np.concatenate(parts, axis=-1)
        if "values" in source:
            return np.tile(np.asarray(source["values"], np.float32), (rows, 1))
        own = inputs[source["input"]]
        if not guided:
            return own
        null = source["without"]
        other = inputs[_negative(source["input"])] if null is None else np.full_like(own, null)
        return np.concatenate([other, own])

    return {name: value(source) for name, source in sampling["conditioning"].items()}


def _negative(name: str) -> str:
    return name.replace("prompt", "negative")


def mixed(weights: Array, known: Sequence[Array]) -> Array:
    """Return the weighted sum of what is known so far."""
    total = weights[0] * known[0]
    for weight, x in zip(weights[1:], known[1:], strict=False):
        if weight:
            total = total + weight * x
    return total


def clean(sampling: Mapping[str, Any], index: int, known: Sequence[Array]) -> list[Array]:
    """Return the clipped image that step `index` knows after its prediction, if the scheduler clips."""
    most = sampling["clip"]
    if most is None:
        return []
    weights = np.asarray(sampling["steps"][index]["clean"], np.float32)
    return [mixed(weights, known).clip(-most, most)]


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

    def inputs(self, prompts: Sequence[str], negative: str | None = None) -> dict[str, Array]:
        """Return what prompts make: token numbers and masks (n, tokens), or classes (n), int64.

        Without a `negative` prompt the empty one stands for it, or nothing where the pipeline takes zeros then.
        """
        found = {}
        for name, spec in self.sampling["inputs"].items():
            if "classes" in spec:
                found[name] = np.asarray([_label(spec, prompt) for prompt in prompts], np.int64)
                continue
            found[name] = self._tokens(spec, prompts)
            if negative is not None or self.sampling["negatives"]:
                found[spec["negative"]] = self._tokens(spec, [negative or ""] * len(prompts))
        return found

    def _tokens(self, spec: Mapping[str, Any], prompts: Sequence[str]) -> Array:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(self.folder / spec["tokenizer"] / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        length, rows = int(spec["length"]), []
        for prompt in prompts:
            ids = tokenizer.encode(prompt.lower().strip() if spec["lower"] else prompt).ids
            if len(ids) > length:
                raise SystemExit(f"{prompt!r} has {len(ids)} tokens, at most {length} are taken; shorten it")
            row, end = ([1] * len(ids), 0) if spec["mask"] else (ids, int(spec["pad"]))
            rows.append(row + [end] * (length - len(ids)))
        return np.asarray(rows, np.int64)

    def __call__(self, prompts: Sequence[str], seeds: Sequence[int], negative: str | None = None) -> Array:
        """Return one picture, uint8 (n, height, width, channels), for each pair of a prompt and a seed."""
        shape = self.sampling["latents"]
        noise = [np.random.default_rng(seed).standard_normal(shape, dtype=np.float32) for seed in seeds]
        inputs = {"latents": np.stack(noise), **self.inputs(prompts, negative)}
        made = sample(self.sampling, self.run, inputs)
        return np.rint((made / 2 + 0.5).clip(0, 1) * 255).astype(np.uint8).transpose(0, 2, 3, 1)


def _label(spec: Mapping[str, Any], name: str) -> int:
    """Return the number of a class, given by its name or number."""
    text = name.strip()
    if text in spec["labels"]:
        return int(spec["labels"][text])
    if text.isdecimal() and int(text) < spec["classes"]:
        return int(text)
    raise SystemExit(
        f"there is no class {name!r}; give a name of sampling.json or 0 to {spec['classes'] - 1}"
    )


def main() -> None:
    """Sample one picture and write it as PNG."""
    parser = argparse.ArgumentParser(description="Sample a picture with an exported pipeline.")
    parser.add_argument("prompt", nargs="?", help="a text, or the name or number of a class")
    parser.add_argument("--negative", help="what the picture shall not show")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", default="picture.png")
    chosen = parser.parse_args()
    from PIL import Image

    pipeline = Pipeline(Path(__file__).parent)
    if chosen.prompt is None and pipeline.sampling["inputs"]:
        parser.error("this pipeline makes pictures of a prompt or class; give one")
    (picture,) = pipeline([chosen.prompt or ""], [chosen.seed], chosen.negative)
    Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture).save(chosen.output)
    print(f"wrote {chosen.output}")


if __name__ == "__main__":
    main()
