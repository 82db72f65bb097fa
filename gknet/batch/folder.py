"""Jobs of a folder: pictures with a mask beside them, and layered files."""

from __future__ import annotations

from pathlib import Path

from gknet.batch.job import Job
from gknet.errors import InputError, PictureError

MASK = "_mask"
_WRITABLE = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".exr")
_READ_ONLY = (".heic", ".heif", ".avif")
_JPEG = (".jfif", ".jpe", ".mpo")  # other suffixes of JPEG
_READABLE = (*_WRITABLE, *_READ_ONLY, *_JPEG)
_LAYERED = (".ora", ".psd", ".psb")
_UNREADABLE = (".bmp", ".gif", ".jp2", ".jxl", ".kra", ".tga", ".xcf")


def find_jobs(folder: Path) -> list[Job]:
    """Return a job for every picture and every layered file in the folder, by name; subfolders are ignored.

    The mask of `name.jpg` is `name_mask.png`, with any suffix. The output keeps the name. A format that cannot be
    written becomes .png, .psd becomes .ora, and JPEG's other suffixes .jpg. Pictures in a format that cannot be read,
    and masks without a picture, become jobs that fail. Raises InputError if there are no jobs.
    """
    try:
        files = sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.is_file())
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror}.", "Check its permissions.") from error
    pictures = [path for path in files if path.suffix.lower() in _READABLE]
    masks = [path for path in pictures if path.stem.endswith(MASK)]
    composites = [path for path in pictures if not path.stem.endswith(MASK)]
    jobs = [_pair_with_mask(path, [mask for mask in masks if mask.stem == path.stem + MASK]) for path in composites]
    named = {path.stem + MASK for path in composites}
    for path in files:
        if path.suffix.lower() in _LAYERED:
            own = [mask for mask in masks if mask.stem == path.stem + MASK and mask.stem not in named]
            # A Photoshop file may have no layers.
            jobs.append(_pair_with_mask(path, own) if own else Job(output=f"{path.stem}.ora", composite=path))
            named |= {mask.stem for mask in own}
    unreadable = [path for path in files if path.suffix.lower() in _UNREADABLE]
    jobs += [_report_unreadable(path) for path in unreadable]
    named |= {path.stem + MASK for path in unreadable}
    jobs += [_report_orphan(mask) for mask in masks if mask.stem not in named]
    if not jobs:
        raise InputError(
            f"{folder} contains no pictures to harmonize.",
            "Put name.jpg and name_mask.png in it, or layered files, or pass a CSV file.",
        )
    return sorted(jobs, key=lambda job: job.output)


def _pair_with_mask(composite: Path, masks: list[Path]) -> Job:
    suffix = composite.suffix.lower()
    output = composite.name if suffix in _WRITABLE else f"{composite.stem}{'.jpg' if suffix in _JPEG else '.png'}"
    if len(masks) == 1:
        return Job(output=output, composite=composite, mask=masks[0])
    if masks:
        names = " and ".join(mask.name for mask in masks)
        trouble = PictureError(f"{composite} has more than one mask: {names}.", "Keep only one of them.")
    else:
        trouble = PictureError(f"{composite} has no mask.", f"Put {composite.stem}{MASK}.png beside it.")
    return Job(output=output, composite=composite, trouble=trouble)


def _report_unreadable(path: Path) -> Job:
    hint = "Save it as JPEG, PNG, TIFF, WebP, AVIF or OpenEXR."
    return Job(output=path.name, composite=path, trouble=PictureError(f"{path} has an unsupported file format.", hint))


def _report_orphan(mask: Path) -> Job:
    name = mask.stem.removesuffix(MASK)
    trouble = PictureError(f"{mask} is a mask without a picture.", f"Put {name}.jpg or similar beside it.")
    return Job(output=mask.name, mask=mask, trouble=trouble)
