"""Cells for the tests of programs: what users write, each in a few lines."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

import stepscan as ss


class Plain(ss.Recurrence):
    """A cell whose state has leaves of the sizes `sizes`; `build` makes its weights."""

    leaves = 1

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.input_size = input_size
        self.output_size = self.h = hidden_size
        self.build(input_size, hidden_size)

    def build(self, i, h):
        self.into = nn.Linear(i + h, h)

    def sizes(self):
        return [self.h] * self.leaves

    def initial_state(self, batch_size, *, device=None, dtype=None):
        zeros = tuple(self.zeros(batch_size, size, device, dtype) for size in self.sizes())
        return zeros if len(zeros) > 1 else zeros[0]


class Leaky(Plain):
    def step(self, x, h):
        h = 0.9 * h + 0.1 * torch.tanh(self.into(torch.cat([x, h], dim=1)))
        return h, h


class CoupledPeephole(Plain):
    leaves = 2

    def build(self, i, h):
        self.into = nn.Linear(i + h, 3 * h)
        self.seen = nn.Parameter(torch.randn(2, h) * 0.1)

    def step(self, x, state):
        h, c = state
        f, g, o = self.into(torch.cat([x, h], 1)).split(self.h, 1)
        f = torch.sigmoid(f + self.seen[0] * c)
        c = f * c + (1 - f) * torch.tanh(g)
        h = torch.sigmoid(o + self.seen[1] * c) * torch.tanh(c)
        return h, (h, c)


class NormedLSTM(Plain):
    leaves = 2

    def build(self, i, h):
        self.ih, self.hh = nn.Linear(i, 4 * h, bias=False), nn.Linear(h, 4 * h, bias=False)
        self.ni, self.nh, self.nc = nn.LayerNorm(4 * h, bias=False), nn.LayerNorm(4 * h), nn.RMSNorm(h)

    def step(self, x, state):
        h, c = state
        i, f, g, o = (self.ni(self.ih(x)) + self.nh(self.hh(h))).chunk(4, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(self.nc(c))
        return h, (h, c)


class Griffin(Plain):
    def build(self, i, h):
        self.r, self.i, self.u = nn.Linear(i, h), nn.Linear(i, h), nn.Linear(i, h, bias=False)
        self.rate = nn.Parameter(torch.linspace(0.3, 2, h))

    def step(self, x, h):
        log_a = -8 * F.softplus(self.rate) * torch.sigmoid(self.r(x))
        kept = torch.sqrt(-torch.expm1(2 * log_a) + 1e-6)
        h = torch.exp(log_a) * h + kept * (torch.sigmoid(self.i(x)) * self.u(x))
        return h, h


class ResetBefore(Plain):
    def build(self, i, h):
        self.ih, self.hg, self.hn = nn.Linear(i, 3 * h), nn.Linear(h, 2 * h), nn.Linear(h, h)

    def step(self, x, h):
        r, z, n = self.ih(x).chunk(3, 1)
        hr, hz = self.hg(h).chunk(2, 1)
        r, z = torch.sigmoid(r + hr), torch.sigmoid(z + hz)
        h = torch.lerp(torch.tanh(n + self.hn(r * h)), h, z)
        return h, h


class Projected(Plain):
    def build(self, i, h):
        self.ih, self.hh = nn.Linear(i, 8 * h), nn.Linear(h, 8 * h)
        self.out = nn.Linear(2 * h, h, bias=False)

    def sizes(self):
        return [self.h, 2 * self.h]

    def step(self, x, state):
        h, c = state
        i, f, g, o = (self.ih(x) + self.hh(h)).chunk(4, dim=1)
        c = torch.addcmul(torch.sigmoid(f) * c, torch.sigmoid(i), torch.tanh(g))
        h = self.out(torch.sigmoid(o) * torch.tanh(c))
        return h, (h, c)


class Exponential(Plain):
    leaves = 4

    def build(self, i, h):
        self.ih, self.hh = nn.Linear(i, 4 * h), nn.Linear(h, 4 * h)

    def initial_state(self, batch_size, *, device=None, dtype=None):
        zeros = self.zeros(batch_size, self.h, device, dtype)
        return zeros, zeros, zeros + 1, zeros

    def step(self, x, state):
        h, c, n, m = state
        z, i, f, o = (self.ih(x) + self.hh(h)).chunk(4, dim=1)
        f = F.logsigmoid(f)
        new = torch.maximum(f + m, i)
        i, f = torch.exp(i - new), torch.exp(f + m - new)
        c, n = f * c + i * torch.tanh(z), f * n + i
        h = torch.sigmoid(o) * c / n
        return h, (h, c, n, new)


class Heads(Plain):
    """Two heads by einsum, two by matmul, and gates within a head."""

    def build(self, i, h):
        self.a = nn.Parameter(torch.randn(2, h // 2, h // 2) * 0.5)
        self.b = nn.Parameter(torch.randn(2, h // 2, h) * 0.5)
        self.u = nn.Linear(i, h)

    def step(self, x, h):
        blocks = h.view(-1, 2, self.h // 2)
        first = torch.einsum("bhd,hde->bhe", blocks, self.a).flatten(1)
        gate, second = (blocks.unsqueeze(2) @ self.b).squeeze(2).chunk(2, dim=-1)
        h = torch.tanh(first + self.u(x)) + torch.sigmoid(gate).flatten(1) * second.flatten(1)
        return h, h


class Outer(Plain):
    """A matrix as state, to which outer products are added, and a norm for each head."""

    def build(self, i, h):
        self.k, self.v, self.q = nn.Linear(i, 3), nn.Linear(i, h), nn.Linear(i, 3)

    def initial_state(self, batch_size, *, device=None, dtype=None):
        state = self.zeros(batch_size, self.h * 3, device, dtype).view(batch_size, self.h, 3)
        return self.zeros(batch_size, self.h, device, dtype), state, self.zeros(batch_size, 1, device, dtype)[:, 0]

    def step(self, x, state):
        _, matrix, count = state
        keys = F.normalize(self.k(x), dim=1)
        matrix = 0.9 * matrix + torch.einsum("bv,bk->bvk", self.v(x), keys)
        count = 0.9 * count + 1
        y = torch.einsum("bvk,bk->bv", matrix, F.softmax(self.q(x), dim=1)) / count[:, None]
        y = F.group_norm(y, 2)
        return y, (y, matrix, count)


class Shapes(Plain):
    """Moves elements about."""

    def build(self, i, h):
        self.w, self.m = nn.Parameter(torch.randn(i, h) * 0.5), nn.Parameter(torch.randn(h, h) * 0.5)

    def step(self, x, h):
        a = x @ self.w + torch.roll(h, 1, dims=1) * h[:, :1]
        pairs = torch.stack([a, h @ self.m.t()], dim=2).permute(0, 2, 1)
        a, b = pairs.unbind(1)
        c = torch.cat([torch.zeros(len(x), 1), a[:, 1:].flip(1)], dim=1)
        h = torch.tanh(c) + 0.1 * b.view(-1, 2, self.h // 2).sum(1).repeat(1, 2) - a.mean(-1, keepdim=True)
        return h, h


class Bounds(Plain):
    """Comparisons, clamps and activations."""

    def step(self, x, h):
        a = self.into(torch.cat([x, h], dim=1))
        b = torch.where((a > 0.1) & (h <= 0.5), F.silu(a), F.elu(a)) + a.abs().clamp(0.1, 0.9)
        b = b + torch.log1p(F.relu(a)) + F.gelu(a) + F.gelu(a, approximate="tanh") + F.leaky_relu(h) + F.hardtanh(a)
        b = b.masked_fill(a.lt(-0.5), 0.25) + torch.amax(a, 1, keepdim=True) * 0.1 + a.std(1, keepdim=True)
        h = torch.minimum(b, torch.tensor(1.0)) + a**2 * torch.log_softmax(a, 1) * 0.01 + F.softplus(a, beta=2) ** -1
        return torch.tanh(h), torch.tanh(h)


class Buffered(Plain):
    """Reads a buffer, and a weight with a weight norm."""

    def build(self, i, h):
        self.into = nn.utils.parametrizations.weight_norm(nn.Linear(i + h, h))
        self.register_buffer("scale", torch.linspace(0.5, 1, h))
        self.register_buffer("mask", torch.arange(h) % 2 == 0)

    def step(self, x, h):
        h = torch.where(self.mask, h, self.scale * torch.tanh(self.into(torch.cat([x, h], dim=1))))
        return h, h


class Stopped(Plain):
    """Gradients that end."""

    def step(self, x, h):
        new = torch.tanh(self.into(torch.cat([x, h.detach()], dim=1)))
        h = 0.5 * h + new
        return h, h


class Delay(Plain):
    """A state that is x itself, and an output that is an older one."""

    leaves = 2

    def build(self, i, h):
        self.gain = nn.Parameter(torch.randn(i))
        self.output_size = i

    def sizes(self):
        return [self.input_size, 2 * self.input_size]

    def step(self, x, state):
        _, past = state
        y = past[:, : self.input_size] * self.gain
        return y, (y, torch.cat([past[:, self.input_size :], x], 1))


class SharedWeight(Plain):
    """One weight in two products, one of which reads what the other makes, and as a vector."""

    def build(self, i, h):
        self.u, self.w = nn.Linear(i, h), nn.Parameter(torch.randn(h, h) * 0.3)

    def step(self, x, h):
        a = torch.tanh(self.u(x) + F.linear(h, self.w))
        h = torch.tanh(F.linear(a, self.w, self.w[0]) + self.w[1] * h + self.w.mean())
        return h, h


USERS_CELLS = [
    *(Leaky, CoupledPeephole, NormedLSTM, Griffin, ResetBefore, Projected, Exponential, Heads, Outer, Shapes, Bounds),
    *(Buffered, Stopped, Delay, SharedWeight),
]
