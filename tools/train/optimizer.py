"""The optimizer: Muon for the matrices inside the blocks, AdamW for everything else.

Muon replaces the momentum of a matrix by the nearest orthogonal one (five Newton-Schulz steps), which needs fewer
tokens here than AdamW alone. Embedding, head, router and norms are not such matrices and keep AdamW. One learning
rate drives both: Muon's update is scaled to the size AdamW's would have.
"""

import torch


def orthogonal(g):
    """Newton-Schulz for a matrix or a stack of matrices."""
    x = g / (g.flatten(-2).norm(dim=-1)[..., None, None] + 1e-7)
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.transpose(-1, -2)
    for _ in range(5):
        a = x @ x.transpose(-1, -2)
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x.transpose(-1, -2) if tall else x


class Optimizer:
    def __init__(self, model, weight_decay):
        is_matrix = lambda n, p: p.dim() >= 2 and n.startswith("blocks") and not n.endswith("router")
        named = list(model.named_parameters())
        self.matrices = [p for n, p in named if is_matrix(n, p)]
        self.momentum = [torch.zeros_like(p) for p in self.matrices]
        self.adam = torch.optim.AdamW([p for n, p in named if not is_matrix(n, p)], lr=0.0, betas=(0.9, 0.98), weight_decay=0.0)
        self.weight_decay = weight_decay

    @torch.no_grad()
    def step(self, rate, rank, updates, barrier):
        """`updates` is shared: each process orthogonalises every second matrix, then all apply all of them."""
        for group in self.adam.param_groups:
            group["lr"] = rate
        self.adam.step()
        slots = updates.split([p.numel() for p in self.matrices])
        for i, (p, m, slot) in enumerate(zip(self.matrices, self.momentum, slots)):
            m.mul_(0.95).add_(p.grad, alpha=0.05)
            if i % 2 == rank:
                slot.copy_(orthogonal(p.grad * 0.05 + m * 0.95).flatten())
        barrier.wait()
        for p, slot in zip(self.matrices, slots):
            p.mul_(1 - rate * self.weight_decay)
            p.add_(slot.view_as(p), alpha=-rate * 0.2 * max(p.shape[-2:]) ** 0.5)

    def state(self):
        return {"momentum": self.momentum, "adam": self.adam.state_dict()}

    def load(self, state):
        self.momentum = state["momentum"]
        self.adam.load_state_dict(state["adam"])
