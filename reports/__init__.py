"""Pictures, pages and text tables of detections and their evaluation, for people to look at."""
