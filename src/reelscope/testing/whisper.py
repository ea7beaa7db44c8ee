"""Tiny Whispers with seeded weights, in the files that the real ones come in.

The vocabulary, the number of decoder layers and heads and the lengths are the real ones,
so that tokenizers, alignment heads and spectrograms fit. The rest is tiny, and some weights
are set by hand: the decoder writes the earliest timestamp, some English words that depend on
what it hears, the latest timestamp, and stops.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tiktoken
    import torch
    from whisper import Whisper

STATE = 48
WORDS = 6
"""Tokens of text for each sound."""
LAYERS_AND_HEADS = {
    "tiny": (4, 6), "base": (6, 8), "small": (12, 12), "medium": (24, 16),
    "large-v1": (32, 20), "large-v2": (32, 20), "large-v3": (32, 20),
    "large-v3-turbo": (4, 20),
}  # fmt: skip
"""Of the real decoders (whisper/__init__.py, _ALIGNMENT_HEADS is made for these)."""
AUDIO_LAYERS = {"large-v3-turbo": 32}
"""Where the encoder has more than the decoder."""
REAL_HEAD = 64
"""State of a head in the real models."""
END, TIME, WORD, LANGUAGE, LATE = range(5)
"""Numbers of the state that are set by hand: what the next token should be, and how late a
timestamp."""
SET = slice(0, 5)
STRONG = 8.0
HEARING = 1.5
"""How much louder than at random what is heard is beside the place and the last word."""
SURENESS = 25.0
"""What the differences between words are multiplied with."""


def write_openai_whisper(
    root: Path, name: str = "openai-whisper-tiny", *, real_size: bool = False, words: int = WORDS
) -> None:
    """Write `<size>.pt` into `root/name`, as the package's checkpoints are.

    Args:
        root: folder of all weights.
        name: in the registry.
        real_size: as large as the real one: for measuring speed.
        words: tokens of text that it writes for each sound.
    """
    import torch

    size = name.removeprefix("openai-whisper-")
    model = _model(size, real_size=real_size, words=words)
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = {"dims": dict(vars(model.dims)), "model_state_dict": model.state_dict()}
    torch.save(checkpoint, folder / f"{size}.pt")


def write_faster_whisper(
    root: Path, name: str = "faster-whisper-tiny", *, real_size: bool = False, words: int = WORDS
) -> None:
    """Write a CTranslate2 folder of the same model, with its tokenizer, into `root/name`.

    Args:
        root: folder of all weights.
        name: in the registry.
        real_size: as large as the real one: for measuring speed.
        words: tokens of text that it writes for each sound.
    """
    size = name.removeprefix("faster-whisper-")
    model = _model(size, real_size=real_size, words=words)
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    spec = _spec(model, _encoding(size))
    spec.validate()
    spec.optimize(quantization="float16")
    spec.save(str(folder))
    _tokenizer(_encoding(size)).save(str(folder / "tokenizer.json"))
    if model.dims.n_mels != 80:
        text = json.dumps({"feature_size": model.dims.n_mels})
        (folder / "preprocessor_config.json").write_text(text, encoding="utf-8")


# ------------------------------------------------------------------------- the weights


def _encoding(size: str) -> tiktoken.Encoding:
    from whisper.tokenizer import get_tokenizer

    languages = 100 if "v3" in size else 99
    tokenizer = get_tokenizer(not size.endswith(".en"), num_languages=languages)
    encoding: tiktoken.Encoding = tokenizer.encoding
    return encoding


def _model(size: str, *, real_size: bool, words: int) -> Whisper:
    import torch
    from whisper.model import ModelDimensions, Whisper

    kind = size.removesuffix(".en")
    layers, heads = LAYERS_AND_HEADS[kind]
    state = heads * REAL_HEAD if real_size else heads * -(-STATE // heads)
    dims = ModelDimensions(
        n_mels=128 if "v3" in size else 80, n_audio_ctx=1500, n_audio_state=state,
        n_audio_head=heads, n_audio_layer=AUDIO_LAYERS.get(kind, layers) if real_size else 1,
        n_vocab=_encoding(size).n_vocab, n_text_ctx=448, n_text_state=state,
        n_text_head=heads, n_text_layer=layers,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(1921)
        model = Whisper(dims)
        prompt = 1 if size.endswith(".en") else 3
        _steer(model, _encoding(size), prompt=prompt, words=words)
    return model.eval()


def _steer(model: Whisper, encoding: tiktoken.Encoding, *, prompt: int, words: int) -> None:
    """Set what makes it write a timestamp, words, a timestamp and the end."""
    import torch

    tokens: torch.Tensor = model.decoder.token_embedding.weight
    places = model.decoder.positional_embedding
    end = encoding.encode_single_token("<|endoftext|>")
    first_time = encoding.encode_single_token("<|0.00|>")
    # a word is as like itself in a large state as in a small one: no loops of one word
    torch.nn.init.normal_(tokens, std=0.1 * (STATE / tokens.shape[1]) ** 0.5)
    torch.nn.init.normal_(places, std=1.0)
    tokens[:, SET] = 0
    tokens[end, END] = tokens[first_time:, TIME] = STRONG
    tokens[_words(encoding), WORD] = STRONG
    tokens[encoding.encode_single_token("<|en|>"), LANGUAGE] = STRONG
    start = prompt - 1  # the place whose output is the first token
    tokens[first_time:, LATE] = torch.linspace(0, STRONG, len(tokens) - first_time)
    places[:, SET] = -STRONG
    places[start + words + 2 :, END] = 2 * STRONG
    for place, number in enumerate(_wanted(start, words)):
        places[place, number] = 2 * STRONG
    places[start + words + 1, LATE] = 2 * STRONG
    for block in model.decoder.blocks:
        for layer in (block.attn.out, block.cross_attn.out, block.mlp[2]):
            layer.weight[SET] = layer.bias[SET] = 0
        block.cross_attn.out.weight.mul_(HEARING)
    model.decoder.ln.weight.fill_(SURENESS)


def _wanted(start: int, words: int) -> Iterator[int]:
    """What should come after each place: those before the last of the prompt are not read,
    except the first, after which the language is told."""
    yield from [LANGUAGE] * start
    yield TIME
    yield from [WORD] * words
    yield TIME


def _words(encoding: tiktoken.Encoding) -> list[int]:
    """Some hundred common English words."""
    texts = ((token, encoding.decode([token])) for token in range(5000))
    return [t for t, text in texts if text[0] == " " and len(text) > 4 and text[1:].islower()][:500]


# -------------------------------------------------------------------------- CTranslate2


def _spec(model: Whisper, encoding: tiktoken.Encoding) -> Any:
    """The model as ctranslate2.converters.transformers.WhisperLoader would give it."""
    from ctranslate2.specs.whisper_spec import WhisperSpec

    dims = model.dims
    spec = WhisperSpec(dims.n_audio_layer, dims.n_audio_head, dims.n_text_layer, dims.n_text_head)
    spec.encoder.position_encodings.encodings = model.encoder.positional_embedding
    spec.decoder.position_encodings.encodings = model.decoder.positional_embedding
    for ours, theirs in (
        (spec.encoder.conv1, model.encoder.conv1),
        (spec.encoder.conv2, model.encoder.conv2),
        (spec.encoder.layer_norm, model.encoder.ln_post),
        (spec.decoder.layer_norm, model.decoder.ln),
    ):
        _copy(ours, theirs)
    spec.decoder.embeddings.weight = model.decoder.token_embedding.weight
    spec.decoder.projection.weight = model.decoder.token_embedding.weight
    for ours, block in (
        *zip(spec.encoder.layer, model.encoder.blocks, strict=True),
        *zip(spec.decoder.layer, model.decoder.blocks, strict=True),
    ):
        _copy_block(ours, block)
    names = [encoding.decode_single_token_bytes(token) for token in range(encoding.n_vocab)]
    spec.register_vocabulary([_printable(name) for name in names])
    _configure(spec.config, model, encoding)
    return spec


def _copy(ours: Any, theirs: Any) -> None:
    """Weight and bias; LayerNorm's weight is called gamma, its bias beta."""
    if hasattr(ours, "gamma"):
        ours.gamma, ours.beta = theirs.weight, theirs.bias
    else:
        ours.weight = theirs.weight
        if theirs.bias is not None:
            ours.bias = theirs.bias


def _copy_block(ours: Any, block: Any) -> None:
    own = block.attn
    _copy(ours.self_attention.layer_norm, block.attn_ln)
    _join(ours.self_attention.linear[0], [own.query, own.key, own.value])
    _copy(ours.self_attention.linear[1], own.out)
    if block.cross_attn is not None:
        cross = block.cross_attn
        _copy(ours.attention.layer_norm, block.cross_attn_ln)
        _copy(ours.attention.linear[0], cross.query)
        _join(ours.attention.linear[1], [cross.key, cross.value])
        _copy(ours.attention.linear[2], cross.out)
    _copy(ours.ffn.layer_norm, block.mlp_ln)
    _copy(ours.ffn.linear_0, block.mlp[0])
    _copy(ours.ffn.linear_1, block.mlp[2])


def _join(ours: Any, layers: list[Any]) -> None:
    """Linear layers in one; a missing bias (that of the keys) is zero."""
    import torch

    ours.weight = torch.cat([layer.weight for layer in layers])
    ours.bias = torch.cat(
        [
            torch.zeros(layer.weight.shape[0]) if layer.bias is None else layer.bias
            for layer in layers
        ]
    )


def _configure(config: Any, model: Whisper, encoding: tiktoken.Encoding) -> None:
    from whisper.tokenizer import LANGUAGES

    def token(text: str) -> int:
        return encoding.encode_single_token(text)

    languages = [f"<|{code}|>" for code in LANGUAGES]
    config.lang_ids = [token(t) for t in languages if t in encoding.special_tokens_set]
    config.suppress_ids = [token("<|startofprev|>")]
    config.suppress_ids_begin = [encoding.encode(" ")[0], token("<|endoftext|>")]
    config.alignment_heads = [list(pair) for pair in model.alignment_heads.indices().T.tolist()]


# ---------------------------------------------------------------------------- tokenizer


def _tokenizer(encoding: tiktoken.Encoding) -> Any:
    """The same vocabulary as a file of the package tokenizers."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    ranks = encoding._mergeable_ranks
    vocabulary = {_printable(token): rank for token, rank in ranks.items()}
    merges = [(_printable(a), _printable(b)) for a, b in _merges(ranks)]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    specials = [encoding.decode([token]) for token in range(len(ranks), encoding.n_vocab)]
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in specials])
    return tokenizer


def _merges(ranks: dict[bytes, int]) -> Iterator[tuple[bytes, bytes]]:
    """For each token the two that it is made of, by rank: byte pair encoding of the token
    with the lower ranks alone."""
    for token, rank in sorted(ranks.items(), key=lambda item: item[1]):
        if len(token) == 1:
            continue
        parts = [bytes([byte]) for byte in token]
        while len(parts) > 2:
            pairs = [ranks.get(a + b, rank) for a, b in pairwise(parts)]
            best = min(range(len(pairs)), key=pairs.__getitem__)
            if pairs[best] >= rank:
                break
            parts[best : best + 2] = [parts[best] + parts[best + 1]]
        if len(parts) == 2:
            yield parts[0], parts[1]


def _printable(token: bytes) -> str:
    """Bytes as the letters that stand for them in byte-level vocabularies (GPT-2)."""
    return token.decode("latin-1").translate(_LETTERS) if not _is_special(token) else token.decode()


def _is_special(token: bytes) -> bool:
    return token.startswith(b"<|") and token.endswith(b"|>") and len(token) > 4


def _letters() -> dict[int, str]:
    """transformers/models/gpt2/tokenization_gpt2.py, bytes_to_unicode."""
    shown = {*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = [byte for byte in range(256) if byte not in shown]
    return {byte: chr(byte) for byte in shown} | {b: chr(256 + i) for i, b in enumerate(hidden)}


_LETTERS = _letters()
