/**
 * The edge as a process, whoever runs it: miniflare's workerd for `npm start` and tests, wrangler's for hot reload.
 */

export type EdgeSettings = {
  /** The repository. */
  readonly root: string;
  readonly port: number;
  /** Where D1, KV, objects and queues keep their files. */
  readonly dataDir: string;
  readonly logFile: string;
  /** Secrets and variables beyond wrangler.toml. */
  readonly vars: Readonly<Record<string, string>>;
};

export interface EdgeProcess {
  /** Of workerd; undefined while it is dead. */
  readonly pid: number | undefined;
  /** Returns once it is on its way; whether it answers is asked over HTTP. */
  start(): Promise<void>;
  /** Brings D1 to the newest schema; what is applied already is skipped. */
  migrate(): Promise<void>;
  /** kill -9, and it stays dead until the next `start()`. */
  kill(): Promise<void>;
  stop(): Promise<void>;
}
