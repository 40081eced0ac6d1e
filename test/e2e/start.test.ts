/** `npm start` keeps its word: one command, a platform that answers, and nothing left when it is told to stop. */
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { once } from "node:events";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, test } from "vitest";
import { freePort } from "../../tools/run/ports.ts";
import { isAlive, until } from "../../tools/run/processes.ts";
import { startCommand, whenSaid } from "../support/command.ts";

const GONE_MS = 10_000;

type Dev = { baseUrl: string; apiKey: string; adminToken: string; nodes: { id: string; region: string }[] };

let dataDir = "";
beforeAll(() => {
  dataDir = mkdtempSync(join(tmpdir(), "sluice-start-"));
});
afterAll(() => rmSync(dataDir, { recursive: true, force: true }));

function readDev(): Dev {
  return JSON.parse(readFileSync(join(dataDir, "dev.json"), "utf8")) as Dev;
}

async function ask({ baseUrl, apiKey }: Dev): Promise<{ status: number; text: string }> {
  const response = await fetch(`${baseUrl}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${apiKey}`, "content-type": "application/json" },
    body: JSON.stringify({
      model: "deepseek-chat",
      messages: [{ role: "user", content: "Hello!" }],
      max_tokens: 16,
    }),
  });
  return { status: response.status, text: await response.text() };
}

describe("npm start", () => {
  test("answers, stops at Ctrl-C with nothing left behind, and knows its key again after a restart", async ({
    expect,
  }) => {
    const port = String(await freePort());
    const args = ["--engine", "script", "--data", dataDir, "--nodes", "2", "--regions", "eu,us"];
    let first: Dev | undefined;
    for (const round of ["first start", "second start"]) {
      const started = startCommand(args, { PORT: port });
      await whenSaid(started, "Ctrl-C stops everything");
      const dev = readDev();
      expect(started.said(), round).toContain(dev.apiKey);
      expect(dev.nodes.map((node) => node.region)).toEqual(["eu", "us"]);
      expect(await ask(dev), round).toMatchObject({ status: 200 });
      expect(statSync(join(dataDir, "dev.json")).mode & 0o777).toBe(0o600);
      first ??= dev;
      expect(dev).toEqual(first);

      const pids = started.pids();
      expect(pids.length, "the platform, workerd and two nodes").toBeGreaterThanOrEqual(4);
      started.child.kill("SIGINT");
      expect(await started.ended).toBe(0);
      expect(
        await until(() => !pids.some(isAlive), GONE_MS),
        `left: ${pids.filter(isAlive).join(", ")}`,
      ).toBe(true);
    }
  });

  test("says what to do when its port is taken", async ({ expect }) => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    const port = typeof address === "object" && address !== null ? String(address.port) : "";
    const started = startCommand(["--engine", "script", "--data", join(dataDir, "taken")], { PORT: port });
    expect(await started.ended).toBe(1);
    expect(started.said()).toContain(`port ${port} is taken by another program`);
    server.close();
  });
});
