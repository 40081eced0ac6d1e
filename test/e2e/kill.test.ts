/** Whatever dies by kill -9, the platform goes on: the edge on its old port over its old data, a node by itself. */
import { afterAll, beforeAll, describe, test } from "vitest";
import { until } from "../../tools/run/processes.ts";
import { temporaryPlatform } from "../support/platform.ts";

const BACK_MS = 30_000;

let platform: Awaited<ReturnType<typeof temporaryPlatform>>;
beforeAll(async () => {
  platform = await temporaryPlatform({ nodeCount: 1 });
});
afterAll(() => platform?.[Symbol.asyncDispose]());

async function answers(): Promise<boolean> {
  try {
    const response = await fetch(`${platform.baseUrl}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${platform.apiKey}`, "content-type": "application/json" },
      body: JSON.stringify({
        model: platform.model,
        messages: [{ role: "user", content: "Hello!" }],
        max_tokens: 8,
      }),
    });
    await response.text();
    return response.ok;
  } catch {
    return false;
  }
}

describe("kill -9", () => {
  test("of the Worker: it stays dead until it is started again, and then knows everybody", async ({
    expect,
  }) => {
    expect(await answers()).toBe(true);
    const before = platform.workerdPid;
    await platform.killWorker();
    expect(platform.workerdPid).toBeUndefined();
    expect(await answers()).toBe(false);
    await platform.restartWorker();
    expect(platform.workerdPid).not.toBe(before);
    expect(await until(answers, BACK_MS)).toBe(true);
  });

  test("of a node: it comes back by itself", async ({ expect }) => {
    const [node] = platform.nodes;
    const before = node?.pid;
    expect(before).toBeTypeOf("number");
    process.kill(before ?? 0, "SIGKILL");
    expect(await until(() => node?.pid !== undefined && node.pid !== before, BACK_MS)).toBe(true);
    expect(await until(answers, BACK_MS)).toBe(true);
  });

  test("of a node that a test wants dead: it stays dead until it is wanted back", async ({ expect }) => {
    const [node] = platform.nodes;
    await node?.kill("tree");
    expect(node?.pid).toBeUndefined();
    node?.start();
    expect(await until(answers, BACK_MS)).toBe(true);
  });
});
