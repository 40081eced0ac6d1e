/** `npm start` keeps its word: one command, a platform that answers, and nothing left when it is told to stop. */
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { once } from "node:events";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, test } from "vitest";
import { freePort } from "../../tools/run/ports.ts";
import { descendantsOf, isAlive, programOf, until } from "../../tools/run/processes.ts";
import { startCommand, whenSaid } from "../support/command.ts";

const GONE_MS = 10_000;

type Dev = { baseUrl: string; apiKey: string; adminToken: string; nodes: { id: string; region: string }[] };

let dataDir = "";
beforeAll(() => {
  dataDir = mkdtempSync(join(tmpdir(), "sluice-start-"));
});
afterAll(() => rmSync(dataDir, { recursive: true, force: true }));

function readDev(folder = dataDir): Dev {
  return JSON.parse(readFileSync(join(folder, "dev.json"), "utf8")) as Dev;
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
      // In a folder of its own the operator's tool has to be told where the platform is.
      expect(started.said(), round).toContain(
        `SLUICE_URL=${dev.baseUrl} SLUICE_ADMIN_TOKEN=${dev.adminToken} npm run sluice`,
      );
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

  test("an edge that died comes back and says so; neither kill -9 nor a revoked key is in the next start's way", async ({
    expect,
  }) => {
    const folder = join(dataDir, "killed");
    const args = ["--engine", "script", "--data", folder];
    const env = { PORT: String(await freePort()) };
    const first = startCommand(args, env);
    await whenSaid(first, "Ctrl-C stops everything");
    const edge = descendantsOf(first.child.pid ?? 0).filter((pid) => programOf(pid) === "workerd");
    for (const pid of edge) process.kill(pid, "SIGKILL");
    await whenSaid(first, "the edge died and was started again");
    const { baseUrl, adminToken, apiKey } = readDev(folder);
    const [, account = "", key = ""] = /-any-([0-9a-z]+)-([0-9a-z]+)-/.exec(apiKey) ?? [];
    const revoked = await fetch(`${baseUrl}/admin/v1/accounts/acc_any_${account}/keys/key_${key}`, {
      method: "DELETE",
      headers: { authorization: `Bearer ${adminToken}` },
    });
    expect(revoked.status).toBe(200);
    first.child.kill("SIGKILL");
    await first.ended;

    const second = startCommand(args, env);
    await whenSaid(second, "Ctrl-C stops everything");
    expect(readDev(folder).apiKey).not.toBe(apiKey);
    expect(await ask(readDev(folder))).toMatchObject({ status: 200 });
    second.child.kill("SIGINT");
    expect(await second.ended).toBe(0);
  });

  test("says what cannot be started before anything is", async ({ expect }) => {
    for (const [args, words] of [
      [["--nodes", "100"], "--nodes wants 1 to 32, not 100"],
      [["--engine", "banana"], "--engine is llama or script"],
      [["--data", join(dataDir, "dev.json", "folder")], "--data names another folder"],
    ] as const) {
      const started = startCommand(["--data", join(dataDir, "wrong"), ...args], {
        PORT: String(await freePort()),
      });
      expect(await started.ended).toBe(1);
      expect(started.said()).toContain(words);
      expect(started.said()).not.toContain("starting");
    }
  });
});
