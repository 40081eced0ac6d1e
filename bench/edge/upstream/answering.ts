/**
 * Writes one answer to one socket at its scene's pace, on an absolute schedule: a timer that fires late sends all that
 * is due, so a busy machine shows as late events and never as a slower stream.
 */
import type { Socket } from "node:net";
import type { Rendered } from "../script.ts";

export type Answer = {
  /** Events written so far. */
  readonly written: () => number;
  readonly stop: () => void;
};

/** `ended` is called once everything has been written; never after `stop()`. */
export function startAnswer(
  socket: Socket,
  { scene, head, chunks, whole }: Rendered,
  ended: () => void,
): Answer {
  if (scene.gapMs === undefined || scene.gapMs === 0) {
    socket.write(whole);
    ended();
    return { written: () => chunks.length, stop: () => undefined };
  }
  const { gapMs } = scene;
  const startedAtMs = performance.now();
  let at = 0;
  let timer: NodeJS.Timeout | undefined;
  socket.write(head);
  const send = (): void => {
    const due = Math.min(chunks.length, Math.floor((performance.now() - startedAtMs) / gapMs) + 1);
    for (; at < due; at++) {
      const chunk = chunks[at];
      if (chunk !== undefined) socket.write(chunk);
    }
    if (at === chunks.length) return ended();
    timer = setTimeout(send, Math.max(0, startedAtMs + at * gapMs - performance.now()));
  };
  send();
  return { written: () => at, stop: () => clearTimeout(timer) };
}
