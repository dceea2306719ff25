"""Self-contained HTML pages: what was found in a video, and why an mAP is what it is."""
