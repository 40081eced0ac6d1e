/**
 * The Worker as it is, with a queue that behaves as badly as a queue may: messages come twice, late, out of order, or
 * never. Only chaos builds this entry; nothing of it can be switched on in the real one. It also reads every message for
 * text that was planted in prompts and keys (`CHAOS_PLANTED`), because nobody else sees what is in a queue.
 */
import type { Env } from "../../src/core/env.ts";
import worker, { AccountObject as Account } from "../../src/index.ts";

export { RegionObject } from "../../src/index.ts";
export default worker;

type ChaosEnv = Env & { readonly CHAOS_PLANTED: string };

const LOST = 0.05;
const TWICE = 0.2;
const LATE = 0.3;
const LATE_S_MAX = 3;

class RoughQueue {
  readonly #queue: Queue<string>;
  readonly #planted: readonly string[];

  constructor({ EVENTS, CHAOS_PLANTED }: ChaosEnv) {
    this.#queue = EVENTS;
    this.#planted = JSON.parse(CHAOS_PLANTED) as string[];
  }

  async send(text: string): Promise<void> {
    for (const planted of this.#planted)
      if (text.includes(planted)) console.error(`in a queue message: ${planted}`);
    if (Math.random() < LOST) return;
    const times = Math.random() < TWICE ? 2 : 1;
    for (let time = 0; time < times; time++) {
      const delaySeconds = Math.random() < LATE ? Math.ceil(Math.random() * LATE_S_MAX) : 0;
      await this.#queue.send(text, { contentType: "text", delaySeconds });
    }
  }
}

/** Under the name wrangler.toml knows. */
export class AccountObject extends Account {
  constructor(ctx: DurableObjectState, env: ChaosEnv) {
    super(ctx, { ...env, EVENTS: new RoughQueue(env) as unknown as Queue<string> });
  }
}
