"""Stage three: detections against ground truth, in figures and with reasons. Imports no torch."""
