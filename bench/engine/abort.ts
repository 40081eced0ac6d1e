/** How long a slot stays taken after its caller has left: the engine alone, one slot, the next task waiting for it. */
import { openEngine } from "../../gpu-node/src/engines/open.ts";
import type { BenchModel } from "./model.ts";
import type { Device } from "./servers.ts";

const ROUNDS = 15;
const TOKENS_BEFORE_ABORT = 8;

/** Milliseconds from the abort to the next task's `started`, one per round. */
export async function abortFreeMs(model: BenchModel, device: Device): Promise<readonly number[]> {
  const engine = await openEngine({
    kind: "llama",
    model: "bench",
    weightsPath: model.path,
    slots: 1,
    gpu: device === "cpu" ? false : device,
    contextTokens: 512,
  });
  try {
    const prompt = await engine.encodeChat({
      messages: [{ role: "user", content: model.question }],
      thinking: false,
    });
    const task = {
      prompt,
      delivered: [],
      outputTokensMax: 400,
      sampling: { temperature: 0, topP: 1 },
      tag: "a",
    };
    const taken: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const caller = new AbortController();
      let tokens = 0;
      let leftAtMs = 0;
      try {
        for await (const event of engine.generate(task, caller.signal)) {
          if (event.kind === "tokens") tokens += event.tokens.length;
          if (tokens < TOKENS_BEFORE_ABORT) continue;
          leftAtMs = performance.now();
          caller.abort(new Error("left"));
        }
      } catch (error) {
        if (!caller.signal.aborted) throw error;
      }
      for await (const event of engine.generate(task, new AbortController().signal)) {
        if (event.kind !== "started") continue;
        taken.push(performance.now() - leftAtMs);
        break;
      }
    }
    return taken;
  } finally {
    await engine.close();
  }
}
