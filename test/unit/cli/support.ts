/** A platform for the operator's tool to talk to: a server that writes down calls and gives the answers it was told. */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cli } from "../../../tools/cli/cli.ts";

export const TOKEN = "the-token-of-this-test-0123456789";

export type Call = { readonly line: string; readonly token: string | undefined; readonly body: unknown };
export type Answer = {
  readonly status: number;
  readonly body: unknown;
  readonly headers?: Record<string, string>;
};

export class FakePlatform {
  calls: Call[] = [];
  /** Given one after the other. */
  answers: Answer[] = [];
  /** Where the tool runs: an empty folder. */
  readonly folder = mkdtempSync(join(tmpdir(), "sluice-cli-"));
  url = "";
  readonly #server: Server;

  constructor() {
    this.#server = createServer((request, response) => {
      const parts: Buffer[] = [];
      request.on("data", (part: Buffer) => parts.push(part));
      request.on("end", () => {
        const text = Buffer.concat(parts).toString();
        const token = request.headers.authorization?.replace("Bearer ", "");
        const body: unknown = text === "" ? undefined : JSON.parse(text);
        this.calls.push({ line: `${request.method} ${request.url}`, token, body });
        const answer = this.answers.shift() ?? { status: 500, body: "no answer was prepared" };
        response.writeHead(answer.status, answer.headers);
        response.end(typeof answer.body === "string" ? answer.body : JSON.stringify(answer.body));
      });
    });
  }

  async start(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#server.listen(0, "127.0.0.1", resolve);
    });
    this.url = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  stop(): void {
    this.#server.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  forget(): void {
    this.calls = [];
    this.answers = [];
    rmSync(join(this.folder, ".sluice"), { recursive: true, force: true });
  }

  answering(...bodies: unknown[]): void {
    this.answers = bodies.map((body) => ({ status: 200, body }));
  }

  async sluice(words: readonly string[], env?: Record<string, string>, typed = "") {
    let [out, err] = ["", ""];
    const exit = await cli(words, {
      env: env ?? { SLUICE_URL: this.url, SLUICE_ADMIN_TOKEN: TOKEN },
      folder: this.folder,
      readSecret: () => Promise.resolve(typed),
      print: (text) => (out += text),
      printError: (text) => (err += text),
    });
    return { exit, out, err };
  }
}
