/**
 * What the bench says to its two helper processes and what they answer: one question at a time, one answer each, over
 * the channel that node:child_process opens. A helper ends when the bench does.
 */
import { fork, type ChildProcess } from "node:child_process";

export type ToUpstream =
  | { readonly do: "ports" }
  | { readonly do: "enrol"; readonly edgeUrl: string; readonly joinToken: string }
  | { readonly do: "rejected" }
  | { readonly do: "leave" };

export type FromUpstream = {
  readonly openaiPort?: number;
  readonly nodePort?: number;
  readonly node?: string;
  readonly rejected?: number;
};

/** How much load, of what kind, on whom. */
export type LoadAsk = {
  readonly port: number;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly stream: boolean;
  /** That every answer has to have. */
  readonly status: number;
  /** Events with data that a whole stream has, its `[DONE]` included; null where the upstream decides. */
  readonly events: number | null;
  /** Between events, where the stream is paced: what lateness is measured against. */
  readonly gapMs: number;
  /** Connections, each with one request at a time. */
  readonly lanes: number;
  /** Lanes begin this long after one another. */
  readonly staggerMs: number;
  /** New requests are begun for this long... */
  readonly forMs: number;
  /** ...and at most so many by each lane. */
  readonly eachMax: number;
};

export type Spread = { readonly p50: number; readonly p99: number; readonly max: number };

export type LoadResult = {
  /** All that was begun; each has ended when this is told. */
  readonly sent: number;
  readonly failed: number;
  readonly firstFailure: string | null;
  /** Ended within the window, per second of it. */
  readonly perS: number;
  readonly elapsedMs: number;
  readonly events: number;
  readonly latencyMs: Spread;
  readonly firstEventMs: Spread;
  readonly gapMs: Spread;
  /** How far behind its own schedule an event came: counts what a stall delayed, not the stall alone. */
  readonly lateMs: Spread;
  /** From a stream's first event to its last. */
  readonly spanMs: Spread;
};

const ANSWER_MS = 120_000;

export class Helper<Ask, Answer> {
  readonly #child: ChildProcess;

  constructor(file: URL) {
    this.#child = fork(file, { serialization: "advanced", stdio: ["ignore", "ignore", "inherit", "ipc"] });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  ask(ask: Ask): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => finish(() => reject(new Error("a helper did not answer"))), ANSWER_MS);
      const onMessage = (answer: { ok?: Answer; failed?: string }): void =>
        finish(() => {
          if (answer.ok === undefined) reject(new Error(answer.failed ?? "a helper failed"));
          else resolve(answer.ok);
        });
      const onExit = (): void => finish(() => reject(new Error("a helper ended")));
      const finish = (then: () => void): void => {
        clearTimeout(timer);
        this.#child.off("message", onMessage).off("exit", onExit);
        then();
      };
      this.#child.on("message", onMessage).on("exit", onExit);
      this.#child.send(ask as object);
    });
  }

  stop(): void {
    this.#child.kill();
  }
}

/** A helper's whole life: answers what it is asked, and ends with the bench. */
export function answering(answer: (ask: never) => Promise<object>): void {
  process.on("disconnect", () => process.exit());
  process.on("message", (ask) => {
    answer(ask as never).then(
      (ok) => process.send?.({ ok }),
      (error: unknown) => process.send?.({ failed: error instanceof Error ? error.message : String(error) }),
    );
  });
}
