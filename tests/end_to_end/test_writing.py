"""Text that a compiled model writes on the emulated wafer, from a prompt on, is PyTorch's: token for token."""

from __future__ import annotations

import pytest
import tokenizers
import torch
import transformers

from meshc.cli.main import status_of_line
from meshc.driver import compile_model
from meshc.options import CompileOptions
from tests.models import tiny, token_ids

#: Every id of the tiny models is a word.
VOCABULARY = 96
PROMPTS = ("w5 w17 w3 w60", "w9 w2")
NEW = 10


def greedy(model: torch.nn.Module, prompt: str) -> str:
    """PyTorch's text behind a prompt: the likeliest token, again and again."""
    ids = [int(word[1:]) for word in prompt.split()]
    with torch.no_grad():
        for _ in range(NEW):
            ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
    return " ".join(f"w{i}" for i in ids[-NEW:])


@pytest.mark.parametrize(("family", "grid"), [("llama", (3, 2)), ("gpt2", (2, 3))])
def test_text_is_that_of_pytorch(family, grid, tmp_path, capsys):
    model, ids = tiny(family), token_ids(2, 16)
    options = CompileOptions(target="tiny", grid=grid, dtype="f32", phase="decode", seq=6, batch=2)
    compile_model(torch.export.export(model, (ids,)), options, name=family).save(tmp_path / "build")
    words = tokenizers.models.WordLevel({f"w{i}": i for i in range(VOCABULARY)}, unk_token="w0")
    plain = tokenizers.Tokenizer(words)
    plain.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=plain)
    fast.save_pretrained(tmp_path / "build" / "tokenizer")
    prompts = [option for prompt in PROMPTS for option in ("--prompt", prompt)]
    line = ["run", str(tmp_path / "build"), *prompts, "--max-new-tokens", str(NEW), "--no-table"]
    assert status_of_line(line) == 0
    wanted = "".join(f"> {prompt}\n{greedy(model, prompt)}\n" for prompt in PROMPTS)
    assert capsys.readouterr().out == wanted
