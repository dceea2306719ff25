"""Detect with a file of `tsatal export-onnx --whole`, without tsatal: OpenCV, ONNX Runtime, NumPy.

    python examples/run_onnx.py MODEL.onnx VIDEO

It takes a video of a steady rate, as long as the file allows, and says how much it looks at.
Of each tick it sees the picture at or before it; a lone picture is shown twice.
"""

import json
import sys

import cv2
import numpy as np
import onnxruntime


def main(model: str, path: str) -> list[tuple[str, float, float, float]]:
    """Return (label, start, end, score), best first; scores are calibrated where the run's are."""
    session = onnxruntime.InferenceSession(model)
    facts = {k: json.loads(v) for k, v in session.get_modelmeta().custom_metadata_map.items()}
    video, pictures, found = cv2.VideoCapture(path), [], list[tuple[str, float, float, float]]()
    to, crop, fps = facts["resize"], facts["crop"], facts["fps"]
    while (image := video.read()[1]) is not None:
        size = [round(n * to / min(image.shape[:2])) for n in image.shape[1::-1]]
        how = cv2.INTER_AREA if min(image.shape[:2]) > to else cv2.INTER_LINEAR
        while min(half := [n // 2 for n in image.shape[1::-1]]) >= to:  # by halves, then to size
            image = cv2.resize(image, half, interpolation=how)
        pictures.append(cv2.resize(image, size, interpolation=how))
    seconds = (len(pictures) or sys.exit(f"no video: {path}")) / video.get(cv2.CAP_PROP_FPS)
    print(f"{min(seconds, facts['frames']['most'] / fps):g} of {seconds:g} s are looked at")
    ticks = np.arange(np.clip(np.ceil(seconds * fps - 1e-6), *facts["frames"].values())) / fps
    frames = np.take(pictures, np.int64(ticks / seconds * len(pictures) + 1e-6), 0, mode="clip")
    top, left = (np.array(frames.shape[1:3]) - crop) // 2
    frames = frames[:, top : top + crop, left : left + crop, ::-1]  # BGR to RGB
    scores, places, kept, _ = session.run(None, {"frames": frames, "seconds": np.array(seconds)})
    for n, (label, (a, b, c)) in enumerate(facts["calibration"].items()):
        while (p := scores[n, (best := scores[n].argmax())]) >= facts["decode"]["min_score"]:
            found.append((label, *places[n, best], 1 / (1 + np.exp(-c) * (1 - p) ** b / p**a)))
            scores[n] *= kept[best]  # what overlaps it falls, and it is not taken again
    return sorted(found, key=lambda d: -d[3])[: facts["decode"]["max_detections"]]


if __name__ == "__main__":
    print(*main(*sys.argv[1:])[:20], sep="\n")
