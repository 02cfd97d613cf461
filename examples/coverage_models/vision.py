"""torchvision: a member of each family of classifiers, segmentation, a detection backbone, video."""

from collections.abc import Iterator
from importlib import import_module

import torch
from torch import Tensor, nn

from coverage_models.entry import Entry, calling, picture

__all__ = ["classifier", "classifiers", "vision"]


def classifiers() -> list[str]:
    """Return the names of torchvision's classifiers, 80 in version 0.29."""
    models = import_module("torchvision.models")
    return models.list_models(module=models)


def classifier(name: str) -> tuple[nn.Module, Tensor]:
    """Return a classifier of torchvision and a picture, at true size on the meta device."""
    size = 299 if name == "inception_v3" else 224
    blank = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    build = getattr(import_module("torchvision.models"), name)
    with torch.device("cpu" if name.startswith("regnet") else "meta"):  # regnets compute their widths with tensors
        model = build(**blank).eval()
    return model.to("meta"), torch.zeros(1, 3, size, size, device="meta")


SMALL_IMAGE = {
    "alexnet": 64,
    "vgg": 64,
    "googlenet": 64,
    "inception": 96,
    "maxvit": 64,
    "swin": 64,
    "squeezenet": 64,
}

VISION = """alexnet convnext_tiny densenet121 efficientnet_b0 efficientnet_v2_s googlenet inception_v3 mnasnet0_5
mobilenet_v2 mobilenet_v3_small regnet_x_400mf regnet_y_400mf resnet18 resnet50 resnext50_32x4d shufflenet_v2_x0_5
squeezenet1_1 vgg11 vgg11_bn wide_resnet50_2"""


def vision() -> Iterator[Entry]:
    """Yield torchvision's classifiers, segmentation, detection and video models."""
    models = import_module("torchvision.models")
    options: dict[str, dict[str, object]] = {name: {} for name in VISION.split()}
    options["googlenet"] = options["inception_v3"] = {"init_weights": False}
    for name, extra in options.items():
        size = next((s for start, s in SMALL_IMAGE.items() if name.startswith(start)), 32)
        yield Entry(
            "torchvision",
            name,
            name,
            calling(models, name, **extra),
            picture(1, 3, size, size),
        )
    yield from _vision_transformers(models)
    yield from _dense_vision(models)
    yield from _video(models)


def _vision_transformers(models: object) -> Iterator[Entry]:
    vit = {"image_size": 32, "patch_size": 8, "num_layers": 2, "num_heads": 2, "hidden_dim": 32, "mlp_dim": 48}
    yield Entry(
        "torchvision", "vit", "VisionTransformer", calling(models, "VisionTransformer", **vit), picture(1, 3, 32, 32)
    )
    swin = {"patch_size": [4, 4], "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4], "window_size": [4, 4]}
    swins = import_module("torchvision.models.swin_transformer")
    v2 = {"block": swins.SwinTransformerBlockV2, "downsample_layer": swins.PatchMergingV2}
    size = picture(1, 3, 32, 32)
    yield Entry("torchvision", "swin", "SwinTransformer", calling(swins, "SwinTransformer", **swin), size)
    yield Entry("torchvision", "swin_v2", "SwinTransformer v2", calling(swins, "SwinTransformer", **swin, **v2), size)
    maxvit = {"input_size": (32, 32), "stem_channels": 8, "partition_size": 4, "block_channels": [8, 16]}
    maxvit |= {"block_layers": [2, 2], "head_dim": 4, "stochastic_depth_prob": 0.0}
    yield Entry("torchvision", "maxvit", "MaxVit", calling(models, "MaxVit", **maxvit), picture(1, 3, 32, 32))


def _dense_vision(models: object) -> Iterator[Entry]:
    segmentation = import_module("torchvision.models.segmentation")
    blank = {"weights": None, "weights_backbone": None}
    for name in ("fcn_resnet50", "deeplabv3_resnet50", "deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large"):
        yield Entry("torchvision", name, name, calling(segmentation, name, **blank), picture(1, 3, 32, 32))
    backbones = import_module("torchvision.models.detection.backbone_utils")
    build = calling(backbones, "resnet_fpn_backbone", backbone_name="resnet18", weights=None)
    yield Entry("torchvision", "resnet_fpn", "resnet_fpn_backbone", build, picture(1, 3, 64, 64))


def _video(models: object) -> Iterator[Entry]:
    video = import_module("torchvision.models.video")
    for name in ("r3d_18", "mc3_18", "r2plus1d_18"):
        yield Entry("torchvision", name, name, calling(video, name), picture(1, 3, 4, 32, 32))
    yield Entry("torchvision", "s3d", "s3d", _s3d, picture(1, 3, 8, 32, 32))
    swin = {"patch_size": [2, 4, 4], "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4], "window_size": [2, 4, 4]}
    build = calling(import_module("torchvision.models.video.swin_transformer"), "SwinTransformer3d", **swin)
    yield Entry("torchvision", "swin3d", "SwinTransformer3d", build, picture(1, 3, 8, 32, 32))
    for version in (1, 2):
        yield Entry(
            "torchvision", f"mvit_v{version}", f"MViT v{version}", lambda v=version: mvit(v), picture(1, 3, 4, 32, 32)
        )


def _s3d() -> nn.Module:
    """Return S3D with a pooling that fits small pictures."""
    model = import_module("torchvision.models.video").s3d()
    model.avgpool = nn.AdaptiveAvgPool3d(1)
    return model


def mvit(version: int) -> nn.Module:
    """Return a multiscale video transformer of three blocks."""
    module = import_module("torchvision.models.video.mvit")
    second = version == 2
    heads, widths = (1, 2, 2), ((16, 16), (16, 32), (32, 32)) if second else ((16, 32), (32, 32), (32, 32))
    plain = ([3, 3, 3], [1, 1, 1]) if second else ([], [])
    queries = (plain, ([3, 3, 3], [1, 2, 2]), plain)
    config = [
        module.MSBlockConfig(heads[i], *widths[i], queries[i][0], [3, 3, 3], queries[i][1], [1, 2, 2]) for i in range(3)
    ]
    return module.MViT(
        spatial_size=(32, 32),
        temporal_size=4,
        block_setting=config,
        residual_pool=second,
        residual_with_cls_embed=not second,
        rel_pos_embed=second,
        proj_after_attn=second,
    )
