"""OpenCV, which scales frames and computes flow; or one line that says how to get it."""

from __future__ import annotations

from ..errors import InputError

try:
    import cv2
except ImportError as e:
    # The usual reason is a machine without a screen, and so without libGL.
    raise InputError(
        f"OpenCV cannot be imported ({e}); the package opencv-python-headless is as good and needs "
        "no graphics library: pip uninstall opencv-python; pip install opencv-python-headless"
    ) from e

__all__ = ["cv2"]
