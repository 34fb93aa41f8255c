"""3x3 convolution on the CPU with a quarter of the multiplications: Winograd's minimal filtering F(4x4, 3x3).

A 4x4 tile of the output is A' [(G w G') * (B' x B)] A of the 6x6 tile x of the input under it, where ' transposes and *
multiplies element by element (Lavin and Gray, 2016, from the points 0, 1, -1, 2, -2 and infinity). The product, summed
over channels, is 36 matrix products for 16 pixels instead of 9 for each. Rounding errors are about 1e-5 of the largest
output, ten times those of a direct convolution and a hundredth of bfloat16's.

Shape suffixes: B batch, C input and D output channels, H and W pixels, T tiles of 4x4 pixels. Maps are channels last.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

_TILE, _WINDOW = 4, 6
#: Most bytes of windows that are transformed at once: what follows finds them in the cache.
_CHUNK_BYTES = 24 * 2**20
#: Below these numbers transforming takes longer than is saved.
_LEAST_CHANNELS, _LEAST_TILES = 96, 64

_INPUT = torch.tensor(
    [
        [4.0, 0.0, -5.0, 0.0, 1.0, 0.0],
        [0.0, -4.0, -4.0, 1.0, 1.0, 0.0],
        [0.0, 4.0, -4.0, -1.0, 1.0, 0.0],
        [0.0, -2.0, -1.0, 2.0, 1.0, 0.0],
        [0.0, 2.0, -1.0, -2.0, 1.0, 0.0],
        [0.0, 4.0, 0.0, -5.0, 0.0, 1.0],
    ]
)
_OUTPUT = torch.tensor(
    [
        [1.0, 1.0, 1.0, 1.0, 1.0, 0.0],
        [0.0, 1.0, -1.0, 2.0, -2.0, 0.0],
        [0.0, 1.0, 1.0, 4.0, 4.0, 0.0],
        [0.0, 1.0, -1.0, 8.0, -8.0, 1.0],
    ]
)
_WEIGHT = torch.tensor([[6.0, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24
# The two-dimensional transforms, of flattened windows (36), tiles (16) and kernels (9).
_INPUT_36x36, _OUTPUT_16x36, _WEIGHT_36x9 = (torch.kron(m, m).contiguous() for m in (_INPUT, _OUTPUT, _WEIGHT))
_FLIPPED_36x9 = _WEIGHT_36x9.flip(1).contiguous()


def pays(maps_BCHW: Tensor, weight_DC33: Tensor) -> bool:
    """Whether a 3x3 convolution of the maps with padding 1 is worth its transforms: large float32 maps with many
    channels on a CPU."""
    batch, _, height, width = maps_BCHW.shape
    if maps_BCHW.device.type != "cpu" or maps_BCHW.dtype != torch.float32 or weight_DC33.shape[2:] != (3, 3):
        return False
    if height % _TILE or width % _TILE or batch * height * width < _LEAST_TILES * _TILE**2:
        return False
    return min(weight_DC33.shape[:2]) >= _LEAST_CHANNELS


def convolve(x_BCHW: Tensor, weight_DC33: Tensor, *, transposed: bool = False) -> Tensor:
    """The convolution of maps whose sides are multiples of 4, with padding 1: float32 [B, D, H, W].

    Args:
        x_BCHW: maps; with `transposed` of D channels.
        weight_DC33: kernels.
        transposed: give the transpose of the convolution instead, [B, C, H, W]: the gradient with respect to its input
            of a gradient with respect to its output. It is the convolution with kernels turned around and channels
            exchanged.
    """
    batch, _, height, width = x_BCHW.shape
    kernels_D9C = weight_DC33.permute(0, 2, 3, 1).reshape(weight_DC33.shape[0], 9, -1)
    kernels_D36C = (_FLIPPED_36x9 if transposed else _WEIGHT_36x9) @ kernels_D9C
    kernels_36CD = kernels_D36C.permute(1, 0, 2) if transposed else kernels_D36C.permute(1, 2, 0)
    y_BDHW = torch.empty(batch, kernels_36CD.shape[2], height, width, memory_format=torch.channels_last)
    x_BHWC, y_BHWD = x_BCHW.permute(0, 2, 3, 1), y_BDHW.permute(0, 2, 3, 1)
    for images, rows in _chunks(x_BHWC):
        windows_36TC = _windows(x_BHWC, images, rows)
        products_36TD = torch.bmm(windows_36TC, kernels_36CD)
        tiles_16N = _OUTPUT_16x36 @ products_36TD.view(_WINDOW**2, -1)
        tiles_BHWD44 = _tiles(y_BHWD[images, rows])
        tiles_BHWD44.copy_(tiles_16N.view(_TILE, _TILE, *tiles_BHWD44.shape[:4]).permute(2, 3, 4, 5, 0, 1))
    return y_BDHW


def correlate(x_BCHW: Tensor, gradient_BDHW: Tensor) -> Tensor:
    """The convolution's gradient with respect to its weight, float32 [D, C, 3, 3], channels last.

    Args:
        x_BCHW: the maps that were convolved.
        gradient_BDHW: the gradient with respect to the result.
    """
    channels, out_channels = x_BCHW.shape[1], gradient_BDHW.shape[1]
    x_BHWC, gradient_BHWD = x_BCHW.permute(0, 2, 3, 1), gradient_BDHW.permute(0, 2, 3, 1)
    sums_36DC = x_BCHW.new_zeros(_WINDOW**2, out_channels, channels)
    for images, rows in _chunks(x_BHWC):
        tiles_16N = _tiles(gradient_BHWD[images, rows]).permute(4, 5, 0, 1, 2, 3).reshape(_TILE**2, -1)
        spread_36TD = (_OUTPUT_16x36.T @ tiles_16N).view(_WINDOW**2, -1, out_channels)
        sums_36DC.baddbmm_(spread_36TD.transpose(1, 2), _windows(x_BHWC, images, rows))
    kernels_D9C = _WEIGHT_36x9.T @ sums_36DC.transpose(0, 1)
    return kernels_D9C.view(out_channels, 3, 3, channels).permute(0, 3, 1, 2)


def _tiles(y_BHWD: Tensor) -> Tensor:
    """A view of the 4x4 tiles: [B, H / 4, W / 4, D, 4, 4]."""
    return y_BHWD.unfold(1, _TILE, _TILE).unfold(2, _TILE, _TILE)


def _windows(x_BHWC: Tensor, images: slice, rows: slice) -> Tensor:
    """The transformed 6x6 windows of some images' rows, zeros beyond the borders: [36, T, C]."""
    first, last = max(rows.start - 1, 0), min(rows.stop + 1, x_BHWC.shape[1])
    part_BHWC = x_BHWC[images, first:last]
    batch, _, width, channels = part_BHWC.shape
    padded_BHWC = x_BHWC.new_zeros(batch, rows.stop - rows.start + 2, width + 2, channels)
    offset = first - (rows.start - 1)
    padded_BHWC[:, offset : offset + last - first, 1:-1] = part_BHWC
    windows = padded_BHWC.unfold(1, _WINDOW, _TILE).unfold(2, _WINDOW, _TILE)
    windows_36N = windows.permute(4, 5, 0, 1, 2, 3).reshape(_WINDOW**2, -1)
    return (_INPUT_36x36 @ windows_36N).view(_WINDOW**2, -1, channels)


def _chunks(x_BHWC: Tensor) -> Iterator[tuple[slice, slice]]:
    """Images and rows whose windows fit `_CHUNK_BYTES`: several whole images, or a band of one."""
    batch, height, width, channels = x_BHWC.shape
    row_bytes = _WINDOW**2 * (width // _TILE) * channels * 4
    bands = max(1, _CHUNK_BYTES // row_bytes)
    images = max(1, bands * _TILE // height)
    step = min(height, bands * _TILE)
    for image in range(0, batch, images):
        for row in range(0, height, step):
            yield slice(image, min(image + images, batch)), slice(row, min(row + step, height))
