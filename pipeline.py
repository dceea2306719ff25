"""What can be done, as functions that the command line and `import tsatal` call.

    extract                                 videos to a feature file
    train, resume                           a feature file to a run
    train_folds, learning_curve             many trainings, and what they say together
    evaluate, evaluate_runs, report         a run to mAP, predictions, pictures and a page
    evaluate_predictions                    the same for anybody's detections
    detect, first_look                      videos to detections, with a run or without
    explain                                 a picture of what TSA does in a video
    annotate, convert, clips                labels made, in another form, and cut out as clips
    pack, export_whole                      a run to one file to give away

How each calls the stages is in `wiring/`. Every path may be a string.
"""

from __future__ import annotations

from .wiring.detecting import FIRST_LOOK, detect, first_look
from .wiring.explaining import explain
from .wiring.extracting import extract
from .wiring.giving import export_whole, pack
from .wiring.labelling import annotate, clips, convert
from .wiring.measuring import HowToMeasure, evaluate, evaluate_runs, report
from .wiring.measuring_predictions import evaluate_predictions
from .wiring.studying import learning_curve, train_folds
from .wiring.training_runs import resume, train

__all__ = [
    "FIRST_LOOK", "HowToMeasure", "annotate", "clips", "convert", "detect", "evaluate",
    "evaluate_predictions", "evaluate_runs", "explain", "export_whole", "extract", "first_look",
    "learning_curve", "pack", "report", "resume", "train", "train_folds",
]  # fmt: skip
