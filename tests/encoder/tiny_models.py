"""Folders of tiny networks with random weights, of the classes and files that the hub serves.

Each builder writes weights, configuration, the preprocessor's file and, where the network reads
text, a tokenizer, so that loading goes the way of real weights. A network is made once a process;
the same name and seed always give the same weights.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import torch

IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
WORDS = (
    "chair", "table", "sofa", "couch", "trash", "bin", "can", "tv", "television", "bed", "door",
    "window", "lamp", "light", "stool", "desk", "##s", "##room",
)  # fmt: skip
SAM_PX, SAM3_PX = 128, 112


def folder_of(model: Any, preprocessor: dict[str, Any], tokenizer: Any = None) -> Path:
    """A fresh folder with a network's files."""
    folder = Path(mkdtemp(prefix="tiny_model_"))
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor), encoding="utf-8")
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    return folder


def seeded(build: Callable[[], Any], seed: int = 0) -> Any:
    """What a function builds, its random weights from a seed, the caller's own left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build().eval()


def bert_tokenizer() -> Any:
    """Word pieces with the marks at the ids that Grounding DINO's attention mask looks for."""
    from transformers import BertTokenizerFast

    words = [f"[unused{i}]" for i in range(1100)]
    marks = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]"}
    marks |= {1012: ".", 1029: "?"}
    marks |= dict(enumerate(WORDS, start=200))
    for place, word in marks.items():
        words[place] = word
    path = Path(mkdtemp(prefix="tiny_vocabulary_")) / "vocab.txt"
    path.write_text("\n".join(words), encoding="utf-8")
    return BertTokenizerFast(str(path))


def clip_tokenizer(model_max_length: int) -> Any:
    """CLIP's byte pairs, merged to whole words for `WORDS`, single letters for all others."""
    from transformers import CLIPTokenizerFast

    letters = "abcdefghijklmnopqrstuvwxyz0123456789-'"
    pieces = ["!", *letters, *(letter + "</w>" for letter in letters)]
    merges = []
    for word in (*(word for word in WORDS if word.isalpha()), "photo", "of"):
        ends = [*word[:-1], word[-1] + "</w>"]
        for i in range(1, len(ends)):
            merges.append(f"{''.join(ends[:i])} {ends[i]}")
            pieces.append("".join(ends[: i + 1]))
    pieces += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    folder = Path(mkdtemp(prefix="tiny_vocabulary_"))
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    text = "\n".join(["#version: 0.2", *dict.fromkeys(merges)])
    (folder / "merges.txt").write_text(text + "\n", encoding="utf-8")
    return CLIPTokenizerFast(
        str(folder / "vocab.json"),
        str(folder / "merges.txt"),
        model_max_length=model_max_length,
        pad_token="!",
    )


def _swin_and_bert() -> dict[str, Any]:
    from transformers import BertConfig, SwinConfig

    swin = SwinConfig(
        image_size=64, patch_size=4, embed_dim=12, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 2],
        window_size=4, out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    bert = BertConfig(
        vocab_size=1100, hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=64,
    )  # fmt: skip
    return {"backbone_config": swin.to_dict(), "text_config": bert.to_dict()}


_GROUNDED = {
    "d_model": 32, "encoder_layers": 1, "encoder_ffn_dim": 64, "encoder_attention_heads": 2,
    "decoder_layers": 2, "decoder_ffn_dim": 64, "decoder_attention_heads": 2, "num_queries": 20,
    "max_text_len": 24,
}  # fmt: skip
_SHAPED = {
    "image_processor_type": "GroundingDinoImageProcessor",
    "size": {"shortest_edge": 64, "longest_edge": 96},
    "resample": 2,
    **IMAGENET,
}


@cache
def grounding_dino() -> Path:
    """Pictures of 64 px on the shorter side, texts of at most 24 tokens, 20 boxes."""
    import transformers as t

    config = t.GroundingDinoConfig(**_swin_and_bert(), **_GROUNDED, fusion_droppath=0.0)
    model = seeded(lambda: with_lively_parameters(t.GroundingDinoForObjectDetection(config), 2.0))
    return folder_of(model, _SHAPED, bert_tokenizer())


@cache
def mm_grounding_dino() -> Path:
    """As `grounding_dino`, of the other class."""
    import transformers as t

    config = t.MMGroundingDinoConfig(**_swin_and_bert(), **_GROUNDED)
    model = seeded(lambda: with_lively_parameters(t.MMGroundingDinoForObjectDetection(config), 2.0))
    return folder_of(model, _SHAPED, bert_tokenizer())


@cache
def owlv2() -> Path:
    """Pictures padded to a square of 96 px, 36 boxes, words of at most 16 tokens."""
    import transformers as t

    text = {
        "vocab_size": 200, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1,
        "num_attention_heads": 2, "max_position_embeddings": 16,
    }  # fmt: skip
    vision = {
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1,
        "num_attention_heads": 2, "image_size": 96, "patch_size": 16,
    }  # fmt: skip
    config = t.Owlv2Config(text_config=text, vision_config=vision, projection_dim=32)
    model = seeded(lambda: t.Owlv2ForObjectDetection(config))
    preprocessor = {
        "image_processor_type": "Owlv2ImageProcessor",
        "size": {"height": 96, "width": 96},
        "resample": 2,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
    }
    return folder_of(model, preprocessor, clip_tokenizer(16))


def sam2_config(side: int = SAM_PX) -> Any:
    """SAM 2 in one small size; its memory is 64 wide in every size."""
    import transformers as t
    from transformers.models.sam2_video import configuration_sam2_video as c

    grid = side // 16
    hiera = t.Sam2HieraDetConfig(
        image_size=[side, side], hidden_size=12, blocks_per_stage=[1, 2, 2, 1],
        embed_dim_per_stage=[12, 24, 48, 96], num_attention_heads_per_stage=[1, 2, 2, 2],
        window_size_per_stage=[8, 4, 4, 2], global_attention_blocks=[4],
        window_positional_embedding_background_size=[2, 2],
    )  # fmt: skip
    vision = t.Sam2VisionConfig(
        backbone_config=hiera.to_dict(), backbone_channel_list=[96, 48, 24, 12],
        backbone_feature_sizes=[[4 * grid, 4 * grid], [2 * grid, 2 * grid], [grid, grid]],
        fpn_hidden_size=128,
    )  # fmt: skip
    prompts = c.Sam2VideoPromptEncoderConfig(hidden_size=128, image_size=side, patch_size=16)
    masks = c.Sam2VideoMaskDecoderConfig(
        hidden_size=128, mlp_dim=64, num_attention_heads=2, iou_head_hidden_dim=32
    )
    return t.Sam2VideoConfig(
        vision_config=vision.to_dict(), prompt_encoder_config=prompts.to_dict(),
        mask_decoder_config=masks.to_dict(), image_size=side, memory_attention_num_layers=1,
        memory_attention_hidden_size=128, memory_attention_feed_forward_hidden_size=64,
        memory_attention_rope_feat_sizes=[grid, grid], memory_encoder_hidden_size=128,
        memory_encoder_output_channels=64, mask_downsampler_embed_dim=128,
        memory_fuser_embed_dim=128, memory_fuser_intermediate_dim=64, num_maskmem=7,
        multimask_output_in_sam=True, multimask_output_for_tracking=True, multimask_min_pt_num=0,
        enable_occlusion_spatial_embedding=True,
        enable_temporal_pos_encoding_for_object_pointers=True,
    )  # fmt: skip


@cache
def sam2_video() -> Path:
    """SAM 2 with its memory, as the hub's folders hold it; `Sam2Model` loads from it as well."""
    import transformers as t

    preprocessor = {
        "image_processor_type": "Sam2ImageProcessorFast",
        "size": {"height": SAM_PX, "width": SAM_PX},
        "resample": 2,
        **IMAGENET,
    }
    model = seeded(lambda: with_things_in_sight(t.Sam2VideoModel(sam2_config())))
    return folder_of(model, preprocessor)


def _sam3_parts() -> tuple[dict[str, Any], dict[str, Any]]:
    """The detector and the tracker of SAM 3, for pictures of 112 px."""
    side, patch = SAM3_PX, 14
    grid = side // patch
    vit = {
        "model_type": "sam3_vit_model", "hidden_size": 32, "intermediate_size": 64,
        "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": side,
        "patch_size": patch, "window_size": 4, "global_attn_indexes": [1],
        "pretrain_image_size": side,
    }  # fmt: skip
    vision = {
        "model_type": "sam3_vision_model", "backbone_config": vit, "fpn_hidden_size": 128,
        "backbone_feature_sizes": [[4 * grid, 4 * grid], [2 * grid, 2 * grid], [grid, grid]],
    }  # fmt: skip
    layers = {
        "hidden_size": 128,
        "num_layers": 1,
        "num_attention_heads": 4,
        "intermediate_size": 64,
    }
    text = {
        "model_type": "clip_text_model", "vocab_size": 200, "hidden_size": 32,
        "intermediate_size": 64, "projection_dim": 32, "num_hidden_layers": 1,
        "num_attention_heads": 2, "max_position_embeddings": 32, "bos_token_id": 1,
        "eos_token_id": 2,
    }  # fmt: skip
    detector = {
        "model_type": "sam3", "vision_config": vision, "text_config": text,
        "geometry_encoder_config": layers, "detr_encoder_config": layers,
        "detr_decoder_config": layers | {"num_queries": 12},
        "mask_decoder_config": {"hidden_size": 128, "num_attention_heads": 4},
    }  # fmt: skip
    tracker = {
        "model_type": "sam3_tracker_video", "vision_config": vision, "image_size": side,
        "prompt_encoder_config": {"hidden_size": 128, "image_size": side, "patch_size": patch},
        "mask_decoder_config": {
            "hidden_size": 128, "mlp_dim": 64, "num_attention_heads": 4, "iou_head_hidden_dim": 32
        },
        "memory_attention_hidden_size": 128, "memory_attention_num_layers": 1,
        "memory_attention_feed_forward_hidden_size": 64,
        "memory_attention_rope_feat_sizes": [grid, grid], "memory_encoder_hidden_size": 128,
        "memory_encoder_output_channels": 64, "mask_downsampler_embed_dim": 128,
        "memory_fuser_embed_dim": 128, "memory_fuser_intermediate_dim": 64,
    }  # fmt: skip
    return detector, tracker


@cache
def sam3_video() -> Path:
    """SAM 3 whole, as the hub's folder holds it: its detector and its tracker load from it."""
    import transformers as t

    detector, tracker = _sam3_parts()
    config = t.Sam3VideoConfig(
        detector_config=detector, tracker_config=tracker, low_res_mask_size=4 * SAM3_PX // 14
    )
    preprocessor = {
        "image_processor_type": "Sam3ImageProcessorFast",
        "size": {"height": SAM3_PX, "width": SAM3_PX},
        "resample": 2,
        **HALF,
    }
    model = seeded(lambda: t.Sam3VideoModel(config))
    seeded(lambda: with_lively_parameters(model.detector_model, 2.0))
    seeded(lambda: with_things_in_sight(model.tracker_model))
    return folder_of(model, preprocessor, clip_tokenizer(32))


def with_lively_parameters(model: Any, gain: float = 4.0) -> Any:
    """Weights larger than a network starts with, none of them zero, so that what comes out depends
    on everything that goes in, past frames too.
    """
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.3)
        elif parameter.ndim > 1:
            parameter.data *= gain
    return model


def with_things_in_sight(model: Any) -> Any:
    """A lively tracker that sees a thing unless much speaks against it."""
    with_lively_parameters(model)
    model.mask_decoder.pred_obj_score_head.proj_out.bias.data.fill_(2.0)
    return model
