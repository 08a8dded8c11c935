"""Small networks of every architecture of transformers, and calls that they take.

A network has the configuration of its architecture with smaller settings (`SHRINKS`), and with those that `TOLD` names.
Its call is the first of `_calls` that runs, or the one that `CALLS` makes; `CANNOT` says why there is none.
"""

import inspect
import re
import time
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import torch

SEARCH = 20  # seconds of this process for a call that a network takes
MOST_PARAMETERS = 100 << 20

Call = tuple[Any, tuple[Any, ...], dict[str, Any]]


class NotBuilt(Exception):
    """No network of this name, or no inputs that it takes."""


WIDE = dict.fromkeys(
    ("hidden_size", "d_model", "n_embd", "embedding_size", "dim", "d_latents", "projection_dim", "hidden_size_global",
     "hidden_size_per_layer_input", "out_hidden_size", "text_hidden_size"), 32,
)  # fmt: skip
WIDE |= dict.fromkeys(("intermediate_size", "encoder_ffn_dim", "decoder_ffn_dim", "d_ff", "ffn_dim", "n_inner"), 64)
WIDE |= dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size"), 32)
WIDE |= dict.fromkeys(("output_channels", "upsample_groups", "audio_hidden_size", "fpn_hidden_size"), 32)
WIDE |= dict.fromkeys(("num_queries", "num_object_queries", "two_stage_num_proposals"), 10)
HEADS = dict.fromkeys(
    ("num_attention_heads", "encoder_attention_heads", "decoder_attention_heads", "n_head", "num_heads", "n_heads"), 4
)
HEADS |= {"rotary_dim": 8, "linear_head_dim": 8, "linear_num_heads": 4}
FEW_KEYS = {"num_key_value_heads": 2, "head_dim": 8, "d_kv": 8, "global_head_dim": 16, "num_global_key_value_heads": 1}
LATENT = {"q_lora_rank": 16, "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 8}
LATENT |= {"num_key_value_heads": 4, "head_dim": 8, "index_head_dim": 16, "index_n_heads": 4}
SCANS = {"mamba_n_heads": 4, "mamba_d_head": 16, "mamba_num_heads": 4, "mamba_head_dim": 16}
EXPERTS = dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), 4)
EXPERTS |= dict.fromkeys(("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_k"), 2) | dict.fromkeys(
    ("n_group", "topk_group"), 1
)
LAYERS = ("num_hidden_layers", "num_layers", "n_layer", "n_layers", "encoder_layers", "decoder_layers",
          "num_encoder_layers", "num_decoder_layers", "depth")  # fmt: skip
WORDS = 120
NO_SIZES: dict[str, int] = {}
# Settings that are made smaller, and whether words and layers are made fewer: the first that give a network are taken.
SHRINKS: tuple[tuple[dict[str, int], bool, bool], ...] = (
    (WIDE | HEADS | FEW_KEYS | SCANS | EXPERTS, True, True),
    (WIDE | HEADS | LATENT | EXPERTS, True, True),
    (WIDE | HEADS | FEW_KEYS | EXPERTS, False, True),
    (WIDE | HEADS, False, True),
    (EXPERTS, False, True),
    (NO_SIZES, False, True),
    (NO_SIZES, False, False),
)
ROTARY = {"rope_type": "default", "rope_theta": 10000.0}
SMALL_DINO = {"image_size": 32, "patch_size": 16, "hidden_size": 32, "num_hidden_layers": 2}
INDEXED = {"indexer_n_heads": 4, "indexer_kv_heads": 1, "indexer_head_dim": 8, "indexer_budget": 8}
INDEXED |= {"indexer_compress_ratio": 4}
WAVES = {"num_hidden_layers": 4, "hidden_sizes": [8, 16, 32, 32]}
STAGES = [f"stage{each}" for each in range(1, 7)]
TIMM = {
    "architecture": "vit_pe_core_tiny_patch16_384",
    "model_args": {"embed_dim": 64, "depth": 2, "num_heads": 2, "img_size": 64},
}
HIERA: dict[str, Any] = {
    "backbone_config": {"hidden_size": 96, "num_attention_heads": 1, "image_size": [256, 256]},
    "backbone_feature_sizes": [[64, 64], [32, 32], [16, 16]],
    "fpn_hidden_size": 32,
}
SAM3 = {"backbone_config": {"image_size": 336}, "backbone_feature_sizes": [[96, 96], [48, 48], [24, 24]]}
MEMORY: dict[str, Any] = {
    "image_size": 336, "memory_attention_rope_feat_sizes": [24, 24], "mask_decoder_config": {"hidden_size": 256},
    "prompt_encoder_config": {"hidden_size": 256, "image_size": 336},
    "vision_config": SAM3 | {"fpn_hidden_size": 256},
}  # fmt: skip
LCNET = {
    "out_features": STAGES[:4],
    "block_configs": [[[3, 96, 96, 1, True]], *([[3, wide // 2, wide, 2, False]] for wide in (192, 384, 768))],
}
CROSS: dict[str, Any] = {"reduce_channel": [1, 1, 0], "return_channel": [1, 1, 0]}
for reach, kernel in (("long", 7), ("mid", 5), ("short", 3)):
    ahead = kernel // 2
    CROSS[f"vertical_long_to_small_conv_{reach}ratio"] = [[kernel, 1], [1, 1], [ahead, 0]]
    CROSS[f"horizontal_small_to_long_conv_{reach}ratio"] = [[1, kernel], [1, 1], [0, ahead]]
    CROSS[f"symmetric_conv_long_{reach}ratio"] = [[kernel, kernel], [1, 1], [ahead, ahead]]
ACOUSTIC = {"num_filters": 4, "hidden_size": 16, "depths": [1, 1, 1], "downsampling_ratios": [2, 4]}
# What a kind of network needs to be told.
TOLD: dict[str, dict[str, Any]] = {
    "align": {"projection_dim": 640, "vision_config": {"image_size": 64}},
    "apertus1p5": {
        "audio_config": {"codebook_dim": 32, "codebook_size": 32}, "audio_token_offset": 56, "image_token_offset": 40,
        "vision_config": {"base_channels": 32, "codebook_size": 16},
    },
    "autoformer": {"label_length": 4, "prediction_length": 8},
    "bamba": {"attn_layer_indices": [1]},
    "blip-2": {"image_token_index": 5},
    "blt": {"encoder_hash_byte_group_vocab": 1000},
    "bridgetower": {"hidden_size": 64, "text_config": {"hidden_size": 64}, "vision_config": {"hidden_size": 64}},
    "bros": {"hidden_size": 64},
    "chameleon": {"vocabulary_map": {"<image>": 5}},
    "clap": {"audio_config": {"hidden_size": 256, "patch_embeds_hidden_size": 32}},
    "clvp": {
        "decoder_config": {"decoder_fixing_codes": [3, 4, 4, 5]},
        "speech_config": {"num_attention_heads": 1},
        "text_config": {"num_attention_heads": 1},
    },
    "cohere_compass": {"text_config": {"rope_parameters": {"full_attention": ROTARY | {"mrope_section": [2, 1, 1]}}}},
    "cohere_compass_text": {"rope_parameters": {"full_attention": ROTARY | {"mrope_section": [2, 1, 1]}}},
    "csm": {"codec_config": {"num_filters": 4, "upsample_groups": 32, "codebook_dim": 16}},
    "dbrx": {"attn_config": {"clip_qkv": 8.0, "rope_theta": 10000.0}},
    "deepseek_ocr2": {
        "text_config": {"mlp_layer_types": ["dense", "sparse"], "num_experts_per_tok": 2},
        "vision_config": {"sam_config": {"downsample_channels": [32, 32]}},
    },
    "deepseek_v2": {"num_experts_per_tok": 2},
    "deimv2": {"backbone_config": {"out_indices": [2, 3, 4]}},
    "depth_pro": {
        "image_model_config": SMALL_DINO, "patch_model_config": SMALL_DINO, "fov_model_config": SMALL_DINO,
        "patch_size": 32, "fusion_hidden_size": 16, "intermediate_hook_ids": [1, 0],
        "intermediate_feature_dims": [16, 8], "scaled_images_ratios": [0.5, 1.0],
        "scaled_images_overlap_ratios": [0.0, 0.2], "scaled_images_feature_dims": [16, 16],
    },
    "dia": {
        "decoder_config": {
            "cross_num_attention_heads": 4, "cross_num_key_value_heads": 4, "cross_head_dim": 8, "cross_hidden_size": 32
        }
    },
    "diffusion_gemma": {"text_config": {"moe_intermediate_size": 32, "num_experts": 4, "top_k_experts": 2}},
    "dots1": {"n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2},
    "dots3_note": {
        "audio_config": {"adapter_input_size": 32, "adapter_out_dim": 32}, "text_config": {"num_key_value_heads": 4},
        "vision_config": {"adapter_in_dim": 32, "adapter_out_dim": 32},
    },
    "edgetam": {"vision_config": {"backbone_config": {"architecture": "repvit_m1"}}},
    "edgetam_video": {
        "image_size": 256, "memory_attention_rope_feat_sizes": [16, 16], "mask_decoder_config": {"hidden_size": 256},
        "prompt_encoder_config": {"hidden_size": 256, "image_size": 256},
        "vision_config": HIERA | {"fpn_hidden_size": 256},
    },
    "edgetam_vision_model": {"backbone_config": {"architecture": "repvit_m1"}},
    "emu3": {
        "vocabulary_map": {"<|extra_200|>": 4, "<image>": 5},
        "vq_config": {"base_channels": 32, "codebook_size": 64, "hidden_size": 128},
    },
    "ernie4_5_vl_moe": {"text_config": {"rope_parameters": ROTARY | {"mrope_section": [1, 1, 2]}}},
    "esm": {"vocab_size": 33, "pad_token_id": 1, "mask_token_id": 32},
    "fast_vlm": {"vision_config": {"architecture": "fastvit_t8", "hidden_size": 768}},
    "fun_asr_nano": {"adaptor_config": {"intermediate_size": 8}},
    "gemma3n": {
        "text_config": {"num_kv_shared_layers": 0},
        "vision_config": {"hidden_size": 2048, "model_args": {"channel_multiplier": 0.25}},
    },
    "gemma3n_text": {"num_kv_shared_layers": 0},
    "gemma3n_vision": {"model_args": {"channel_multiplier": 0.25}},
    "granite4_vision": {
        "deepstack_layer_map": [[0, 0], [1, 1]], "downsample_rate": "1/2", "spatial_target_layers": [0, 1],
        "vision_config": {"hidden_size": 64, "num_attention_heads": 4},
    },
    "granite_docling": {"vision_config": {"deepstack_visual_indexes": [0, 1, 1]}},
    "granite_speech5_ctc": {"encoder_config": {"num_key_value_heads": 4}},
    "granite_speech5_encoder": {"num_key_value_heads": 4},
    "grounding-dino": {"num_queries": 20},
    "informer": {"prediction_length": 8},
    "inkling_mm_model": {"vision_config": {"n_layers": 4, "patch_size": 4}},
    "instructblip": {"image_token_index": 5},
    "instructblipvideo": {"video_token_index": 5},
    "kimi_linear": {"num_key_value_heads": 4},
    "kosmos-2": {"text_config": {"attention_heads": 4, "embed_dim": 32, "ffn_dim": 64, "layers": 2}},
    "kosmos-2.5": {"text_config": {"attention_heads": 4, "embed_dim": 32, "ffn_dim": 64, "layers": 2}},
    "lfm2_moe": {"num_hidden_layers": 2, "num_dense_layers": 1, "layer_types": ["conv", "full_attention"]},
    "lilt": {"hidden_size": 48},
    "llama4": {
        "vision_config": {
            "image_size": 56, "intermediate_size": 128, "projector_input_dim": 32, "projector_output_dim": 32,
            "vision_output_dim": 32,
        }
    },
    "lw_detr": {"projector_scale_factors": [1.0]},
    "lxmert": {"l_layers": 2, "x_layers": 1, "r_layers": 1},
    "mamba2": {"num_heads": 4, "head_dim": 16, "n_groups": 1, "state_size": 16},
    "molmo2": {"adapter_config": {"vision_feature_layer": [-1, -2]}},
    "moonshine_streaming": {"num_key_value_heads": 4},
    "muse_spark": {
        "text_config": {"moe_hidden_size": 32},
        "audio_config": WAVES,
        "out_hidden_size": 128,
        "projector_hidden_size": 64,
    },
    "muse_spark_audio": WAVES,
    "nemotron": {"num_key_value_heads": 2},
    "neucodec": {"quantization_dim": 64},
    "omdet-turbo": {
        "class_embed_dim": 32, "d_model": 64, "decoder_hidden_dim": 64, "text_projection_in_dim": 32,
        "text_projection_out_dim": 32, "vision_features_channels": [64, 64, 64],
    },
    "pe_audio_video": {"audio_video_config": {"video_config": {"vision_config": TIMM}}},
    "pe_audio_video_encoder": {"video_config": {"vision_config": TIMM}},
    "pe_video": {"video_config": {"vision_config": TIMM}},
    "pe_video_encoder": {"vision_config": TIMM},
    "perception_lm": {"vision_config": TIMM},
    "pi0": {"vlm_config": {"vision_config": {"image_size": 28}}},
    "pp_ocrv6_medium_det": {
        "backbone_config": LCNET,
        "intraclass_block_config": CROSS,
        "scale_factor_list": [1, 2, 4, 8],
        "kernel_list": [3, 2, 2],
    },
    "pp_ocrv6_small_det": {
        "backbone_config": LCNET,
        "layer_list_out_channels": [96, 192, 384, 768],
    },
    "qwen4_exp": {"text_config": INDEXED},
    "qwen4_exp_text": INDEXED,
    "sam": {"vision_config": {"image_size": 256, "num_pos_feats": 16}, "prompt_encoder_config": {"image_size": 256}},
    "sam2": {"vision_config": HIERA, "prompt_encoder_config": {"image_size": 256}},
    "sam2_hiera_det_model": HIERA["backbone_config"],
    "sam2_vision_model": HIERA,
    "sam2_video": {
        "image_size": 256, "memory_attention_rope_feat_sizes": [16, 16], "mask_decoder_config": {"hidden_size": 256},
        "prompt_encoder_config": {"hidden_size": 256, "image_size": 256},
        "vision_config": HIERA | {"fpn_hidden_size": 256},
    },
    "sam3": {"vision_config": SAM3},
    "sam3_lite_text": {"vision_config": SAM3},
    "sam3_tracker": {"vision_config": SAM3, "prompt_encoder_config": {"image_size": 336}},
    "sam3_tracker_video": MEMORY,
    "sam3_video": {
        "detector_config": {
            "vision_config": MEMORY["vision_config"],
            **{f"{part}_config": {"hidden_size": 256} for part in ("geometry_encoder", "detr_encoder", "detr_decoder",
                                                                   "mask_decoder")},
        },
        "low_res_mask_size": 96, "tracker_config": MEMORY,
    },
    "sam_hq": {
        "vision_config": {"image_size": 256, "num_pos_feats": 16},
        "prompt_encoder_config": {"image_size": 256},
        "mask_decoder_config": {"vit_dim": 32},
    },
    "sapiens2": {"num_hidden_layers": 2, "num_key_value_heads_per_layer": [4, 2]},
    "step3p7": {"text_config": {"sliding_window": 8}},
    "t5gemma2_encoder": {"text_config": {"dropout_rate": 0.0}},
    "timm_backbone": {"backbone": "resnet18"},
    "tvp": {"num_frames": 2, "max_img_size": 64, "visual_prompt_size": 8},
    "uvdoc": {"backbone_config": {"out_features": STAGES}},
    "vibevoice": {"audio_config": ACOUSTIC, "semantic_model_config": ACOUSTIC},
    "vibevoice_acoustic_tokenizer": ACOUSTIC,
    "vibevoice_acoustic_tokenizer_decoder": ACOUSTIC,
    "vibevoice_acoustic_tokenizer_encoder": ACOUSTIC,
    "vibevoice_asr": {
        "acoustic_tokenizer_encoder_config": ACOUSTIC,
        "semantic_tokenizer_encoder_config": ACOUSTIC,
    },
    "xclip": {"vision_config": {"mit_hidden_size": 32, "mit_intermediate_size": 64}},
    "xcodec2": {"quantization_dim": 64},
    "xmod": {"default_language": "en_XX"},
    "zamba": {
        "layers_block_type": ["linear_attention", "linear_attention", "hybrid", "linear_attention", "hybrid"],
        "num_hidden_layers": 5,
    },
    "time_series_transformer": {"prediction_length": 8},
}  # fmt: skip


def _words(rows: int, length: int, place: int = 0, places: int = 0) -> torch.Tensor:
    """Words, the first of which hold places for features of something else."""
    words = torch.arange(rows * length).reshape(rows, length) % 30 + 36
    words[:, :places] = place
    return words


def _strip_of_patches(config: Any) -> dict[str, Any]:
    """Two pictures of 4 x 4 patches, in a row."""
    strip = torch.randn(1, 3, config.patch_size, 32 * config.patch_size)
    return {"pixel_values": strip, "target_sizes": torch.tensor([[4, 4], [4, 4]], dtype=torch.int32)}


def _rows_of_patches(config: Any) -> dict[str, Any]:
    """Two pictures, of which the second has fewer patches."""
    mask = torch.ones(2, 16, dtype=torch.long)
    mask[1, 12:] = 0
    patches = torch.randn(2, 16, 3 * config.patch_size**2)
    return {"pixel_values": patches, "pixel_attention_mask": mask, "spatial_shapes": torch.tensor([[4, 4], [3, 4]])}


def _patches_in_time(config: Any) -> dict[str, Any]:
    patches = torch.randn(32, 3 * config.patch_temporal * config.patch_size**2)
    return {"pixel_values": patches, "grid_thw": torch.tensor([[1, 4, 4], [1, 4, 4]])}


def _sound_and_spectrum(config: Any) -> dict[str, Any]:
    return {"input_values": torch.randn(1, 1, 6400), "input_features": torch.randn(1, 20, 160)}


WORD = torch.arange(24).reshape(2, 12) + 7
# Inputs of a kind of network that takes none of `_calls`.
CALLS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "bark": lambda config: {"input_ids": WORD},
    "dia": lambda config: {"input_ids": WORD, "decoder_input_ids": torch.arange(108).reshape(2, 6, 9) % 99},
    "edgetam_video": lambda config: {"clip": torch.randn(2, 3, config.image_size, config.image_size)},
    "efficientloftr": lambda config: {"pixel_values": torch.randn(1, 2, 3, 64, 64)},
    "gemma3n_audio": lambda config: {
        "audio_mel": torch.randn(2, 64, 128), "audio_mel_mask": torch.zeros(2, 64, dtype=torch.bool)
    },
    "gemma4_vision": lambda config: {
        "pixel_values": torch.rand(2, 36, 3 * config.patch_size**2),
        "pixel_position_ids": torch.stack([torch.arange(36) % 6, torch.arange(36) // 6], -1).expand(2, 36, 2),
    },
    "glm_image_vqmodel": lambda config: {"hidden_states": torch.randn(2, config.latent_channels, 8, 8)},
    "idefics": lambda config: {
        "input_ids": WORD, "attention_mask": torch.ones_like(WORD), "pixel_values": torch.randn(2, 1, 3, 224, 224),
        "image_attention_mask": torch.ones(2, 12, 1, dtype=torch.long),
    },
    "inkling2_vision": lambda config: {
        "pixel_values": torch.randn(8, 2 * config.patch_size, 2 * config.patch_size, 3),
        "image_grid_thw": torch.tensor([[1, 2, 2], [1, 2, 2]]),
    },
    "kosmos-2": lambda config: {
        "input_ids": torch.full((2, 80), 7), "pixel_values": torch.randn(2, 3, 224, 224),
        "image_embeds_position_mask": (torch.arange(80) // config.latent_query_num == 0).expand(2, 80),
    },
    "lightglue": lambda config: {"pixel_values": torch.rand(1, 2, 3, 64, 64)},
    "llama4": lambda config: {
        "input_ids": _words(2, 12, config.image_token_index, 4), "pixel_values": torch.randn(2, 3, 56, 56),
    },
    "lxmert": lambda config: {
        "input_ids": _words(2, 12),
        "visual_feats": torch.randn(2, 9, config.visual_feat_dim),
        "visual_pos": torch.rand(2, 9, 4),
    },
    "mimi_decoder": lambda config: {"latents": torch.randn(2, config.hidden_size, 6)},
    "minicpm_ocr_vision": _strip_of_patches,
    "minicpmv4_7_vision": _strip_of_patches,
    "muse_glimmer_assistant": lambda config: {
        "noise_embeds": torch.randn(2, 6, config.hidden_size),
        "context_hidden_states": torch.randn(2, 8, config.hidden_size * len(config.target_layer_ids)),
    },
    "muse_glimmer_vision": _patches_in_time,
    "muse_spark_audio": lambda config: {"input_values": torch.randn(2, 3 * config.samples_per_token)},
    "muse_spark_vision": _patches_in_time,
    "neucodec": _sound_and_spectrum,
    "omdet-turbo": lambda config: {
        "pixel_values": torch.randn(1, 3, 640, 640),
        "classes_input_ids": _words(3, 5),
        "classes_attention_mask": torch.ones(3, 5, dtype=torch.long),
        "tasks_input_ids": _words(1, 6),
        "tasks_attention_mask": torch.ones(1, 6, dtype=torch.long),
        "classes_structure": torch.tensor([3]),
    },
    "pe_audio_video_encoder": lambda config: {
        "input_values": torch.randn(2, 1, 8000), "pixel_values_videos": torch.randn(2, 4, 3, 64, 64)
    },
    "pi0": lambda config: {
        "action_embeds": torch.randn(2, 5, config.dit_config.hidden_size),
        "attention_mask": torch.ones(2, 12, dtype=torch.long),
        "input_ids": _words(2, 12, config.vlm_config.image_token_id, 4),
        "pixel_attention_mask": torch.ones(2, 1, dtype=torch.bool),
        "pixel_values": torch.randn(2, 1, 3, 28, 28),
    },
    "pocket_tts_audio_tokenizer_decoder": lambda config: {"latents": torch.randn(2, config.hidden_size, 6)},
    "sam2_video": lambda config: {"clip": torch.randn(3, 3, config.image_size, config.image_size)},
    "sam3_tracker_video": lambda config: {"clip": torch.randn(3, 3, config.image_size, config.image_size)},
    "sam3_video": lambda config: {"clip": torch.randn(2, 3, 336, 336), "input_ids": _words(1, 6)},
    "seggpt": lambda config: {
        name: torch.randn(2, 3, config.image_size[0] // 2, config.image_size[1])
        for name in ("pixel_values", "prompt_pixel_values", "prompt_masks")
    },
    "siglip2": lambda config: {"input_ids": _words(2, 12)} | _rows_of_patches(config.vision_config),
    "siglip2_vision_model": _rows_of_patches,
    "speecht5": lambda config: {
        "input_values": torch.randn(2, 12, config.hidden_size),
        "decoder_input_values": torch.randn(2, 6, config.hidden_size),
    },
    "timesfm": lambda config: {
        "past_values": torch.randn(2, config.context_length),
        "past_values_padding": torch.zeros(2, config.context_length),
        "freq": torch.tensor([[0], [1]]),
    },
    "tvp": lambda config: {
        "input_ids": _words(1, 12),
        "attention_mask": torch.ones(1, 12, dtype=torch.long),
        "pixel_values": torch.randn(1, 2, 3, config.max_img_size, config.max_img_size),
    },
    "vibevoice_acoustic_tokenizer": lambda config: {"input_values": torch.randn(2, 1, 800)},
    "vibevoice_acoustic_tokenizer_decoder": lambda config: {"hidden_states": torch.randn(2, config.hidden_size, 20)},
    "vibevoice_acoustic_tokenizer_encoder": lambda config: {"hidden_states": torch.randn(2, 1, 800)},
    "video_llama_3_vision": lambda config: {
        "pixel_values": torch.randn(32, 3 * config.patch_size**2),
        "grid_thw": torch.tensor([[1, 4, 4], [1, 4, 4]]),
        "merge_sizes": torch.tensor([1, 2]),
    },
    "voxtral_realtime": lambda config: {
        "input_ids": _words(2, 25),
        "input_features": torch.randn(2, config.audio_config.num_mel_bins, 200),
    },
    "xcodec2": _sound_and_spectrum,
}  # fmt: skip


def _bark(net: Any, input_ids: Any) -> Any:
    """The parts of the network, which has no forward, one after another."""
    codes = torch.stack([input_ids] * net.config.fine_acoustics_config.n_codes_total, dim=-1)
    net.semantic(input_ids), net.coarse_acoustics(input_ids)
    return net.fine_acoustics(1, codes), net.codec_model.decode(codes.mT[None], [None])


def _tracked(net: Any, clip: Any) -> Any:
    """The network on a clip, frame after frame, in which a point of the first frame is followed."""
    kind = type(net)
    session = getattr(inspect.getmodule(kind), f"{kind.__name__.removesuffix('Model')}InferenceSession")(
        dtype=torch.float32
    )
    session.obj_with_new_inputs = [1]
    point = {"point_coords": torch.full((1, 1, 1, 2), 9.0), "point_labels": torch.ones(1, 1, 1, dtype=torch.int32)}
    session.add_point_inputs(session.obj_id_to_idx(1), 0, point)
    return [net(session, frame=frame).pred_masks for frame in clip]


def _found(net: Any, clip: Any, input_ids: Any) -> Any:
    """The network on a clip, frame after frame, in which that is followed which a text names."""
    session = inspect.getmodule(type(net)).Sam3VideoInferenceSession(dtype=torch.float32)
    prompt = session.add_prompt("cats")
    session.prompt_input_ids[prompt], session.prompt_attention_masks[prompt] = input_ids, torch.ones_like(input_ids)
    session.video_height, session.video_width = clip.shape[-2:]
    return [net(session, frame=frame).obj_id_to_mask for frame in clip]


def _llama4(net: Any, input_ids: Any, pixel_values: Any) -> Any:
    """The parts of the network, whose forward asks its text part for an output that this does not give."""
    seen = net.get_image_features(pixel_values=pixel_values, return_dict=True).last_hidden_state
    places = (input_ids == net.config.image_token_index)[..., None]
    words = net.get_input_embeddings()(input_ids)
    words = words.masked_scatter(places, net.multi_modal_projector(seen.reshape(-1, seen.shape[-1])))
    return net.language_model(inputs_embeds=words).logits


# Ways to run a kind of network that does not take tensors in forward.
RUNS: dict[str, Callable[..., Any]] = {
    "bark": _bark,
    "edgetam_video": _tracked,
    "glm_image_vqmodel": lambda net, hidden_states: net.encode(hidden_states),
    "llama4": _llama4,
    "sam2_video": _tracked,
    "sam3_tracker_video": _tracked,
    "sam3_video": _found,
}


class Run(torch.nn.Module):
    """A network that runs another way than by its forward."""

    def __init__(self, net: Any, way: Callable[..., Any]) -> None:
        super().__init__()
        self.net, self.way = net, way

    def forward(self, **given: Any) -> Any:
        return self.way(self.net, **given)


# Reasons why a kind of network cannot run here.
CANNOT: dict[str, str] = {
    "dinat": "needs natten",
    "higgs_audio_v2_tokenizer": "needs torchaudio",
    "layoutlmv2": "needs detectron2",
    "voxtral_realtime_text": "the package has no class VoxtralRealtimeTextModel",
}


def _smaller(base: Any, sizes: dict[str, int], few_words: bool, few_layers: bool, **told: Any) -> Any:
    """A configuration like this one with smaller settings; those in it as well."""
    given: dict[str, Any] = {}
    settings = {name: value for name, value in vars(base).items() if not name.startswith("_")}
    for name, value in settings.items():
        if isinstance(value, int) and not isinstance(value, bool):
            if name in sizes and value > sizes[name]:
                given[name] = sizes[name]
            elif few_words and re.search(r"vocab_size(_per_layer_input)?$", name) and value > WORDS:
                given[name] = WORDS
    stages = getattr(base, "out_indices", None) or []
    if few_layers:
        given |= _few_layers(settings, max(2, len(stages)))
    rotary = settings.get("rope_parameters")
    if sizes and isinstance(rotary, dict) and not any(isinstance(each, dict) for each in rotary.values()):
        part = rotary.get("partial_rotary_factor") or settings.get("partial_rotary_factor") or 1
        pairs = int(8 * part) // 2
        given["rope_parameters"] = {**rotary, "mrope_section": [pairs - 2 * (pairs // 4), pairs // 4, pairs // 4]}
    if sizes and settings.get("head_dim", 0) is None:
        given["head_dim"] = sizes.get("head_dim")
    if few_words:
        for place, (name, value) in enumerate(sorted(settings.items())):
            if re.search(r"_token_(id|index)$", name) and isinstance(value, int) and value >= WORDS:
                given[name] = 3 + place % 30
    for name, part in settings.items():
        if hasattr(part, "model_type") and hasattr(part, "to_dict"):
            given[name] = _smaller(part, sizes, few_words, few_layers, **told.get(name, {}))
    given |= {name: value for name, value in told.items() if not hasattr(given.get(name), "to_dict")}
    if not given:
        return base
    own = getattr(type(base)(), "__dict__", {})
    other = {
        name: value
        for name, value in settings.items()
        if name in own
        and not hasattr(value, "to_dict")
        and value != own[name]
        and name not in ("transformers_version", "dtype", "architectures", "stage_names")
    }
    try:
        made = type(base)(**{**other, **given})
        if stages and not {"out_features", "out_indices"} & told.keys():
            most = len(made.stage_names)
            made.out_indices = stages if max(stages) < most else list(range(most))[-len(stages) :]
        return made
    except Exception:
        return type(base)(**told)


def _few_layers(settings: dict[str, Any], least: int) -> dict[str, Any]:
    """As few layers as show each kind of layer; and lists of them as long."""
    given: dict[str, Any] = {}
    for name in LAYERS:
        whole = settings.get(name)
        if not isinstance(whole, int) or whole <= least:
            continue
        lists = {
            key: value
            for key, value in settings.items()
            if isinstance(value, list) and len(value) == whole and all(isinstance(each, str | int) for each in value)
        }
        few = max([least, *(max(map(each.index, set(each))) + 1 for each in lists.values() if len(set(each)) < 5)])
        given |= {name: few} | {key: value[:few] for key, value in lists.items()}
    return given


def _side(config: Any, *names: str, otherwise: Any) -> Any:
    """A setting of the configuration, or of one in it."""
    parts = [config, *(getattr(config, name, None) for name in getattr(config, "sub_configs", {}))]
    for part in parts:
        for name in names:
            if (value := getattr(part, name, None)) is not None:
                return value
    return otherwise


def _calls(config: Any, net: Any) -> Iterator[dict[str, Any]]:
    """Inputs that such a network may take, the fullest first."""
    takes = inspect.signature(net.forward).parameters
    needed = {each.name for each in takes.values() if each.default is each.empty and "VAR" not in each.kind.name}
    for given in _fuller_and_plainer(config, takes):
        if needed <= given.keys():
            yield given


def _fuller_and_plainer(config: Any, takes: Any) -> Iterator[dict[str, Any]]:
    open_ended = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in takes.values())

    def known(given: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in given.items() if name in takes or (open_ended and name == "input_ids")}

    known_words = _side(config, "vocab_size", otherwise=WORDS)
    known_words = WORDS if known_words < 12 else min(known_words, WORDS)
    words = torch.arange(24).reshape(2, 12) * 7 % (known_words * 2 // 3) + known_words // 3 - 5
    mask = torch.ones(2, 12, dtype=torch.long)
    mask[1, 9:] = 0
    text: dict[str, Any] = {"input_ids": words, "attention_mask": mask, "decoder_input_ids": words[:, :6]}
    text = known(text | {"bbox": torch.ones(2, 12, 4, dtype=torch.long), "qformer_input_ids": words % 30})
    decoder = known({"decoder_input_ids": words[:, :6]})
    wide = _side(config, "hidden_size", "d_model", otherwise=32)
    for place, each in enumerate(chain(_pictures(config, takes), _sounds(config, takes))):
        if "input_ids" in takes:
            yield text | each
            if place == 1:
                yield text
        yield known(each | decoder)
    if "past_values" in takes:
        yield from map(known, _series(config))
    if "query_embeds" in takes:
        other = torch.randn(2, 9, _side(config, "encoder_hidden_size", otherwise=wide))
        yield known({"query_embeds": torch.randn(2, 8, wide), "encoder_hidden_states": other})
    if "returns_to_go" in takes:
        rows = torch.randn(2, 12, 1)
        moves = {"states": torch.randn(2, 12, config.state_dim), "actions": torch.randn(2, 12, config.act_dim)}
        yield moves | {"rewards": rows, "returns_to_go": rows, "timesteps": words % 12, "attention_mask": mask}
    yield text
    yield {name: value for name, value in text.items() if name != "attention_mask"}
    yield text | known({"use_cache": False})
    yield {"input_ids": words[:1, :8]}
    for name in ("inputs_embeds", "hidden_states"):
        if name in takes:
            yield known({name: torch.randn(2, 12, wide), "attention_mask": mask})
    if "inputs" in takes:
        yield {"inputs": words}
        yield {"inputs": torch.randn(1, 16, wide)}


def _pictures(config: Any, takes: Any) -> Iterator[dict[str, Any]]:
    channels = _side(config, "num_channels", "in_channels", "in_chans", otherwise=3)
    channels = channels if isinstance(channels, int) else 3
    if "grid_thw" in takes or "image_grid_thw" in takes:
        patch = _side(config, "patch_size", otherwise=14)
        patch = patch if isinstance(patch, int) else patch[-1]
        numbers = channels * _side(config, "temporal_patch_size", otherwise=1) * patch * patch
        grid = "grid_thw" if "grid_thw" in takes else "image_grid_thw"
        for name in ("pixel_values", "hidden_states"):
            for shape in ((32, numbers), (32, channels, patch, patch)):
                if name in takes:
                    yield {name: torch.randn(shape), grid: torch.tensor([[1, 4, 4], [1, 4, 4]])}
    if "pixel_values" not in takes and "pixel_values_videos" not in takes:
        return
    side = _side(config, "image_size", "img_size", "input_size", otherwise=64)
    sides = tuple(side) if isinstance(side, list | tuple) else (side, side)
    sides = sides[-2:] if all(isinstance(each, int) for each in sides) and len(sides) > 1 else (64, 64)
    known = [each for each in dict.fromkeys([sides, (64, 64), (224, 224), (384, 384)]) if each[0] * each[1] <= 1 << 20]
    if "pixel_values" in takes:
        for height, width in known:
            image = torch.randn(2, channels, height, width)
            yield {"pixel_values": image}
            yield {"pixel_values": image[:1]}
            more = {"pixel_mask": torch.ones(2, height, width, dtype=torch.long)}
            yield {"pixel_values": image, "task_inputs": torch.ones(2, 77, dtype=torch.long)} | more
    for name in ("pixel_values", "pixel_values_videos"):
        for frames in dict.fromkeys((_side(config, "num_frames", "frames_per_clip", otherwise=8), 16)):
            if name in takes:
                clip = torch.randn(2 if "input_ids" in takes else 1, frames, channels, *known[0])
                yield {name: clip}
                yield {name: clip.transpose(1, 2)}


def _sounds(config: Any, takes: Any) -> Iterator[dict[str, Any]]:
    mels = _side(config, "num_mel_bins", "input_feat_per_channel", "feature_size", "num_mel_channels", otherwise=80)
    longest = _side(config, "max_length", "spec_size", otherwise=256)
    shapes: dict[str, list[tuple[int, ...]]] = {
        "input_values": [(2, 8000), (2, 1, 8000), (2, longest, mels), (2, 200, mels), (2, 1, 256, mels)],
        "input_features": [
            (2, mels, 3000), (2, mels, 200), *((2, 200, each * mels) for each in (1, 2, 4, 7)), (2, 200, 128),
            (2, 1, 1001, 64), (2, 1, 256, 256)
        ],
        "audio_values": [(2, 1, 1024, 128)],
    }  # fmt: skip
    for name in shapes:
        for shape in shapes[name] if name in takes else ():
            sound = {name: torch.randn(shape)}
            for length in dict.fromkeys((max(shape[1:]), shape[1])):
                mask = torch.ones(2, length, dtype=torch.long)
                mask[1, length * 3 // 4 :] = 0
                for masked in ("attention_mask", "padding_mask", "input_features_mask", "feature_attention_mask"):
                    if masked in takes:
                        yield sound | {masked: mask}
            yield sound
            if len(shape) == 4:
                yield sound | {"is_longer": torch.tensor([[True], [False]])}


def _series(config: Any) -> Iterator[dict[str, Any]]:
    past = _side(config, "context_length", otherwise=64)
    lags = max(getattr(config, "lags_sequence", None) or [0])
    series = _side(config, "num_input_channels", "input_size", otherwise=1)
    for shape in ((2, past + lags), (2, past, series), (2, past + lags, series), (2, past)):
        values = {"past_values": torch.randn(shape), "past_observed_mask": torch.ones(shape)}
        if hasattr(config, "num_time_features"):
            more = config.num_time_features
            yield values | {
                "past_time_features": torch.randn(2, past + lags, more),
                "future_values": torch.randn(2, config.prediction_length),
                "future_time_features": torch.randn(2, config.prediction_length, more),
            }
        yield values


def _with_places(config: Any, net: Any, given: dict[str, Any], told: str) -> Iterator[dict[str, Any]]:
    """The same inputs with as many places in the text as the network says that a picture or a sound has features."""
    found = re.search(r"(image|video|audio)? *(?:tokens|placeholders).*tokens: 0\D+(\d+)", told)
    if not found or "input_ids" not in given:
        return
    words, numbers = given["input_ids"], int(found[2])
    names = [
        f"{each}_token_{end}" for each in ([found[1]] if found[1] else ["image", "audio"]) for end in ("id", "index")
    ]
    place = _side(config, *names, otherwise=0)
    wide = _side(config, "hidden_size", "d_model", otherwise=32)
    for features in (numbers // wide, numbers):  # some say how many numbers these features have
        places = words.new_full((len(words), features // len(words)), place)
        texts = {"input_ids": torch.cat([words[:, :1], places, words[:, 1:]], dim=1)}
        if (mask := given.get("attention_mask")) is not None:
            texts["attention_mask"] = torch.cat([torch.ones_like(places), mask], dim=1)
        if "mm_token_type_ids" in inspect.signature(net.forward).parameters:
            texts["mm_token_type_ids"] = (texts["input_ids"] == place).long()
        if features >= len(words):
            yield given | texts


def small(name: str) -> Call:
    import transformers

    transformers.logging.set_verbosity_error()
    if name in CANNOT:
        raise NotBuilt(CANNOT[name])
    kinds = transformers.models.auto.modeling_auto.MODEL_MAPPING_NAMES[name]
    kind = getattr(transformers, kinds if isinstance(kinds, str) else kinds[0])
    base = transformers.CONFIG_MAPPING[name]()
    if not isinstance(base, kind.config_class):  # it runs a part
        base = kind.config_class()
    told, built, start = "no configuration", 0, time.process_time()
    for sizes, few_words, few_layers in SHRINKS:
        try:
            config = _smaller(base, sizes, few_words, few_layers, **TOLD.get(name, {}))
            with torch.device("meta"):
                net = kind._from_config(config)
        except Exception as error:
            told = said(error)
            continue
        if (size := sum(each.numel() for each in net.parameters())) > MOST_PARAMETERS:
            told = f"{size} parameters" if told.startswith("no ") else told
            continue
        try:
            torch.manual_seed(0)
            net = kind._from_config(config).eval()
            net = Run(net, RUNS[name]) if name in RUNS else net
        except Exception as error:
            told = said(error)
            continue
        built += 1
        calls = iter([CALLS[name](config)] if name in CALLS else _calls(config, net))
        while (given := next(calls, None)) is not None:
            if time.process_time() - start > SEARCH:
                raise NotBuilt(told)
            try:
                with torch.no_grad():
                    net(**given)
            except Exception as error:
                told = f"{'+'.join(given)}: {said(error)}"
                calls = chain(_with_places(config, net, given, told), calls)
                continue
            return net, (), given
        if built > 3:
            break
    raise NotBuilt(told)


def said(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:220]}"
