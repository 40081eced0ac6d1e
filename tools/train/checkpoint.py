"""Saving a model: `state.pt` to go on training, `weights.f32` + `weights.json` for the exporter.

The weights file is every tensor in order, little-endian float32; the JSON names each with its shape. Both are
written beside the old ones and renamed, so a reader never sees half a checkpoint.
"""

import json
import os

import torch

from model import Model, Shape


def save(directory, model, step, loss, optimizer_state=None):
    os.makedirs(directory, exist_ok=True)
    tensors = [(n, t.detach().float().contiguous()) for n, t in model.state_dict().items()]
    listing = {"shape": model.s.as_dict(), "step": step, "loss": loss, "tensors": [[n, list(t.shape)] for n, t in tensors]}
    _replace(directory, "weights.f32", b"".join(t.numpy().tobytes() for _, t in tensors))
    _replace(directory, "weights.json", json.dumps(listing).encode())
    state = {"shape": model.s.as_dict(), "step": step, "model": model.state_dict(), "optimizer": optimizer_state}
    temporary = os.path.join(directory, "state.pt.new")
    torch.save(state, temporary)
    os.replace(temporary, os.path.join(directory, "state.pt"))


def load(directory):
    state = torch.load(os.path.join(directory, "state.pt"))
    model = Model(Shape(**state["shape"]))
    model.load_state_dict(state["model"])
    return model, state


def _replace(directory, name, data):
    path = os.path.join(directory, name)
    with open(path + ".new", "wb") as f:
        f.write(data)
    os.replace(path + ".new", path)
