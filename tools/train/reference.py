"""Stage 5b: what PyTorch says. `/usr/bin/python3 tools/train/reference.py --from DIR --prompts FILE --to FILE`

Greedy continuations of the proof's prompts by the model as trained, without any cache: every token is a full forward
pass, so nothing an engine could share with this is shared. Also records by how much the best token led at the
closest call, which says how much rounding a prompt can bear.
"""

import argparse
import json

import fast_blas  # noqa: F401  (must come before torch)
import torch

import checkpoint

END = 1
MAXIMUM_TOKENS = 64


@torch.no_grad()
def greedy(model, ids):
    out, closest = [], float("inf")
    while len(out) < MAXIMUM_TOKENS:
        logits = model(torch.tensor([ids + out]))[0, -1]
        best = logits.topk(2)
        closest = min(closest, float(best.values[0] - best.values[1]))
        token = int(best.indices[0])
        out.append(token)
        if token == END:
            break
    return out, closest


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--from", dest="source", default="/tmp/sluice-train/run")
    p.add_argument("--prompts", default="/tmp/sluice-train/prompts.json")
    p.add_argument("--to", required=True)
    args = p.parse_args()
    torch.set_num_threads(1)
    model, state = checkpoint.load(args.source)
    model.eval()
    with open(args.prompts, encoding="utf-8") as f:
        prompts = json.load(f)
    lines = []
    for prompt in prompts:
        tokens, closest = greedy(model, prompt["ids"])
        record = {"text": prompt["text"], "ids": prompt["ids"], "greedy": tokens, "lead": round(closest, 3)}
        lines.append(json.dumps(record, ensure_ascii=False, separators=(",", ":")))
    with open(args.to, "w", encoding="utf-8") as f:
        f.write(f'{{"step":{state["step"]},"maximumTokens":{MAXIMUM_TOKENS},"prompts":[\n' + ",\n".join(lines) + "\n]}\n")
    print(f"{len(prompts)} prompts, {sum(len(json.loads(line)['greedy']) for line in lines)} tokens")


if __name__ == "__main__":
    main()
