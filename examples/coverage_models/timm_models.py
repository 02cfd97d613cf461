"""timm: a small member of each family, narrower and shallower where its own arguments allow it."""

from collections.abc import Iterator
from importlib import import_module

from coverage_models.entry import Entry, calling, picture

__all__ = ["timm_models"]


def _small(depth: int = 2, **options: object) -> dict[str, object]:
    return {"embed_dim": 32, "depth": depth, "num_heads": 2, "img_size": 32, **options}


MIXER: dict[str, object] = {"embed_dim": 32, "num_blocks": 2, "img_size": 32, "patch_size": 8}

TIMM: dict[str, tuple[str, int, dict[str, object]]] = {
    "resnet": ("resnet10t", 32, {}),
    "resnetv2 (BiT)": ("resnetv2_50x1_bit", 32, {}),
    "regnet": ("regnety_002", 32, {}),
    "efficientnet": ("efficientnet_b0", 32, {}),
    "convnext": ("convnext_atto", 32, {"depths": (1, 1, 2, 1)}),
    "mobilenetv4": ("mobilenetv4_conv_small_035", 32, {}),
    "mobilenetv4 hybrid": ("mobilenetv4_hybrid_medium", 64, {}),
    "vit": ("vit_tiny_patch16_224", 32, _small(patch_size=8)),
    "swin": (
        "swin_tiny_patch4_window7_224",
        32,
        {"embed_dim": 16, "depths": (2, 2), "num_heads": (2, 4), "img_size": 32, "window_size": 4},
    ),
    "swin_v2_cr": (
        "swinv2_cr_tiny_224",
        32,
        {"embed_dim": 16, "depths": (2, 2), "num_heads": (2, 4), "img_size": 32, "window_size": 4},
    ),
    "deit": ("deit_tiny_distilled_patch16_224", 32, _small(patch_size=8)),
    "beit": ("beit_base_patch16_224", 32, _small(patch_size=8)),
    "mixer": ("mlp_mixer:MlpMixer", 32, MIXER),
    "resmlp": ("mlp_mixer:MlpMixer", 32, MIXER | {"block_layer": "ResBlock", "norm_layer": "Affine", "mlp_ratio": 4}),
    "gmlp": (
        "mlp_mixer:MlpMixer",
        32,
        MIXER | {"block_layer": "SpatialGatingBlock", "mlp_ratio": 4, "mlp_layer": "GatedMlp"},
    ),
    "poolformer": ("poolformer_s12", 32, {}),
    "maxvit": ("maxvit_rmlp_pico_rw_256", 64, {"img_size": 64, "embed_dim": (32, 32, 64, 64), "depths": (1, 1, 1, 1)}),
    "coatnet": ("coatnet_pico_rw_224", 64, {"img_size": 64, "embed_dim": (32, 32, 64, 64), "depths": (1, 1, 1, 1)}),
    "eva": (
        "eva02_tiny_patch14_224",
        28,
        {"embed_dim": 32, "depth": 2, "num_heads": 2, "img_size": 28, "patch_size": 7},
    ),
    "ghostnet": ("ghostnet_050", 32, {}),
    "hrnet": ("hrnet_w18_small", 64, {}),
    "vovnet": ("ese_vovnet19b_slim_dw", 32, {}),
    "dla": ("dla46_c", 32, {}),
    "nfnet": ("test_nfnet", 32, {}),
    "repvgg": ("repvgg_a0", 32, {}),
    "levit": (
        "levit_128s",
        128,
        {"img_size": 128, "embed_dim": (32, 48, 64), "depth": (1, 1, 1), "num_heads": (2, 3, 4), "key_dim": 8},
    ),
    "xcit": ("xcit_nano_12_p16_224", 32, {**_small(), "patch_size": 8}),
    "cait": ("cait_xxs24_224", 32, _small(patch_size=8)),
    "crossvit": ("crossvit_9_240", 240, {"embed_dim": (16, 32), "num_heads": (2, 2), "depth": ((1, 1, 0), (1, 1, 0))}),
    "pit": ("pit_ti_224", 64, {"img_size": 64, "base_dims": (8, 8, 8), "depth": (1, 1, 1), "heads": (2, 4, 8)}),
    "tresnet": ("tresnet_m", 64, {"layers": (1, 1, 1, 1)}),
    "mobilevit": ("mobilevit_xxs", 128, {}),
    "mobilevitv2": ("mobilevitv2_050", 128, {}),
    "edgenext": ("edgenext_xx_small", 64, {}),
    "convit": ("convit_tiny", 32, _small(patch_size=8, local_up_to_layer=1)),
    "twins": (
        "twins_svt_small",
        64,
        {"img_size": 64, "embed_dims": (16, 16, 32, 32), "num_heads": (2, 2, 4, 4), "depths": (2, 2, 2, 2)},
    ),
    "volo": ("volo_d1_224", 64, {"img_size": 64}),
    "davit": (
        "davit_tiny",
        64,
        {"depths": (1, 1, 1, 1), "embed_dims": (16, 16, 32, 32), "num_heads": (2, 2, 2, 2), "window_size": 2},
    ),
    "focalnet": ("focalnet_tiny_srf", 64, {}),
    "efficientformer": ("efficientformerv2_s0", 64, {"img_size": 64}),
    "fastvit": ("fastvit_t8", 64, {}),
    "mambaout": ("mambaout_femto", 32, {}),
    "hiera": ("hiera_tiny_224", 64, {"img_size": (64, 64), "embed_dim": 16, "stages": (1, 1, 1, 1)}),
    "nest": ("nest_tiny", 64, {"img_size": 64}),
    "tnt": (
        "tnt_s_patch16_224",
        32,
        {
            "img_size": 32,
            "patch_size": 8,
            "embed_dim": 32,
            "inner_dim": 8,
            "depth": 2,
            "num_heads_outer": 2,
            "num_heads_inner": 2,
        },
    ),
    "inception_next": ("inception_next_atto", 64, {"depths": (1, 1, 1, 1)}),
    "starnet": ("starnet_s050", 32, {}),
    "sknet": ("skresnet18", 32, {}),
    "res2net": ("res2net50_14w_8s", 32, {}),
    "resnest": ("resnest14d", 32, {}),
    "ecaresnet": ("ecaresnet26t", 32, {}),
    "cspnet": ("cspnext_tiny", 32, {}),
    "rexnet": ("rexnet_100", 32, {}),
    "xception": ("xception41", 64, {}),
    "dpn": ("dpn48b", 32, {}),
    "selecsls": ("selecsls42", 64, {}),
}


def timm_models() -> Iterator[Entry]:
    """Yield a member of each family of timm."""
    timm = import_module("timm")
    for family, (name, size, options) in TIMM.items():
        module, _, kind = name.rpartition(":")
        if module:
            owner = import_module(f"timm.models.{module}")
            options = {key: getattr(owner, v) if isinstance(v, str) else v for key, v in options.items()}
            build = calling(owner, kind, **options)
        else:
            build = calling(timm, "create_model", model_name=name, **options)
        yield Entry("timm", family, kind, build, picture(1, 3, size, size))
