/**
 * Whose fault it is when a request to the server fails: the task's (the server refuses it), the moment's (it has no room), the
 * server's for this one request, or the server is not there any more. Only the last one touches anybody else. Pure.
 */
import { ZodError } from "zod";
import { EngineFault } from "../engine.ts";
import { LateAnswer, UnfinishedAnswer, UnreadableAnswer, WireError } from "./wire.ts";

export type Verdict = {
  readonly fault: EngineFault;
  /** `lost`: everything that runs there is lost. `doubtful`: it answered, but ask whether it is well. */
  readonly server: "well" | "doubtful" | "lost";
  /** For the operator. */
  readonly tell?: string;
};

const TOO_MANY = 429;

export function judge(error: unknown, name: string): Verdict {
  if (error instanceof EngineFault) return { fault: error, server: "well" };
  // No cause and no word of an answer: it may hold what people wrote.
  if (error instanceof ZodError || error instanceof UnreadableAnswer) {
    const where =
      error instanceof ZodError ? error.issues.map(({ path }) => path.join(".")) : [error.message];
    return {
      fault: new EngineFault("failed", `${name} gave an answer that cannot be read.`),
      server: "well",
      tell: `${name} gave an answer that cannot be read: ${where.join(", ")}`,
    };
  }
  const reason = error instanceof Error ? error.message : String(error);
  if (error instanceof UnfinishedAnswer || error instanceof LateAnswer)
    return {
      fault: new EngineFault("failed", `${name}: ${reason}`),
      server: "doubtful",
      tell: `${name} failed at a task: ${reason}`,
    };
  if (!(error instanceof WireError) || error.status < 400)
    return { fault: new EngineFault("engine_died", `${name}: ${reason}`, { cause: error }), server: "lost" };
  const { status } = error;
  if (error.isLater)
    return {
      fault: new EngineFault("busy", `${name} has no room (${reason}).`, {
        retryAfterMs: error.retryAfterMs,
      }),
      server: status === TOO_MANY ? "well" : "doubtful",
      tell: `${name} has no room: ${reason}`,
    };
  if (status < 500)
    return {
      fault: new EngineFault(
        "unsupported",
        `The server that runs the model refuses this (status ${status}).`,
      ),
      server: "well",
      tell: `${name} refused a task: ${reason}`,
    };
  return {
    fault: new EngineFault("failed", `${name} failed at this task (${reason}).`),
    server: "doubtful",
    tell: `${name} failed at a task: ${reason}`,
  };
}

export function notReady(): EngineFault {
  return new EngineFault("engine_died", "The server in front of which this node stands does not answer.");
}
