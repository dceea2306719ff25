"""Detect with a file of `tsatal export-onnx --whole`, without tsatal: OpenCV, ONNX Runtime, NumPy.

    python examples/run_onnx.py MODEL.onnx VIDEO

It takes a video of a steady rate, as long as the file allows; more is cut off with a note.
"""

import json
import sys
from typing import Any

import cv2
import numpy as np
import onnxruntime


def main(model: str, path: str) -> list[tuple[str, float, float, float]]:
    """Return (label, start, end, score), best first; scores are calibrated where the run's are."""
    session = onnxruntime.InferenceSession(model)
    facts = {k: json.loads(v) for k, v in session.get_modelmeta().custom_metadata_map.items()}
    video, crop, pictures, found = cv2.VideoCapture(path), facts["crop"], [], list[Any]()
    while (image := video.read()[1]) is not None:
        while (side := min(image.shape[:2])) != facts["resize"]:  # by halves, then to the size
            size = [round(n * max(facts["resize"] / side, 0.5)) for n in image.shape[1::-1]]
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        top, left = (np.array(image.shape[:2]) - crop) // 2
        pictures.append(image[top : top + crop, left : left + crop, ::-1])
    seconds = np.array(len(pictures) / video.get(cv2.CAP_PROP_FPS))
    ticks = np.arange(0, seconds - 1e-6, 1 / facts["fps"])  # the picture at or before each is seen
    if len(ticks) > (most := facts["frames"]["most"]):
        print(f"only the first {most / facts['fps']:g} of {seconds:g} s are looked at")
    frames = np.stack([pictures[int(t / seconds * len(pictures) + 1e-6)] for t in ticks[:most]])
    scores, segments, kept, _ = session.run(None, {"frames": frames, "seconds": seconds})
    for label, live, own in zip(facts["labels"], scores, segments, strict=True):
        a, b, c = facts["calibration"][label]
        while (p := live[best := live.argmax()]) >= facts["decode"]["min_score"]:
            found.append((label, *own[best], 1 / (1 + np.exp(-c) * (1 - p) ** b / p**a)))
            live *= kept[best]  # what overlaps it falls, and it is not taken again
    return sorted(found, key=lambda d: -d[3])[: facts["decode"]["max_detections"]]


if __name__ == "__main__":
    print(*main(*sys.argv[1:])[:20], sep="\n")
