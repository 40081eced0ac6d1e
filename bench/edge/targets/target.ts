/** What is measured: something that answers chat completions on a loopback port. */

export type TargetName = "direct" | "bare" | "portkey" | "sluice";

export type Target = {
  readonly name: string;
  readonly port: number;
  readonly headers: Readonly<Record<string, string>>;
  /** Whose CPU is counted; undefined where the target is the upstream itself. */
  readonly pid: () => number | undefined;
  /** After `sent` requests: waits until the target has done all that belongs to them. */
  readonly settled?: (sent: number, tokens: number) => Promise<number>;
  readonly stop: () => Promise<void>;
};
