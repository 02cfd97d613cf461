"""transformers: language, vision and speech models from small configurations."""

from collections.abc import Callable, Iterator
from importlib import import_module

import torch
from torch import nn

from coverage_models.entry import Entry, Inputs, tokens

__all__ = ["language"]

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48, "vocab_size": 40}
GROUPED = SMALL | {"num_key_value_heads": 2, "head_dim": 8}
SEEN = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "image_size": 32,
    "patch_size": 8,
}

TRANSFORMERS: dict[str, tuple[str, str, dict[str, object]]] = {
    "BERT": ("BertConfig", "BertModel", SMALL),
    "BERT classifier": ("BertConfig", "BertForSequenceClassification", SMALL),
    "RoBERTa": ("RobertaConfig", "RobertaForMaskedLM", SMALL),
    "DistilBERT": (
        "DistilBertConfig",
        "DistilBertModel",
        {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48, "vocab_size": 40},
    ),
    "GPT-2": (
        "GPT2Config",
        "GPT2LMHeadModel",
        {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 40, "n_positions": 64, "n_inner": 48},
    ),
    "Llama": ("LlamaConfig", "LlamaForCausalLM", GROUPED),
    "Mistral": ("MistralConfig", "MistralForCausalLM", GROUPED),
    "Qwen2": ("Qwen2Config", "Qwen2ForCausalLM", GROUPED),
    "Qwen3": ("Qwen3Config", "Qwen3ForCausalLM", GROUPED),
    "Gemma2": ("Gemma2Config", "Gemma2ForCausalLM", GROUPED),
    "Phi": ("PhiConfig", "PhiForCausalLM", SMALL),
    "OPT": ("OPTConfig", "OPTForCausalLM", SMALL | {"ffn_dim": 48, "word_embed_proj_dim": 32}),
    "T5": (
        "T5Config",
        "T5ForConditionalGeneration",
        {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4, "vocab_size": 40},
    ),
    "ViT": ("ViTConfig", "ViTForImageClassification", SEEN),
    "Whisper": (
        "WhisperConfig",
        "WhisperModel",
        {
            "vocab_size": 40,
            "d_model": 32,
            "num_mel_bins": 8,
            "encoder_layers": 2,
            "decoder_layers": 2,
            "encoder_attention_heads": 4,
            "decoder_attention_heads": 4,
            "encoder_ffn_dim": 48,
            "decoder_ffn_dim": 48,
            "max_source_positions": 10,
            "max_target_positions": 64,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "decoder_start_token_id": 3,
        },
    ),
    "CLIP": (
        "CLIPConfig",
        "CLIPModel",
        {"text_config": SMALL | {"eos_token_id": 39, "bos_token_id": 0}, "vision_config": SEEN, "projection_dim": 16},
    ),
    "Mamba": (
        "MambaConfig",
        "MambaForCausalLM",
        {"hidden_size": 32, "num_hidden_layers": 2, "vocab_size": 40, "state_size": 4},
    ),
}


def language() -> Iterator[Entry]:
    """Yield models of transformers from small configurations; every token occurs once in the sentence."""
    transformers = import_module("transformers")
    sentence = tokens(40)
    inputs: dict[str, Callable[[], Inputs]] = {
        "T5": lambda: {"input_ids": sentence(), "decoder_input_ids": sentence()},
        "ViT": lambda: {"pixel_values": torch.ones(1, 3, 32, 32)},
        "Whisper": lambda: {"input_features": torch.ones(1, 8, 20), "decoder_input_ids": sentence()},
        "CLIP": lambda: {"input_ids": sentence(), "pixel_values": torch.ones(1, 3, 32, 32)},
    }
    for family, (config, model, options) in TRANSFORMERS.items():

        def build(config: str = config, model: str = model, options: dict = options) -> nn.Module:
            return getattr(transformers, model)(getattr(transformers, config)(**options))

        yield Entry("transformers", family, model, build, inputs.get(family, lambda: {"input_ids": sentence()}))
