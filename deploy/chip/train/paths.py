"""Where things are."""
import os
import pathlib

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parents[2]
WORK = pathlib.Path(os.environ.get("CHIP_WORK", REPOSITORY / "build" / "chip"))  # data, checkpoints of the training, logs
CHECKPOINT = HERE.parent  # where the released files lie: deploy/chip
TEMPLATE_FOLDER = REPOSITORY / "tests" / "golden" / "make"  # the chat template, and the tokenizer's structure
