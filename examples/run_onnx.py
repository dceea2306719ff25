"""Detect with a file of `tsatal export-onnx --whole`, without tsatal: OpenCV, ONNX Runtime, NumPy.

    python examples/run_onnx.py MODEL.onnx VIDEO

It takes a video of a steady rate, as long as the file allows; more is cut off with a note.
"""

import json
import sys
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import onnxruntime


def read_clip(path: str, fps: float, resize: int, crop: int) -> tuple[np.ndarray, float]:
    """Return the frames at every 1 / fps seconds, (N, crop, crop, 3) uint8 RGB, and the seconds."""
    video, pictures = cv2.VideoCapture(path), []
    rate = video.get(cv2.CAP_PROP_FPS)
    while (read := video.read())[0]:
        image = read[1]
        while min(image.shape[:2]) >= 2 * resize:
            image = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        scale = resize / min(image.shape[:2])
        size = [round(side * scale) for side in image.shape[1::-1]]
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        top, left = (image.shape[0] - crop) // 2, (image.shape[1] - crop) // 2
        pictures.append(image[top : top + crop, left : left + crop, ::-1])
    seconds = len(pictures) / rate
    ticks = np.arange(0, seconds - 1e-6, 1 / fps)  # the picture at or before each
    return np.stack([pictures[int(t * rate + 1e-6)] for t in ticks]), seconds


def overlap(segments: np.ndarray, one: np.ndarray) -> np.ndarray:
    """Return the tIoU of segments (N, 2) with one."""
    low, high = np.maximum(segments[:, 0], one[0]), np.minimum(segments[:, 1], one[1])
    inside: np.ndarray = (high - low).clip(0)
    return inside / (np.ptp(segments, axis=1) + one[1] - one[0] - inside).clip(1e-9)


def suppress(
    segments: np.ndarray, scores: np.ndarray, decode: dict[str, Any]
) -> Iterator[tuple[np.ndarray, float]]:
    """Yield one class's segments and scores by soft-NMS, each averaged with those much like it."""
    live = np.where(scores >= decode["min_score"], scores, -1.0)
    while (best := live.argmax(), live.max())[1] >= decode["min_score"]:
        one, score = segments[best], live[best]
        if decode["voting_tiou"] is not None:
            near = overlap(segments, one)
            weight = np.where(near >= decode["voting_tiou"], near * scores, 0)
            weight[scores < decode["min_score"]] = 0
            one = weight @ segments / weight.sum()
        decay = np.exp(-(overlap(segments, segments[best]) ** 2) / decode["nms_sigma"])
        live[best] = -1.0
        live = np.where(live >= 0, live * decay, -1.0)
        yield one, score


def main(model: str, path: str) -> list[tuple[str, float, float, float]]:
    """Return (label, start, end, score), best first; scores are calibrated where the run's are."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    facts = {k: json.loads(v) for k, v in session.get_modelmeta().custom_metadata_map.items()}
    frames, seconds = read_clip(path, facts["fps"], facts["resize"], facts["crop"])
    if len(frames) > (most := facts["frames"]["most"]):
        print(f"only the first {most / facts['fps']:g} of {seconds:g} s are looked at")
    scores, segments, _ = session.run(None, {"frames": frames[:most]})
    segments, found = segments.astype(float).clip(0, seconds), list[Any]()
    for n, label in enumerate(facts["labels"]):
        a, b, c = facts["calibration"].get(label, (1, 1, 0))
        for (start, end), p in suppress(segments, scores[:, n].astype(float), facts["decode"]):
            p = 1 / (1 + np.exp(-(a * np.log(p) - b * np.log1p(-p) + c)))
            if end > start:
                found.append((label, start, end, p))
    return sorted(found, key=lambda d: -d[3])[: facts["decode"]["max_detections"]]


if __name__ == "__main__":
    for label, start, end, score in main(*sys.argv[1:])[:20]:
        print(f"{start:8.2f} {end:8.2f}  {score:.3f}  {label}")
