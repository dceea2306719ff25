"""What people look at: pictures, pages and text tables of detections and their evaluation."""
