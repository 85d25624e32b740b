"""Writes a llama of half a megabyte with random weights and a vocabulary of bytes: `python tiny_model.py gguf|transformers PATH`.

Runs in the environment of the server that serves it: with the package `gguf`, or with `transformers`.
"""

import sys
from typing import Any

WIDTH, HIDDEN, LAYERS, HEADS, CONTEXT = 64, 128, 2, 4, 512
SPECIAL = ["<unk>", "<s>", "</s>"]
ROLES = ["unk_token", "bos_token", "eos_token", "pad_token"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
CHAT = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}\n{% endfor %}<assistant>"


def write_gguf(path: str) -> None:
    import gguf  # noqa: PLC0415 - only one of the two is installed
    import numpy as np  # noqa: PLC0415

    random = np.random.default_rng(1)
    tokens = SPECIAL + BYTES
    writer: Any = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    kinds = gguf.TokenType
    writer.add_token_types([kinds.UNKNOWN, kinds.CONTROL, kinds.CONTROL] + [kinds.BYTE] * 256)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(CHAT)

    def put(name: str, *shape: int) -> None:
        values = random.normal(0, 0.1, shape) if len(shape) > 1 else np.ones(shape)
        writer.add_tensor(f"{name}.weight", values.astype(np.float32))

    put("token_embd", len(tokens), WIDTH)
    put("output_norm", WIDTH)
    put("output", len(tokens), WIDTH)
    for layer in range(LAYERS):
        block = f"blk.{layer}."
        for name in ("attn_norm", "ffn_norm"):
            put(block + name, WIDTH)
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            put(block + name, WIDTH, WIDTH)
        put(f"{block}ffn_gate", HIDDEN, WIDTH)
        put(f"{block}ffn_up", HIDDEN, WIDTH)
        put(f"{block}ffn_down", WIDTH, HIDDEN)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_transformers(path: str) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers  # noqa: PLC0415
    from transformers import (  # noqa: PLC0415
        LlamaConfig,
        LlamaForCausalLM,
        PreTrainedTokenizerFast,
    )

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate(SPECIAL + alphabet)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token=SPECIAL[0]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **dict(zip(ROLES, [*SPECIAL, SPECIAL[2]], strict=True))
    )
    fast.chat_template = CHAT
    fast.save_pretrained(path)
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(vocabulary),
            hidden_size=WIDTH,
            intermediate_size=HIDDEN,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            max_position_embeddings=CONTEXT,
        )
    ).save_pretrained(path)


if __name__ == "__main__":
    {"gguf": write_gguf, "transformers": write_transformers}[sys.argv[1]](sys.argv[2])
