"""Pictures as a network wants them: float, normalised per channel and resized."""

import torch
import torch.nn.functional as F
from torch import Tensor


def normalise(
    images: Tensor,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    size: int | None = None,
    channels_last: bool = True,
) -> Tensor:
    """Turn pictures [N, H, W, 3] on the scale 0 .. 255 into the network's float32 [N, 3, H, W].

    (x / 255 - mean) / std per channel, and a bilinear antialiased resize to `size` x `size` when that differs.
    channels_last: memory format of the result, else contiguous.
    """
    n, height, width, channels = images.shape
    spread = torch.tensor(std, dtype=torch.float64)
    scale = (1 / (255 * spread)).float().repeat(width).to(images.device)
    shift = (-torch.tensor(mean, dtype=torch.float64) / spread).float().repeat(width).to(images.device)
    # Whole rows of width * 3 numbers instead of 3 channels as the last axis: the inner loop vectorises.
    rows = images.reshape(n, height, width * channels).float()
    result = torch.addcmul(shift, rows, scale).view(n, height, width, channels).permute(0, 3, 1, 2)
    if size is not None and (size, size) != (height, width):
        result = F.interpolate(result, (size, size), mode="bilinear", antialias=True, align_corners=False)
    return result.contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
