from __future__ import annotations

import pytest

from diffusion.pipeline.parts.tokenizer import check_prompts, make_tokenizer
from nas.errors import UsageError

CAPTIONS = ["a photo of a ship", "an airplane", "a sheep", "a shape", "a deer", "naïve café"]


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer(CAPTIONS, length=8)


@pytest.mark.parametrize("caption", CAPTIONS)
def test_every_word_of_a_caption_is_one_token(tokenizer, caption):
    words = caption.split()
    tokens = tokenizer(caption).input_ids
    assert len(tokens) == len(words) + 2
    assert tokenizer.decode(tokens[1:-1]).strip() == caption
    assert tokenizer(caption.upper()).input_ids == tokens


def test_other_words_are_spelled_and_none_is_unknown(tokenizer):
    text = "zebra 7 €"
    tokens = tokenizer(text).input_ids[1:-1]
    assert len(tokens) > 3
    assert tokenizer.eos_token_id not in tokens
    assert tokenizer.decode(tokens).strip() == text


def test_a_saved_tokenizer_is_the_same(tokenizer, tmp_path):
    from transformers import CLIPTokenizer

    tokenizer.save_pretrained(tmp_path)
    again = CLIPTokenizer.from_pretrained(tmp_path)
    assert again.model_max_length == 8
    for caption in [*CAPTIONS, "zebra"]:
        assert again(caption).input_ids == tokenizer(caption).input_ids


def test_a_prompt_may_fill_the_length_and_not_more(tokenizer):
    check_prompts(tokenizer, ["a photo of a ship deer", ""])
    with pytest.raises(UsageError, match=r"'a photo of a ship deer sheep' has 9 tokens, at most 8"):
        check_prompts(tokenizer, ["a photo of a ship deer sheep"])
