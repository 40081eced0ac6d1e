/** `npm start` as a person runs it: a process of its own, whose words are read and which is told to stop by a signal. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { descendantsOf } from "../../tools/run/processes.ts";

/** A cold start on a busy machine. */
const READY_MS = 90_000;

export type Started = {
  readonly child: ChildProcess;
  /** Everything it has said so far. */
  readonly said: () => string;
  /** It and all below it, as of now. */
  readonly pids: () => readonly number[];
  readonly ended: Promise<number | null>;
};

export function startCommand(args: readonly string[], env: Readonly<Record<string, string>>): Started {
  const child = spawn(process.execPath, ["tools/run/main.ts", ...args], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => (said += text));
  return {
    child,
    said: () => said,
    pids: () => (child.pid === undefined ? [] : [child.pid, ...descendantsOf(child.pid)]),
    ended: once(child, "exit").then(([code]) => (typeof code === "number" ? code : null)),
  };
}

/** Waits until it says so, or until it has ended: then what it said is the error. */
export async function whenSaid(started: Started, words: string): Promise<void> {
  let ended = false;
  void started.ended.then(() => (ended = true));
  const deadline = performance.now() + READY_MS;
  while (!started.said().includes(words)) {
    if (ended || performance.now() > deadline)
      throw new Error(`it never said "${words}":\n${started.said()}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
