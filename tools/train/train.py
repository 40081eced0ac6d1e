"""Stage 2: training. `/usr/bin/python3 tools/train/train.py --data DIR --out DIR [--minutes M] [--resume]`

Two one-thread processes hold the same model; each takes half of a batch, gradients meet in shared memory and both
make the same step (so they stay equal without ever exchanging weights). The learning rate follows the clock, not the
step count: a busy machine makes fewer steps, never a run that ends too hot.
"""

import argparse
import math
import time

import fast_blas  # noqa: F401  (must come before torch)
import numpy
import torch
import torch.multiprocessing as processes
from torch.nn import functional as F

import checkpoint
from model import Model, Shape
from optimizer import Optimizer

ROW_LENGTHS = (256, 512)
PROCESSES = 2


def batches(data, rank, tokens_per_process, seed):
    """Batches of one row length each, shuffled; the same lengths in the same order in both processes, other rows."""
    kinds = []
    for length in ROW_LENGTHS:
        tokens = numpy.memmap(f"{data}/tokens-{length}.u16", dtype=numpy.uint16, mode="r").reshape(-1, length)
        loss = numpy.memmap(f"{data}/loss-{length}.u8", dtype=numpy.uint8, mode="r").reshape(-1, length)
        kinds.append((tokens, loss, tokens_per_process // length))
    epoch = 0
    while True:
        dice = numpy.random.default_rng(seed + epoch)
        plan = []
        for kind, (tokens, _, rows) in enumerate(kinds):
            order = dice.permutation(len(tokens))
            groups = len(order) // (rows * PROCESSES)
            plan += [(kind, g) for g in order[: groups * rows * PROCESSES].reshape(groups, PROCESSES, rows)]
        for i in dice.permutation(len(plan)):
            kind, groups = plan[i]
            pick = numpy.sort(groups[rank])
            tokens, loss, _ = kinds[kind]
            yield torch.from_numpy(tokens[pick].astype(numpy.int64)), torch.from_numpy(loss[pick].astype(numpy.float32))
        epoch += 1


def rate_at(progress, warm_up, peak, floor):
    if progress < warm_up:
        return peak * progress / warm_up
    along = (progress - warm_up) / (1 - warm_up)
    return floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, along)))


def run(rank, args, shared, updates, barrier, clock):
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    if args.resume:
        model, state = checkpoint.load(args.resume)
    else:
        model, state = Model(Shape(vocab=args.vocab)), None
    optimizer = Optimizer(model, args.weight_decay)
    if state and state["optimizer"]:
        optimizer.load(state["optimizer"])
    parameters = list(model.parameters())
    step = state["step"] if state else 0
    if rank == 0:
        print(f"{sum(p.numel() for p in parameters)} parameters, from step {step}", flush=True)
    mean_loss = last_save = None
    for ids, wanted in batches(args.data, rank, args.tokens // PROCESSES, args.seed + step):
        if rank == 0:
            clock[0] = (time.time() - args.started) / (args.minutes * 60)
        barrier.wait()
        progress = float(clock[0])
        if progress >= 1 or (args.steps and step >= args.steps):
            break
        hidden = model.hidden(ids[:, :-1])
        weights = wanted[:, 1:]
        target = weights > 0
        losses = F.cross_entropy(model.head(hidden[target]), ids[:, 1:][target], reduction="none")
        loss = (losses * weights[target]).sum() / weights.sum()
        model.zero_grad(set_to_none=True)
        loss.backward()
        flat = torch.cat([p.grad.flatten() for p in parameters] + [e.load for e in model.experts()] + [loss.detach().view(1)])
        shared[rank].copy_(flat)
        barrier.wait()
        flat = shared.mean(0)
        at = 0
        for p in parameters:
            p.grad = flat[at : at + p.numel()].view_as(p)
            at += p.numel()
        norm = float(flat[:at].norm())
        if norm > 1:
            flat[:at] /= norm
        peak_load = 0.0
        for e in model.experts():
            load = flat[at : at + e.s.experts]
            peak_load = max(peak_load, float(load.max() / load.sum()))
            e.balance(load, args.balance * (1 - progress))
            e.load.zero_()
            at += e.s.experts
        value = float(flat[-1])
        mean_loss = value if mean_loss is None else 0.95 * mean_loss + 0.05 * value
        optimizer.step(rate_at(progress, args.warm_up, args.rate, args.rate * args.floor), rank, updates, barrier)
        step += 1
        if rank == 0 and (step % 25 == 0 or step < 4):
            seconds = time.time() - args.started
            print(f"step {step} {seconds:.0f} s loss {value:.4f} mean {mean_loss:.4f} norm {norm:.2f} load {peak_load:.2f}", flush=True)
            if last_save is None or seconds - last_save > 120:
                checkpoint.save(args.out, model, step, mean_loss, optimizer.state())
                last_save = seconds
    if rank == 0:
        checkpoint.save(args.out, model, step, mean_loss, optimizer.state())
        print(f"done at step {step}, {time.time() - args.started:.0f} s, mean loss {mean_loss}", flush=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--data", default="/tmp/sluice-train/data")
    p.add_argument("--out", default="/tmp/sluice-train/run")
    p.add_argument("--resume", help="a directory with state.pt to go on from")
    p.add_argument("--minutes", type=float, default=25)
    p.add_argument("--steps", type=int, default=0, help="stop after so many steps (0: only the clock stops it)")
    p.add_argument("--tokens", type=int, default=6144, help="tokens per step, both processes together")
    p.add_argument("--rate", type=float, default=4e-3)
    p.add_argument("--floor", type=float, default=0.02, help="last learning rate as a share of the peak")
    p.add_argument("--warm-up", type=float, default=0.03)
    p.add_argument("--balance", type=float, default=0.004)
    p.add_argument("--weight-decay", type=float, default=0.02)
    p.add_argument("--vocab", type=int, default=1024)
    p.add_argument("--seed", type=int, default=1)
    args = p.parse_args()
    args.started = time.time()
    sizes = Model(Shape(vocab=args.vocab))
    numbers = sum(p.numel() for p in sizes.parameters()) + sum(e.s.experts for e in sizes.experts()) + 1
    shared = torch.zeros(PROCESSES, numbers).share_memory_()
    updates = torch.zeros(sum(p.numel() for p in Optimizer(sizes, 0).matrices)).share_memory_()
    clock = torch.zeros(1).share_memory_()
    barrier = processes.get_context("spawn").Barrier(PROCESSES)
    processes.spawn(run, (args, shared, updates, barrier, clock), nprocs=PROCESSES)


if __name__ == "__main__":
    main()
