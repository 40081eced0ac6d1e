/**
 * The log of a process that is started here. A full disk costs lines, and the log says how many once there is room
 * again: never the process that writes, nor the one that watches it. So nothing here throws or waits: a stream would
 * stop reading what the process says, and a process whose words nobody reads stands still.
 */
import { closeSync, openSync, writeSync } from "node:fs";

export class LogFile {
  readonly #path: string;
  #file: number | undefined;
  #lost = 0;

  constructor(path: string) {
    this.#path = path;
  }

  write(what: string | Uint8Array): void {
    try {
      // Opened anew after a failure: the file may have been put elsewhere meanwhile.
      this.#file ??= openSync(this.#path, "a", 0o600);
      if (this.#lost > 0) {
        writeSync(this.#file, `(${this.#lost} pieces of this log could not be written)\n`);
        this.#lost = 0;
      }
      writeSync(this.#file, typeof what === "string" ? Buffer.from(what) : what);
    } catch {
      this.#lost++;
      this.close();
    }
  }

  close(): void {
    if (this.#file === undefined) return;
    closeSync(this.#file);
    this.#file = undefined;
  }
}
