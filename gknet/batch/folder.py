"""The jobs in a folder: pictures with a mask beside them, and files of layers."""

from __future__ import annotations

from pathlib import Path

from gknet.batch.job import Job
from gknet.errors import InputError, PictureError

MASK = "_mask"
_WRITABLE = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".exr")
_READ_ONLY = (".heic", ".heif", ".avif")
_LAYERED = (".ora", ".psd")


def find_jobs(folder: Path) -> list[Job]:
    """A job for every picture and every file of layers in the folder, by name; folders in it are not looked into.

    `name.jpg` takes `name_mask.png`, of whatever suffix, for its mask. The output keeps the name; what cannot be
    written in the kind it has becomes .png, and a .psd becomes .ora. Raises InputError if there is nothing to do.
    """
    try:
        files = sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.is_file())
    except OSError as error:
        raise InputError(f"{folder} cannot be looked into: {error.strerror}.", "Check its permissions.") from error
    pictures = [path for path in files if path.suffix.lower() in (*_WRITABLE, *_READ_ONLY)]
    masks = [path for path in pictures if path.stem.endswith(MASK)]
    composites = [path for path in pictures if not path.stem.endswith(MASK)]
    jobs = [_pair_with_mask(path, [mask for mask in masks if mask.stem == path.stem + MASK]) for path in composites]
    named = {path.stem + MASK for path in composites}
    jobs += [_report_orphan(mask) for mask in masks if mask.stem not in named]
    layered = [path for path in files if path.suffix.lower() in _LAYERED]
    jobs += [Job(output=f"{path.stem}.ora", composite=path) for path in layered]
    if not jobs:
        raise InputError(
            f"There is nothing to harmonize in {folder}.",
            "Put name.jpg and name_mask.png in it, or .ora and .psd files, or give a CSV file.",
        )
    return sorted(jobs, key=lambda job: job.output)


def _pair_with_mask(composite: Path, masks: list[Path]) -> Job:
    output = composite.name if composite.suffix.lower() in _WRITABLE else f"{composite.stem}.png"
    if len(masks) == 1:
        return Job(output=output, composite=composite, mask=masks[0])
    if masks:
        names = " and ".join(mask.name for mask in masks)
        trouble = PictureError(f"{composite} has more than one mask: {names}.", "Keep one of them.")
    else:
        trouble = PictureError(f"{composite} has no mask.", f"Put {composite.stem}{MASK}.png beside it.")
    return Job(output=output, composite=composite, trouble=trouble)


def _report_orphan(mask: Path) -> Job:
    name = mask.stem.removesuffix(MASK)
    trouble = PictureError(f"{mask} is a mask without a picture.", f"Put {name}.jpg, or the like, beside it.")
    return Job(output=mask.name, mask=mask, trouble=trouble)
