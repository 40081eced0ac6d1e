/**
 * A node process that is killed (kill -9) and started again on its folder. The process is the real one, started by its
 * command line; the edge is this test's.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { statSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { freePort } from "../../../tools/run/ports.ts";
import { JOIN_TOKEN, type TestEdge } from "./support/edge.ts";
import { tempFolder, useEdge } from "./support/node.ts";
import { readEvents, readerOf, readUntil, scripted } from "./support/reading.ts";

const MAIN = "gpu-node/src/main.ts";

type Process = { readonly child: ChildProcess; readonly said: () => string };

function startProcess(args: readonly string[], env: Record<string, string> = {}): Process {
  const child = spawn(process.execPath, [MAIN, "--engine", "script", ...args], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  child.stdout.on("data", (data) => (said += String(data)));
  child.stderr.on("data", (data) => (said += String(data)));
  onTestFinished(() => void child.kill("SIGKILL"));
  return { child, said: () => said };
}

async function exitOf(child: ChildProcess): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  return new Promise((resolve) => child.once("exit", resolve));
}

/** Starts a node and waits until a beat says that it is ready. */
async function startNode(
  edge: TestEdge,
  dataDir: string,
  port: number,
  more: readonly string[] = [],
): Promise<Process> {
  const beats = edge.beats.length;
  const args = [
    "--as",
    "script",
    "--edge",
    edge.url.href,
    "--data",
    dataDir,
    "--port",
    String(port),
    ...more,
  ];
  const started = startProcess(args, { SLUICE_JOIN: JOIN_TOKEN });
  await edge.until(() => edge.beats.slice(beats).some((beat) => beat.state === "ready"), "a ready node");
  return started;
}

test("a node killed in the middle of a stream says after its restart what it had made", async () => {
  const edge = await useEdge();
  const dataDir = tempFolder();
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const first = await startNode(edge, dataDir, port);
  const boot = edge.beats.at(-1)?.boot;
  const response = await edge.call(url, { body: scripted({ endless: true, everyMs: 5 }) });
  const reader = readerOf(response);
  const begun = await readUntil(reader, (text) => readEvents(text).to >= 20);
  first.child.kill("SIGKILL");
  await exitOf(first.child);
  // What had left the process still arrives; then the connection breaks.
  const rest = await readUntil(reader, () => false).catch(() => "");
  const seen = readEvents(begun + rest);
  expect(seen.done).toBe(false);

  await startNode(edge, dataDir, port);
  const receipt = await edge.receipt(response.request);
  expect(receipt).toMatchObject({ ended: "node_died", from: 0, boot });
  expect(receipt.to).toBeGreaterThanOrEqual(seen.to);
  // Journalled and perhaps not written: at most what one write gathers.
  expect(receipt.to).toBeLessThanOrEqual(seen.to + 20);
  expect(receipt.prompt).toBe(seen.notes.find((note) => note.from !== undefined)?.prompt);
  const journal = await edge.journal(url, response.request, 0, 1_000);
  expect(journal).toMatchObject({ to: receipt.to, ended: "node_died" });
  expect(journal.tokens.slice(0, seen.to)).toEqual(seen.ids);
  const again = await edge.call(url, {
    body: scripted({ tokens: 1 }),
    head: { request: response.request, issuedAtMs: edge.nowMs },
  });
  expect(again.status).toBe(409);
});

test("receipts that no edge had acknowledged survive the node's death", async () => {
  const edge = await useEdge();
  edge.acking = false;
  const dataDir = tempFolder();
  const port = await freePort();
  const first = await startNode(edge, dataDir, port);
  const response = await edge.call(`http://127.0.0.1:${port}`, { body: scripted({ tokens: 3 }) });
  await response.text();
  await edge.receipt(response.request);
  first.child.kill("SIGKILL");
  await exitOf(first.child);
  edge.acking = true;
  edge.receipts.clear();
  await startNode(edge, dataDir, port);
  expect(await edge.receipt(response.request)).toMatchObject({ ended: "stop", to: 4 });
});

test("an engine that takes the whole process with it is a node that died", async () => {
  const edge = await useEdge();
  const dataDir = tempFolder();
  const port = await freePort();
  const options = ["--script-options", '{"mayKillProcess":true}'];
  const first = await startNode(edge, dataDir, port, options);
  const body = scripted({ tokens: 50, everyMs: 5, killAt: 30 });
  const response = await edge.call(`http://127.0.0.1:${port}`, { body });
  const seen = readEvents(await readUntil(readerOf(response), () => false).catch(() => ""));
  await exitOf(first.child);
  await startNode(edge, dataDir, port, options);
  const receipt = await edge.receipt(response.request);
  expect(receipt.ended).toBe("node_died");
  expect(receipt.to).toBeGreaterThanOrEqual(seen.to);
  expect(receipt.to).toBeLessThanOrEqual(30);
});

test("SIGTERM ends a node cleanly, and its secrets were readable by its owner alone", async () => {
  const edge = await useEdge();
  const dataDir = tempFolder();
  const port = await freePort();
  const { child, said } = await startNode(edge, dataDir, port);
  const response = await edge.call(`http://127.0.0.1:${port}`, {
    body: scripted({ text: "TOP-SECRET-ANSWER" }),
  });
  expect(readEvents(await response.text()).content).toBe("TOP-SECRET-ANSWER");
  for (const file of ["identity.json", "journal.db", "journal.db-wal"])
    expect(statSync(join(dataDir, file)).mode & 0o777, file).toBe(0o600);
  child.kill("SIGTERM");
  expect(await exitOf(child)).toBe(0);
  expect(edge.receipts.get(`${response.request}/0`)).toMatchObject({ ended: "stop" });
  expect(said()).not.toContain("TOP-SECRET");
  expect(said()).not.toContain(JOIN_TOKEN);
});

test("a second process on the same folder is refused", async () => {
  const edge = await useEdge();
  const dataDir = tempFolder();
  await startNode(edge, dataDir, await freePort());
  const second = startProcess(
    ["--edge", edge.url.href, "--data", dataDir, "--port", String(await freePort())],
    {
      SLUICE_JOIN: JOIN_TOKEN,
    },
  );
  expect(await exitOf(second.child)).toBe(1);
  expect(second.said()).toContain("another process");
});

test("a node that is told nonsense does not start, and says why", async () => {
  const { child, said } = startProcess(["--insecure-standalone", "--host", "0.0.0.0"]);
  expect(await exitOf(child)).toBe(2);
  expect(said()).toContain("loopback");
});

test("a join token the edge does not know is a clear error, not an endless wait", async () => {
  const edge = await useEdge();
  const args = ["--edge", edge.url.href, "--data", tempFolder(), "--join", "not-a-token-this-edge-made"];
  const { child, said } = startProcess(args);
  expect(await exitOf(child)).toBe(1);
  expect(said()).toContain("refused to enrol");
});
