"""Writes conv2d.txt beside this file: what PyTorch (2.15.0) makes of three small windows. All numbers are small integers, exact in f32.

    python conv2d.py        # needs torch

Unit i of the input fires if (7 i² + 3 i) mod 11 < 4; weight k is (37 k mod 23) − 11; the error of target j is (29 j mod 13) − 6.
A line is the window's name, what follows, and the numbers.
"""

import pathlib

import torch


def case(name, module, channels, height, width):
    x = torch.tensor([float((7 * i * i + 3 * i) % 11 < 4) for i in range(channels * height * width)])
    x = x.reshape(1, channels, height, width).requires_grad_()
    weights = list(module.parameters())
    with torch.no_grad():
        for w in weights:
            w.copy_(torch.tensor([float(37 * k % 23 - 11) for k in range(w.numel())]).reshape(w.shape))
    y = module(x)
    y.backward(torch.tensor([float(29 * j % 13 - 6) for j in range(y.numel())]).reshape(y.shape))
    line = lambda what, t: " ".join([name, what] + [f"{v:.0f}" for v in t.flatten().tolist()]) + "\n"
    return line("output", y.detach()) + (line("gradient", weights[0].grad) if weights else "") + line("back", x.grad)


conv = lambda *args, **more: torch.nn.Conv2d(*args, bias=False, **more)
pool = torch.nn.AvgPool2d((3, 2), stride=(2, 1), padding=(1, 1), divisor_override=1)
text = case("dilated", conv(2, 3, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2)), 2, 5, 6)
text += case("grouped", conv(4, 6, (2, 3), stride=(1, 2), padding=(0, 1), groups=2), 4, 4, 5)
text += case("pool", pool, 2, 5, 4)
pathlib.Path(__file__).with_name("conv2d.txt").write_text(text)
