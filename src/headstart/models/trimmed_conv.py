"""Convolutions that leave out what only padding sees; the same function, for small pictures in less time."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class TrimmedConv2d(nn.Conv2d):
    """A convolution without the taps of its kernel that meet nothing but padding.

    ResNet18's last three convolutions see a single pixel of a 32 px picture: 8 of their 9 taps multiply zeros, which
    is half of the time of a training step on a CPU. Parameters, their names and their gradients are those of Conv2d;
    the gradient of a tap that is left out is zero there too.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return what `Conv2d` returns for [N, C, H, W], up to the order in which sums are rounded."""
        axes = zip(input.shape[-2:], self.kernel_size, self.stride, self.padding, strict=True)
        taps = [_reached(*axis) for axis in axes]
        if None in taps or taps == [(0, size) for size in self.kernel_size]:
            return self._convolve(input, self.weight, self.padding)
        (top, rows), (left, columns) = taps
        weight = self.weight[:, :, top : top + rows, left : left + columns]
        padding = tuple(p - first for p, first in zip(self.padding, (top, left), strict=True))
        return self._convolve(input, weight, padding)

    def _convolve(self, input: Tensor, weight: Tensor, padding: tuple[int, int]) -> Tensor:
        if self._is_small_depthwise(input, weight):
            return _SmallDepthwise.apply(input, weight, self.bias, self.stride, padding)
        return functional.conv2d(input, weight, self.bias, self.stride, padding, 1, self.groups)

    def _is_small_depthwise(self, input: Tensor, weight: Tensor) -> bool:
        """Whether its weight learns, on a CPU in float32, from maps that its kernel exceeds, channel by channel."""
        learns = torch.is_grad_enabled() and weight.requires_grad and not torch.compiler.is_compiling()
        exact = input.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
        plain = input.dim() == 4 and input.device.type == "cpu" and exact
        alone = 1 < self.groups == self.in_channels == self.out_channels
        return learns and plain and alone and all(k > n for k, n in zip(weight.shape[2:], input.shape[2:], strict=True))


class _SmallDepthwise(torch.autograd.Function):
    """A depthwise convolution of maps smaller than its kernel, whose weight's gradient is a matrix product a channel.

    oneDNN has a fast one for kernels of 3 x 3 on maps no smaller, and takes 3 to 5 times as long as this for others:
    a tenth of a training step of EfficientNet-Lite0 at 64 px.
    """

    @staticmethod
    def forward(ctx: Any, input: Tensor, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any) -> Tensor:
        """Return what `conv2d` returns."""
        ctx.save_for_backward(input, weight)
        ctx.stride, ctx.padding = stride, padding
        return functional.conv2d(input, weight, bias, stride, padding, 1, len(weight))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of input, weight and bias."""
        input, weight = ctx.saved_tensors
        arguments = (None, ctx.stride, ctx.padding, (1, 1), False, (0, 0), len(weight))
        only_input = (ctx.needs_input_grad[0], False, False)  # asked for the bias's, torch computes the weight's, too
        of_input = torch.ops.aten.convolution_backward(gradient, input, weight, *arguments, only_input)[0]
        of_weight = _weight_gradient(input, gradient, weight.shape[2:], ctx.stride, ctx.padding)
        of_bias = gradient.sum((0, 2, 3)) if ctx.needs_input_grad[2] else None
        return of_input, of_weight, of_bias, None, None


def _weight_gradient(input: Tensor, gradient: Tensor, kernel: Any, stride: Any, padding: Any) -> Tensor:
    """Gradient [C, 1, h, w] of a depthwise kernel: what each place of the output has to do with each of the input."""
    channels, (top, left) = input.shape[1], padding
    pairs = torch.bmm(_by_channel(gradient), _by_channel(input).transpose(1, 2))
    pairs = pairs.view(channels, *gradient.shape[2:], *input.shape[2:])
    pairs = functional.pad(pairs, (left, left, top, top))
    channel, down, right, below, beside = pairs.stride()
    # For each tap all pairs at its distance.
    strides = (channel, below, beside, down + stride[0] * below, right + stride[1] * beside)
    return pairs.as_strided((channels, *kernel, *gradient.shape[2:]), strides).sum((3, 4))[:, None]


def _by_channel(maps: Tensor) -> Tensor:
    """[N, C, H, W] as [C, H * W, N], pictures side by side."""
    number, channels, height, width = maps.shape
    rows = maps.permute(0, 2, 3, 1).reshape(number, -1).t().contiguous()
    return rows.view(height * width, channels, number).transpose(0, 1)


def _reached(size: int, kernel: int, stride: int, padding: int) -> tuple[int, int] | None:
    """Return first and number of the taps that meet a pixel, None where Conv2d has to do all of it."""
    if padding >= kernel:  # some steps meet no pixel at all
        return None
    steps = (size + 2 * padding - kernel) // stride + 1
    first = max(0, padding - (steps - 1) * stride)
    count = min(kernel, padding + size) - first
    # What is left out below must not change the number of steps, with the padding that is left above on both sides.
    same = (size + 2 * (padding - first) - count) // stride + 1 == steps
    return (first, count) if same else None


def trim(network: nn.Module) -> None:
    """Make every plain padded convolution of `network` a `TrimmedConv2d`, in place."""
    for module in network.modules():
        if type(module) is nn.Conv2d and _is_plain(module):
            module.__class__ = TrimmedConv2d


def _is_plain(module: nn.Conv2d) -> bool:
    if module.padding_mode != "zeros" or module.dilation != (1, 1) or isinstance(module.padding, str):
        return False
    return any(module.padding)
