/** `gpu-node reload`, as an operator types it: real processes, whose models are scripted ones. */
import { execFile, spawn } from "node:child_process";
import { existsSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { once } from "node:events";
import { expect, onTestFinished, test } from "vitest";
import { JOIN_TOKEN } from "./support/edge.ts";
import { tempFolder, useEdge } from "./support/node.ts";

const MAIN = "gpu-node/src/main.ts";

function startNode(folder: string, args: readonly string[]) {
  const list = join(folder, "models.json");
  const child = spawn(
    process.execPath,
    [MAIN, "--engine", "script", "--port", "0", "--data", folder, "--models", list, ...args],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  onTestFinished(() => void child.kill("SIGKILL"));
  let said = "";
  child.stdout.on("data", (data) => (said += String(data)));
  child.stderr.on("data", (data) => (said += String(data)));
  const until = (words: string, times = 1): Promise<void> =>
    expect
      .poll(() => said.split(words).length - 1, { timeout: 20_000, interval: 20, message: words })
      .toBeGreaterThanOrEqual(times);
  return { child, until, said: () => said };
}

const list = (folder: string, models: readonly object[]): void =>
  writeFileSync(join(folder, "models.json"), JSON.stringify(models));

type Ran = { readonly exit: number; readonly out: string; readonly err: string };

function reload(folder: string, ...more: readonly string[]): Promise<Ran> {
  return new Promise((resolve) => {
    execFile(process.execPath, [MAIN, "reload", "--data", folder, ...more], (error, out, err) => {
      resolve({ exit: typeof error?.code === "number" ? error.code : 0, out, err });
    });
  });
}

test("an operator who has edited the list of models hears what became of each, and the exit status says whether all is well", async () => {
  const folder = tempFolder();
  list(folder, [{ id: "a" }, { id: "gone" }]);
  const node = startNode(folder, ["--insecure-standalone"]);
  await node.until('"event":"engine_ready"', 2);
  expect(statSync(join(folder, "control.sock")).mode & 0o077).toBe(0);

  list(folder, [{ id: "a" }, { id: "b", slots: 2 }]);
  const first = await reload(folder);
  expect(first).toMatchObject({ exit: 0, err: "" });
  const [a, b, gone] = first.out.trim().split("\n");
  expect([a, gone]).toEqual(["unchanged  a", "removed    gone"]);
  expect(b).toMatch(/^opened {5}b {2}\S+$/);

  list(folder, [{ id: "a" }, { id: "b", engine: "llama", model: join(folder, "nothing.gguf") }]);
  const second = await reload(folder, "--json");
  expect(second.exit).toBe(1);
  expect(JSON.parse(second.out)).toMatchObject({
    over: "done",
    models: [
      { model: "a", what: "unchanged" },
      { model: "b", what: "refused", why: expect.stringContaining("nothing.gguf") },
    ],
  });

  writeFileSync(join(folder, "models.json"), "[{]");
  const third = await reload(folder);
  expect(third.exit).toBe(1);
  expect(third.err).toContain(
    "nothing was changed, the node's options cannot be read: --models: the file is not JSON",
  );

  // Whoever says something else is not listened to, and disturbs nobody.
  const stranger = connect(join(folder, "control.sock"));
  stranger.write("shutdown\n");
  await once(stranger.resume(), "close");

  node.child.kill("SIGKILL");
  await once(node.child, "exit");
  expect(existsSync(join(folder, "control.sock"))).toBe(true);
  expect(await reload(folder)).toMatchObject({
    exit: 1,
    err: `no node runs on the data folder ${folder} (--data DIR, SLUICE_DATA)\n`,
  });
});

test("a node that has not enrolled yet begins with what is wanted by then, however it was told", async () => {
  const folder = tempFolder();
  const edge = await useEdge();
  edge.away = true;
  list(folder, [{ id: "old" }]);
  const node = startNode(folder, ["--edge", edge.url.href, "--join", JOIN_TOKEN]);
  await node.until('"event":"enrol_retry"');
  list(folder, [{ id: "newer" }]);
  expect(await reload(folder)).toMatchObject({ exit: 0, err: expect.stringContaining("not in service yet") });
  list(folder, [{ id: "newest" }]);
  node.child.kill("SIGHUP");
  await node.until('"event":"reload"', 2);
  edge.away = false;
  await edge.until(() => edge.beats.at(-1)?.state === "ready", "a ready node");
  expect(edge.beats.at(-1)?.models.map(({ id }) => id)).toEqual(["newest"]);
  expect(node.said()).not.toContain('"model":"old"');
});
