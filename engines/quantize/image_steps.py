"""How an image becomes a row, as one line says it: `resize 224 bilinear, rgb, /255, mean .485 .456 .406, std ...`.

The steps, in the order they are written:
`resize 224 bilinear`, `resize 320x240 bicubic`: to this width and height, stretched
`resize short 256 bilinear`: the shorter side, in proportion
`crop 224`, `crop 320x240`: the middle
`rgb`, `bgr`, `gray`: the channels; rgb where none is named
`/255`: divides
`mean .485 .456 .406`, `std .229 .224 .225`: subtracted, divided by; one number, or one for each channel
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from engines.engine import Array
from engines.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

_FILTERS = ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming")
_MODES = {"rgb": "RGB", "bgr": "RGB", "gray": "L"}

OnImage = Callable[["Image"], "Image"]
OnValues = Callable[[Array], Array]


@dataclass(slots=True)
class Steps:
    """A line that was understood."""

    channels: str = "rgb"
    on_image: list[OnImage] = field(default_factory=list)
    on_values: list[OnValues] = field(default_factory=list)

    def apply(self, image: "Image") -> Array:
        """[height, width, channels] in float32, before any arithmetic whole numbers 0 to 255."""
        image = image.convert(_MODES[self.channels])
        for change in self.on_image:
            image = change(image)
        values = np.asarray(image, np.float32)
        values = values[:, :, np.newaxis] if values.ndim == 2 else values
        values = values[:, :, ::-1] if self.channels == "bgr" else values
        for step in self.on_values:
            values = step(values)
        return values


def read_steps(line: str) -> Steps:
    """Raises DataError, naming the step that is not understood."""
    steps = Steps()
    channels = [word for word in map(str.strip, line.split(",")) if word in _MODES]
    if len(channels) > 1:
        raise DataError(f"the image line names {' and '.join(channels)}; only one of {', '.join(_MODES)} can be")
    steps.channels = channels[0] if channels else "rgb"
    for text in map(str.strip, line.split(",")):
        if text in _MODES:
            continue
        try:
            _read_step(text, steps)
        except (ValueError, IndexError, KeyError):
            raise DataError(
                f"the image step {text!r} is not understood; there are 'resize 224 bilinear', 'resize short 256', "
                "'crop 224', 'rgb', 'bgr', 'gray', '/255', 'mean .485 .456 .406' and 'std .229 .224 .225', "
                "with commas between"
            ) from None
    return steps


def _read_step(text: str, steps: Steps) -> None:
    if text.startswith("/"):
        steps.on_values.append(_divide([float(text[1:])]))
        return
    word, *rest = text.split()
    if word == "mean":
        steps.on_values.append(_subtract(_numbers(rest, steps.channels)))
    elif word == "std":
        steps.on_values.append(_divide(_numbers(rest, steps.channels)))
    elif word == "crop":
        (size,) = rest
        steps.on_image.append(_crop(*_size(size)))
    elif word == "resize":
        steps.on_image.append(_resize(rest))
    else:
        raise ValueError


def _numbers(words: list[str], channels: str) -> list[float]:
    numbers = [float(word) for word in words]
    if len(numbers) not in (1, 1 if channels == "gray" else 3):
        raise ValueError
    return numbers


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    size = int(width), int(height or width)
    if min(size) < 1:
        raise ValueError
    return size


def _divide(numbers: list[float]) -> OnValues:
    divisor = np.array(numbers, np.float32)
    if not divisor.all():
        raise ValueError
    return lambda values: values / divisor


def _subtract(numbers: list[float]) -> OnValues:
    return lambda values: values - np.array(numbers, np.float32)


def _crop(width: int, height: int) -> OnImage:
    def crop(image: "Image") -> "Image":
        if image.width < width or image.height < height:
            raise DataError(f"an image of {image.width}x{image.height} has no {width}x{height} to crop; resize first")
        left, top = (image.width - width) // 2, (image.height - height) // 2
        return image.crop((left, top, left + width, top + height))

    return crop


def _resize(words: list[str]) -> OnImage:
    """Of `[short] SIZE [FILTER]`."""
    from PIL.Image import Resampling

    is_short = words[0] == "short"
    size, *names = words[is_short:]
    (name,) = names or ["bilinear"]
    if name not in _FILTERS:
        raise ValueError
    wanted = _size(size)

    def resize(image: "Image") -> "Image":
        target = _short(image, wanted[0]) if is_short else wanted
        return image.resize(target, Resampling[name.upper()])

    return resize


def _short(image: "Image", side: int) -> tuple[int, int]:
    factor = side / min(image.width, image.height)
    return round(image.width * factor), round(image.height * factor)
