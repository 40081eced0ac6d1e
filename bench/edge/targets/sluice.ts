/**
 * Sluice as it is deployed, on one machine: the Worker in workerd on a direct socket with D1, KV, Queue and objects on
 * disk, one account with limits and credit, and the scripted upstream enrolled as a node. For the last rows also a real
 * gpu-node with the script engine, or an entry that moves the account's home away.
 */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AdminClient } from "../../../tools/run/admin-client.ts";
import { engineArguments } from "../../../tools/run/model.ts";
import { NodeProcess } from "../../../tools/run/node-process.ts";
import { freePort } from "../../../tools/run/ports.ts";
import { until } from "../../../tools/run/processes.ts";
import { StateFolder } from "../../../tools/run/state.ts";
import { WorkerProcess } from "../../../tools/run/worker.ts";
import { Books, Void } from "../books.ts";
import type { FromUpstream, Helper, ToUpstream } from "../messages.ts";
import { SCENES } from "../script.ts";
import type { Target } from "./target.ts";

const READY_MS = 30_000;
const NODE_POLL_MS = 100;
const REGION = "local";
const PRICE = { inputMicroUsdPerM: 100_000, cachedMicroUsdPerM: 10_000, outputMicroUsdPerM: 400_000 };
const CREDIT_USD = "10000.00";
/** Far above anything sent here: a limit that is kept count of, and never reached. */
const LIMITS: Limits = { requestsPerMinute: 1_000_000, concurrency: 10_000 };

export type Limits = { readonly requestsPerMinute: number; readonly concurrency: number };

export type SluiceSettings = {
  readonly root: string;
  readonly upstream: Helper<ToUpstream, FromUpstream>;
  readonly nodePort: number;
  /** Opens workerd's inspector. */
  readonly inspectorPort?: number;
  /** An entry of the bench around the Worker, instead of the Worker as it is. */
  readonly entry?: {
    readonly main: string;
    readonly vars: Readonly<Record<string, string>>;
    /** False where nothing is settled, and there is nothing to prove. */
    readonly books: boolean;
  };
};

export type Customer = { readonly headers: Readonly<Record<string, string>>; readonly books: Books };

export type Sluice = Target & {
  readonly workerLog: string;
  /** Requests answered and not in D1 yet. */
  readonly unsettled: (sent: number) => number;
  /** One more customer, with limits of its own and books of its own to prove. */
  readonly addCustomer: (name: string, limits?: Limits) => Promise<Customer>;
  /** A real gpu-node with the script engine; tells the model it serves and its process. */
  readonly addGpuNode: () => Promise<{ readonly model: string; readonly pid: number }>;
};

export async function startSluice(settings: SluiceSettings): Promise<Sluice> {
  const { root, upstream, nodePort, entry, inspectorPort } = settings;
  const folder = new StateFolder(await mkdtemp(join(tmpdir(), "sluice-bench-")));
  const { secrets, adminToken } = folder.secrets();
  const port = await freePort();
  const baseUrl = `http://127.0.0.1:${port}`;
  const workerLog = folder.file("logs", "worker.log");
  const dataDir = folder.file("worker");
  await mkdir(dataDir, { recursive: true });
  const worker = new WorkerProcess({
    root,
    port,
    dataDir,
    logFile: workerLog,
    ...(inspectorPort === undefined ? {} : { inspectorPort }),
    ...(entry === undefined ? {} : { main: entry.main }),
    vars: {
      SLUICE_SECRETS: secrets,
      SLUICE_ADMIN_TOKEN: adminToken,
      SLUICE_DEV: "1",
      ...entry?.vars,
    },
  });
  const admin = new AdminClient(baseUrl, adminToken);
  await worker.start();
  await worker.migrate();
  if (!(await until(() => admin.healthy(), READY_MS)))
    throw new Error(`the edge does not answer: ${workerLog}`);

  const customer = async (name: string, limits: Limits): Promise<{ account: string; apiKey: string }> => {
    const account = await admin.makeAccount(name);
    await limitAccount(baseUrl, adminToken, account, limits);
    await admin.credit(account, name, CREDIT_USD);
    return { account, apiKey: await admin.makeKey(account, name) };
  };
  const { account, apiKey } = await customer("bench", LIMITS);
  const joinToken = await admin.makeJoinToken({
    name: "scripted",
    region: REGION,
    url: `http://127.0.0.1:${nodePort}`,
  });
  await upstream.ask({ do: "enrol", edgeUrl: baseUrl, joinToken });
  for (const { model } of Object.values(SCENES))
    await admin.putModel(model, { contextTokens: 32_768, outputTokensDefault: 4_096, price: PRICE });
  await whenServing(admin, SCENES.json.model);
  const books = new Books(dataDir, account);
  const nodes: NodeProcess[] = [];
  const customers: Books[] = [];

  const settled = async (sent: number, tokens: number): Promise<number> => {
    if (entry?.books === false) return 0;
    const tookMs = await books.settled(sent);
    books.prove(sent, tokens);
    const { rejected } = await upstream.ask({ do: "rejected" });
    if (rejected !== 0) throw new Void(`${rejected} receipts were refused`);
    return tookMs;
  };

  return {
    name: "sluice",
    port,
    headers: { authorization: `Bearer ${apiKey}` },
    pid: () => worker.pid,
    workerLog,
    unsettled: (sent) => sent - books.rows(),
    settled,
    addCustomer: async (name, limits = LIMITS) => {
      const made = await customer(name, limits);
      const books = new Books(dataDir, made.account);
      customers.push(books);
      return { headers: { authorization: `Bearer ${made.apiKey}` }, books };
    },
    addGpuNode: async () => {
      const node = await gpuNode(root, folder, baseUrl, admin);
      nodes.push(node);
      const model = await servedBy(admin, node.url);
      await admin.putModel(model, { contextTokens: 8_192, outputTokensDefault: 1_024, price: PRICE });
      await whenServing(admin, model);
      return { model, pid: node.pid ?? 0 };
    },
    stop: async () => {
      await Promise.all(nodes.map((node) => node.stop()));
      await upstream.ask({ do: "leave" });
      for (const one of [books, ...customers]) one.close();
      await worker.stop();
      await rm(folder.path, { recursive: true, force: true });
    },
  };
}

async function limitAccount(
  baseUrl: string,
  adminToken: string,
  account: string,
  limits: Limits,
): Promise<void> {
  const response = await fetch(`${baseUrl}/admin/v1/accounts/${account}`, {
    method: "PATCH",
    headers: { authorization: `Bearer ${adminToken}`, "content-type": "application/json" },
    body: JSON.stringify(limits),
  });
  if (!response.ok) throw new Error(`limits: ${response.status} ${await response.text()}`);
}

/** Waits until the edge has heard from a ready node that serves the model. */
async function whenServing(admin: AdminClient, model: string): Promise<void> {
  const heard = await until(
    async () =>
      (await admin.nodes()).some(
        ({ live }) => live?.state === "ready" && live.models.some(({ id }) => id === model),
      ),
    READY_MS,
    NODE_POLL_MS,
  );
  if (!heard) throw new Error(`no node serves ${model}`);
}

async function gpuNode(
  root: string,
  folder: StateFolder,
  edgeUrl: string,
  admin: AdminClient,
): Promise<NodeProcess> {
  const port = await freePort();
  const name = "gpu-node";
  const node = new NodeProcess({
    root,
    name,
    region: REGION,
    port,
    dataDir: folder.file("nodes", name),
    logFile: folder.file("logs", `${name}.log`),
    edgeUrl,
    joinToken: await admin.makeJoinToken({ name, region: REGION, url: `http://127.0.0.1:${port}` }),
    args: engineArguments(root, [], "script"),
    env: {},
    onDeath: () => undefined,
  });
  node.start();
  return node;
}

async function servedBy(admin: AdminClient, url: string): Promise<string> {
  let model: string | undefined;
  const heard = await until(
    async () => {
      const node = (await admin.nodes()).find((node) => node.url === url);
      model = node?.live?.state === "ready" ? node.live.models[0]?.id : undefined;
      return model !== undefined;
    },
    READY_MS,
    NODE_POLL_MS,
  );
  if (!heard || model === undefined) throw new Error("the gpu-node did not become ready");
  return model;
}
