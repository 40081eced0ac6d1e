/**
 * The loop that beats: once a second, and soon after a receipt is there; one beat in flight at a time. It knows when to
 * send and how to sign; what is in a beat and what a reply means is the caller's.
 *
 * An edge that is away is asked again with growing pauses, and nothing piles up meanwhile: receipts wait on disk. A
 * reply with an error status may still carry acknowledgements (a fenced or removed node's receipts are money too).
 */
import { BEAT_PATH, BeatReply, NODE_HEADER, SIGNATURE_HEADER, type Beat } from "@sluice/protocol/beat";
import { BEATS_PER_SECOND_MAX, BEAT_INTERVAL_MS } from "@sluice/protocol/limits";
import { signText } from "@sluice/protocol/sign";
import type { Identity } from "../identity/identity.ts";
import { errorFields, type Log } from "../log.ts";

const GAP_MIN_MS = 1_000 / BEATS_PER_SECOND_MAX;
const TIMEOUT_MS = 5_000;
const PAUSE_MIN_MS = 250;
const PAUSE_MAX_MS = 5_000;
const REASON_CHARS_MAX = 200;

export type Composed = Omit<Beat, "seq">;

export type BeatsHooks = {
  readonly compose: () => Composed;
  /** `current` is false where the edge took the receipts and refused the rest. */
  readonly apply: (
    beat: Beat,
    reply: BeatReply,
    times: { sentAtMs: number; receivedAtMs: number; current: boolean },
  ) => Promise<void>;
  readonly log: Log;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** In [0, 1). */
  readonly dice: () => number;
};

export class Beats {
  readonly #edge: URL;
  readonly #identity: Identity;
  readonly #hooks: BeatsHooks;
  readonly #stop = new AbortController();
  #seq = 0;
  #failures = 0;
  #sentAtMs = Number.NEGATIVE_INFINITY;
  #poked = false;
  #wake: () => void = () => undefined;
  #ended: Promise<void> = Promise.resolve();

  constructor(edge: URL, identity: Identity, hooks: BeatsHooks) {
    this.#edge = edge;
    this.#identity = identity;
    this.#hooks = hooks;
  }

  start(): void {
    this.#ended = this.#loop();
  }

  /** Something does not want to wait for the next second. */
  poke(): void {
    this.#poked = true;
    this.#wake();
  }

  /** Ends the loop, a beat in flight included. */
  async stop(): Promise<void> {
    this.#stop.abort();
    this.#wake();
    await this.#ended;
  }

  async #loop(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      await this.#due();
      if (this.#stop.signal.aborted) return;
      this.#poked = false;
      this.#sentAtMs = this.#hooks.now();
      try {
        await this.#once();
        if (this.#failures > 0) this.#hooks.log("edge_back", { failures: this.#failures });
        this.#failures = 0;
      } catch (error) {
        if (this.#stop.signal.aborted) return;
        this.#failures += 1;
        // The first says that something changed; one in a while says that it has not changed back.
        if (Math.log2(this.#failures) % 1 === 0)
          this.#hooks.log("beat_failed", { failures: this.#failures, ...errorFields(error) });
      }
    }
  }

  /** Resolves when the next beat may leave. */
  async #due(): Promise<void> {
    for (;;) {
      const waitMs = this.#sentAtMs + this.#intervalMs() - this.#hooks.now();
      if (waitMs <= 0 || this.#stop.signal.aborted) return;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, waitMs);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  #intervalMs(): number {
    if (this.#failures === 0) return this.#poked ? GAP_MIN_MS : BEAT_INTERVAL_MS;
    const pauseMs = Math.min(PAUSE_MAX_MS, PAUSE_MIN_MS * 2 ** Math.min(this.#failures - 1, 10));
    return pauseMs * (0.75 + this.#hooks.dice() / 2);
  }

  async #once(): Promise<void> {
    const beat: Beat = { ...this.#hooks.compose(), seq: this.#seq };
    this.#seq += 1;
    const body = JSON.stringify(beat);
    const signature = await signText(this.#identity.privateKey, "sluice-beat", body);
    const sentAtMs = this.#hooks.now();
    const response = await fetch(new URL(BEAT_PATH, this.#edge), {
      method: "POST",
      headers: {
        "content-type": "application/json",
        [NODE_HEADER]: this.#identity.node,
        [SIGNATURE_HEADER]: signature,
      },
      body,
      redirect: "error",
      signal: AbortSignal.any([this.#stop.signal, AbortSignal.timeout(TIMEOUT_MS)]),
    });
    const text = await response.text();
    const receivedAtMs = this.#hooks.now();
    const reply = parseReply(text);
    if (reply !== undefined)
      await this.#hooks.apply(beat, reply, { sentAtMs, receivedAtMs, current: response.ok });
    if (!response.ok || reply === undefined)
      throw new Error(`the edge answered ${response.status}: ${text.slice(0, REASON_CHARS_MAX)}`);
  }
}

function parseReply(text: string): BeatReply | undefined {
  try {
    return BeatReply.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
