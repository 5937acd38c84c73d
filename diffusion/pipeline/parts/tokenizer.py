"""A CLIP tokenizer that knows the words of a few captions, and spells all others by bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from nas.errors import UsageError

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

START, END = "<|startoftext|>", "<|endoftext|>"
_WORD = re.compile(r"[^\W\d_]+")


def make_tokenizer(captions: Iterable[str], length: int) -> CLIPTokenizer:
    """Return a tokenizer with one token for each word of `captions`, taking prompts of up to `length` tokens.

    The two tokens around a prompt count. Its alphabet is CLIP's (bytes, and bytes that end a word), so that any text
    has tokens; the merges that make a word come in order of the words.
    """
    from transformers import CLIPTokenizer

    alphabet = _alphabet()
    vocabulary = [*alphabet, *(f"{letter}</w>" for letter in alphabet)]
    merges: dict[tuple[str, str], None] = {}
    for word in sorted({word for caption in captions for word in _WORD.findall(caption.lower())}):
        parts = [_bytes(letter) for letter in word]
        letters = [letter for part in parts for letter in part]
        letters[-1] += "</w>"
        # From the right: the end of a word is merged first, so that words that begin alike stay apart.
        while len(letters) > 1:
            pair = (letters[-2], letters[-1])
            merges.setdefault(pair)
            letters[-2:] = ["".join(pair)]
    vocabulary += ["".join(pair) for pair in merges]
    table = {token: index for index, token in enumerate(dict.fromkeys([*vocabulary, START, END]))}
    return CLIPTokenizer(vocab=table, merges=list(merges), model_max_length=length)  # pyright: ignore[reportArgumentType]


def _alphabet() -> list[str]:
    """Return the printable stand-ins of the 256 bytes, as GPT-2 and CLIP have them."""
    from tokenizers.pre_tokenizers import ByteLevel

    return sorted(ByteLevel.alphabet())


def _bytes(letter: str) -> list[str]:
    from tokenizers.pre_tokenizers import ByteLevel

    (piece, _), *_rest = ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(letter)
    return list(piece)


def check_prompts(tokenizer: Any, prompts: Sequence[str], longest: int | None = None) -> None:
    """Raise `UsageError` for a prompt of more tokens than `tokenizer` takes, or than `longest`."""
    most = min(tokenizer.model_max_length, longest or tokenizer.model_max_length)
    for prompt in prompts:
        count = len(tokenizer(prompt, truncation=False, verbose=False).input_ids)
        if count > most:
            raise UsageError(
                f"the prompt {_short(prompt)!r} has {count} tokens, at most {most} are taken (marks around it "
                "count); shorten it, or use words of the training's captions: others are spelled by letters"
            )


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
