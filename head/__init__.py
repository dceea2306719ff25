"""Stage two: cached features in, a trained TSA + TPP head and its detections out."""
