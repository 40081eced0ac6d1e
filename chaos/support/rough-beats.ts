/**
 * A bad road between nodes and edge: a proxy for beats alone (calls go the other way, past it). By seeded dice a beat is
 * lost before the edge hears it, or its reply is lost after; it is held up; it comes twice, the second time seconds later
 * and so after beats that were sent after it. What is not a beat passes unharmed.
 */
import { createServer, request as send, type IncomingMessage, type ServerResponse } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { BEAT_PATH } from "@sluice/protocol/beat";
import type { Dice } from "../../tools/train/corpus/dice.ts";

const FATES = [
  [70, "passed"],
  [12, "twice"],
  [8, "late"],
  [5, "lost"],
  [5, "reply_lost"],
] as const;
export type Fate = (typeof FATES)[number][1];

const LATE_MS_MAX = 1_500;
const AGAIN_MS_MAX = 4_000;

export type RoughBeats = AsyncDisposable & {
  readonly url: string;
  readonly fates: Readonly<Record<Fate, number>>;
  /** From now on every beat passes. */
  readonly smooth: () => void;
};

export async function roughBeats(edgePort: number, dice: Dice): Promise<RoughBeats> {
  const fates: Record<Fate, number> = { passed: 0, twice: 0, late: 0, lost: 0, reply_lost: 0 };
  let smooth = false;
  const forward = (incoming: IncomingMessage, body: Buffer): Promise<{ status: number; body: Buffer }> =>
    new Promise((resolve, reject) => {
      const { url, method, headers } = incoming;
      const outgoing = send({ host: "127.0.0.1", port: edgePort, path: url, method, headers }, (answer) => {
        gather(answer).then((body) => resolve({ status: answer.statusCode ?? 502, body }), reject);
      });
      outgoing.on("error", reject);
      outgoing.end(body);
    });
  const carry = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = await gather(incoming);
    const fate = smooth || incoming.url !== BEAT_PATH ? "passed" : dice.weighted(FATES);
    fates[fate]++;
    if (fate === "lost") throw new Error("lost on the way");
    if (fate === "late") await delay(dice.int(1, LATE_MS_MAX));
    if (fate === "twice") {
      const againMs = dice.int(0, AGAIN_MS_MAX);
      void delay(againMs)
        .then(() => forward(incoming, body))
        .catch(() => undefined);
    }
    const answer = await forward(incoming, body);
    if (fate === "reply_lost") throw new Error("the reply was lost");
    response.writeHead(answer.status, { "content-type": "application/json" }).end(answer.body);
  };
  const server = createServer((incoming, response) => {
    // Lost is lost: the node sees its connection end.
    carry(incoming, response).catch(() => response.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    fates,
    smooth: () => (smooth = true),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

async function gather(stream: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(part as Buffer);
  return Buffer.concat(parts);
}
