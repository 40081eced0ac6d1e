/** Which deaths of a local node are its operator's business, and which are only a pause. The node is a few lines that die. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, test } from "vitest";
import { NodeProcess } from "../../../tools/run/node-process.ts";

describe("a local node that ends itself with its reason", () => {
  const root = mkdtempSync(join(tmpdir(), "sluice-node-"));
  let node: NodeProcess | undefined;
  afterEach(async () => {
    await node?.stop();
    rmSync(root, { recursive: true, force: true });
  });

  const deathOf = (lines: readonly object[]): Promise<string> => {
    mkdirSync(join(root, "gpu-node/src"), { recursive: true });
    const said = lines.map((line) => `console.log(${JSON.stringify(JSON.stringify(line))});`);
    writeFileSync(join(root, "gpu-node/src/main.ts"), [...said, "process.exitCode = 1;"].join("\n"));
    return new Promise((resolve) => {
      node = new NodeProcess({
        root,
        name: "n",
        region: "eu",
        port: 1,
        dataDir: join(root, "data"),
        logFile: join(root, "node.log"),
        edgeUrl: "http://127.0.0.1:1",
        joinToken: undefined,
        args: [],
        env: {},
        onFatal: (_name, why) => resolve(`for good: ${why}`),
        onDeath: (_name, how) => resolve(`comes back: ${how}`),
      });
      node.start();
    });
  };
  const fatal = { event: "fatal", error: "Error", message: "no space left on device" };

  test("stays away where it never came to serve", async ({ expect }) => {
    expect(await deathOf([{ event: "listening" }, fatal])).toBe("for good: no space left on device");
  });

  test("comes back where it has served: what ended it may pass", async ({ expect }) => {
    const ready = { event: "engine_ready", model: "m" };
    expect(await deathOf([{ event: "listening" }, ready, fatal])).toBe("comes back: exit status 1");
  });
});
