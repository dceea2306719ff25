"""Labels and detections of other programs' forms in and out: one module per form."""
