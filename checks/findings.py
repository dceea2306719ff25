"""Cases of faults in, findings out: a table for people, plain values for programs.

Every kind of fault stands in `KINDS`, worst first; docs/checking.md explains each at length.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

ERROR, WARNING, NOTE = "error", "warning", "note"


@dataclass(frozen=True)
class Kind:
    """A kind of fault: how bad, what its places are (in the plural), and what to do."""

    name: str
    level: str
    what: str
    advice: str


@dataclass(frozen=True)
class Case:
    """One place where a fault of some kind is; `video_id` is empty where it is not in a video."""

    kind: str
    says: str
    video_id: str = ""

    def __str__(self) -> str:
        words = f"{self.video_id}: {self.says}" if self.video_id else self.says
        return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in words)


@dataclass(frozen=True)
class Finding:
    """All places where a fault of one kind was found; there is at least one."""

    kind: Kind
    cases: tuple[Case, ...]

    @property
    def level(self) -> str:
        """Return `error` (ruins a training or an evaluation), `warning`, or `note`."""
        return self.kind.level

    @property
    def line(self) -> str:
        """Return everything in one line, with one example."""
        return f"{self.kind.what}: {len(self.cases)} ({self.cases[0]}); {self.kind.advice}"

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values, with all cases."""
        return {
            "level": self.level,
            "kind": self.kind.name,
            "count": len(self.cases),
            "what": self.kind.what,
            "advice": self.kind.advice,
            "cases": [{"video": c.video_id or None, "says": c.says} for c in self.cases],
        }

    def block(self, examples: int) -> str:
        """Return the finding as lines of a table, with the first few of its cases."""
        more = len(self.cases) - examples
        lines = [f"{self.level:7}  {len(self.cases):6}  {self.kind.what}  [{self.kind.name}]"]
        # Every video comes once before one comes twice.
        firsts: dict[str, Case] = {}
        later = [c for c in self.cases if firsts.setdefault(c.video_id, c) is not c]
        lines += [f"{'':17}{case}" for case in [*firsts.values(), *later][:examples]]
        lines += [f"{'':17}... and {more} more"] if examples and more > 0 else []
        return "\n".join([*lines, f"{'':17}-> {self.kind.advice}"])


@dataclass(frozen=True)
class Report:
    """What was checked, in words, and what was found, worst first."""

    source: str
    checked: str
    findings: tuple[Finding, ...]

    @property
    def clean(self) -> bool:
        """Whether nothing above a note was found."""
        return all(f.level == NOTE for f in self.findings)

    @property
    def verdict(self) -> str:
        """Return the number of kinds of each level, in words."""
        if self.clean:
            return "nothing wrong was found"
        counts = [(level, sum(f.level == level for f in self.findings)) for level in LEVELS]
        said = ", ".join(f"{n} {level}{'s' if n > 1 else ''}" for level, n in counts if n)
        return f"{said}; docs/checking.md says more about each"

    def table(self, *, examples: int) -> str:
        """Return a text table: what was checked, a block per finding, and the verdict.

        Args:
            examples: cases that are named of every kind; the rest are counted.
        """
        heads = [f"{'level':7}  {'count':>6}  what"] if self.findings else []
        blocks = [finding.block(examples) for finding in self.findings]
        return "\n".join([f"{self.source}: {self.checked}", *heads, *blocks, self.verdict])

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {
            "source": self.source,
            "checked": self.checked,
            "clean": self.clean,
            "findings": [finding.to_json() for finding in self.findings],
        }


def collect(cases: Iterable[Case], *, exclude: Collection[str]) -> list[Finding]:
    """Return the cases by kind, worst first, without those of the videos in `exclude`."""
    by_kind: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        if case.video_id not in exclude:
            by_kind[case.kind].append(case)
    unknown = set(by_kind) - {kind.name for kind in KINDS}
    assert not unknown, unknown
    return [Finding(kind, tuple(by_kind[kind.name])) for kind in KINDS if kind.name in by_kind]


LEVELS = (ERROR, WARNING, NOTE)
NO_ANNOTATIONS = "no-annotations"

KINDS = (
    Kind("refused", ERROR, "entries of the annotations that cannot be read",
         "correct them; every other command stops at the first"),
    Kind("repeated-key", ERROR, "keys that stand twice in one JSON object",
         "keep one of each; only the last counts, and a video's other entry is lost"),
    Kind("bad-duration", ERROR, "videos with a duration of 0 s or less",
         "write the video's length in seconds, or leave the duration out"),
    Kind("beyond-end", ERROR, "instances that start after the end of their video",
         "nothing can find them; are the times seconds, and of this very file? if so, leave the "
         "video out (--exclude)"),
    Kind("no-rows", ERROR, "instances where their video has no feature rows",
         "training leaves them out and nothing can find them; do the rows cover the whole video?"),
    Kind("label-spelling", ERROR, "labels that are written in more than one way",
         "write each in one way; as it is, they are different classes"),
    Kind("untrained-label", ERROR, "labels of held-out videos that no training video has",
         "their average precision will be 0; move a video, or leave the label out"),
    Kind("subset-spelling", ERROR, "subset names that look like one that is understood",
         "write training, validation, testing or test; the videos are not used as it is"),
    Kind("subset-roles", ERROR, "subsets to train and test on that cannot be told by name",
         "name them: --set data.train_subset=NAME --set data.test_subset=NAME"),
    Kind("no-match", ERROR, "collections of ids that have nothing in common",
         "a video's id must be the same in both: its file name without the ending"),
    Kind("empty", ERROR, "files with nothing in them",
         "extract videos into a feature file; look at what wrote the detections"),
    Kind("unreadable", ERROR, "videos whose features cannot be used",
         "extract them again"),
    Kind("not-finite", ERROR, "streams with values that are NaN or infinite",
         "training stops at them; extract the video again, or look at what wrote the file"),
    Kind("widths", ERROR, "streams that are not as wide as those of other videos",
         "one file needs one width; were two files of different extractors merged?"),
    Kind("wrong-fps", ERROR, "factors by which the time of most videos is stretched",
         "correct step_sec; the frame rate was misjudged, and every action is displaced"),
    Kind("wrong-duration", ERROR, "videos whose rows cover another time than is said",
         "is step_sec right, and is it the same video, to its end?"),
    Kind("time-scale", ERROR, "scales by which detections fit the annotations better",
         "correct the unit or frame rate where the detections were written"),
    Kind("missing-features", WARNING, "videos with actions but without features",
         "extract them; as it is, they are left out of training and of evaluation"),
    Kind(NO_ANNOTATIONS, WARNING, "videos with features but without annotations",
         "annotate them, or ignore this if they are only to be searched; is the id right?"),
    Kind("past-end", WARNING, "instances that end after the end of their video",
         "correct the end or the duration; the part beyond cannot be found"),
    Kind("before-start", WARNING, "instances that start before 0 s",
         "correct the start; the part before cannot be found"),
    Kind("no-length", WARNING, "instances of no length",
         "correct or remove them; nothing is learned from them, and they count as not found"),
    Kind("ignored-action", WARNING, "instances where the annotations say that nobody looked",
         "they are learned and measured all the same; widen 'annotated', or shorten 'ignore'"),
    Kind("stretch-beyond-end", WARNING, "stretches of 'annotated' or 'ignore' beyond their video",
         "give seconds, not frames; what lies after the end changes nothing"),
    Kind("duplicate", WARNING, "instances that are annotated more than once",
         "keep one of each; only one can be found, so the others count as not found"),
    Kind("lone-label", WARNING, "labels that occur in one subset only",
         "they are learned but not measured, or measured but not learned"),
    Kind("divided-group", WARNING, "groups with videos on both sides: trained on and held out",
         "move each to one side; what its videos share flatters every figure"),
    Kind("one-subset", WARNING, "subsets that are the only one with actions",
         "put some videos into another, to be measured on; or measure on what was trained on, "
         "which flatters: --set data.test_subset=NAME"),
    Kind("no-subset", WARNING, "sets of annotations in which no video is in a subset",
         "divide the videos into those to train on and those to keep apart: --split 0.7"),
    Kind("many-short", WARNING, "instances that are shorter than a step of the features",
         "extract with more rows per second, or expect these not to be found precisely"),
    Kind("duration", WARNING, "videos whose rows cover a little more or less than is said",
         "is the video complete, and is it the one that was annotated?"),
    Kind("streams", WARNING, "videos that lack a stream which others have",
         "extract them again; a stream that one video lacks is used for none"),
    Kind("constant", WARNING, "streams whose rows are all the same",
         "nothing can be found there; look at the video, and extract it again"),
    Kind("zero-rows", WARNING, "streams with rows of nothing but zeros",
         "zeros are padding, not features: cut them off, or extract the video again"),
    Kind("copied", WARNING, "videos that have the same rows as another",
         "is it one video under two names? across subsets, that flatters every figure"),
    Kind("refused-detection", WARNING, "entries of the detections that cannot be read",
         "correct what wrote them; an evaluation leaves them out (--strict refuses the file)"),
    Kind("unknown-video", WARNING, "videos of the detections that the annotations do not have",
         "correct the ids; an evaluation leaves these detections out"),
    Kind("unknown-label", WARNING, "labels of the detections that the annotations do not have",
         "write them as the annotations do; an evaluation leaves these detections out"),
    Kind("no-detections", WARNING, "videos with actions but without detections",
         "add them if they are missing; all of their actions count as not found"),
    Kind("undetected-label", WARNING, "labels with actions but without detections",
         "is it spelt like that? its average precision is 0"),
    Kind("outside-video", WARNING, "videos with detections outside of the video",
         "are the times seconds, from the first picture of this very file?"),
    Kind("repeated-detection", WARNING, "videos with the same detection more than once",
         "keep the best; each other one counts as an error"),
    Kind("one-score", WARNING, "scores that all detections have",
         "write how sure each is; without that, mAP depends on their order"),
    Kind("near-duplicate", NOTE, "pairs of instances of a label with a tIoU of 0.95 or more",
         "probably one instance, annotated twice"),
    Kind("short", NOTE, "instances that are shorter than a step of the features",
         "expect these not to be found precisely"),
    Kind("part-rows", NOTE, "instances of which a part lies where their video has no feature rows",
         "training takes them for that much shorter; do the rows cover the whole video?"),
    Kind("unused-subset", NOTE, "subsets with actions that have no role",
         "name one to use it: --set data.train_subset=NAME"),
    Kind("no-action", NOTE, "videos without an action",
         "nothing to do if they are background on purpose, or not annotated yet"),
    Kind("no-duration", NOTE, "videos whose duration is not said",
         "instances past the end cannot be noticed there without a feature file"),
    Kind("rounded-duration", NOTE, "videos whose duration seems to be rounded to whole seconds",
         "nothing to do"),
    Kind("frozen", NOTE, "streams in which most rows equal the one before",
         "nothing to do if the picture stands still for long"),
    Kind("dead-columns", NOTE, "streams with columns that are 0 in every row of every video",
         "nothing to do if the extractor is like that"),
    Kind("score-range", NOTE, "videos with scores outside of 0 to 1",
         "nothing to do if higher is surer; only their order counts"),
    Kind("empty-detection", NOTE, "videos with detections of no length",
         "nothing to do; they find nothing"),
    Kind("not-compared", NOTE, "files of detections without annotations",
         "give --annotations FILE.json to check ids, labels and times"),
    Kind("not-annotated", NOTE, "feature files without annotations",
         "give --annotations FILE.json to check both together"),
)  # fmt: skip
