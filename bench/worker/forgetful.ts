/**
 * Sluice that forgets its nearer cached answers, so that each hit comes from the layer a header names
 * (`x-bench-layer: memory|colo|kv`). Only a bench builds this entry; nothing of it can be switched on in the real one.
 */
import { answerMemory } from "../../src/cache/memory.ts";
import type { Env } from "../../src/core/env.ts";
import worker from "../../src/index.ts";

export * from "../../src/index.ts";

const keep = answerMemory.put.bind(answerMemory);
const look = caches.default.match.bind(caches.default);

export default {
  ...worker,
  fetch(request: Request, env: Env, ctx: ExecutionContext): Response | Promise<Response> {
    const layer = request.headers.get("x-bench-layer") ?? "memory";
    const near = layer === "memory";
    if (!near) answerMemory.clear();
    answerMemory.put = near ? keep : () => undefined;
    caches.default.match = layer === "kv" ? () => Promise.resolve(undefined) : look;
    return worker.fetch(request, env, ctx);
  },
};
