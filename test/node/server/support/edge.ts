/**
 * An edge for a node's tests: a real HTTP server that enrols one node, takes its beats (every signature checked) and
 * makes signed calls. A test can make it silent, deaf or away, and waits for what the node says, never for time.
 */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import {
  Beat,
  BEAT_PATH,
  NODE_HEADER,
  SIGNATURE_HEADER,
  type BeatReply,
  type Command,
} from "@sluice/protocol/beat";
import { fromBase64Url, toBase64Url, utf8 } from "@sluice/protocol/bytes";
import {
  CALL_CONTENT_TYPE,
  DIALECT_PATHS,
  frameCall,
  importCallKey,
  MAC_HEADER,
  signCall,
  type CallHead,
} from "@sluice/protocol/call";
import { EnrolAsk, ENROL_PATH, type EnrolAnswer } from "@sluice/protocol/enrol";
import { ulid } from "@sluice/protocol/ids";
import { journalListPath, journalPath, JournalAnswer, JournalList } from "@sluice/protocol/journal";
import { openReceipt, type Receipt } from "@sluice/protocol/receipt";
import { importPublicKey, verifyText } from "@sluice/protocol/sign";

export const CHAT_PATH = "/v1/chat/completions";
const NODE_ID = "node_0123456789";
export const JOIN_TOKEN = "join-token-of-a-test-0123456789";
const WAIT_MS = 15_000;

export type CallWish = {
  readonly body: object | string;
  readonly head?: Partial<CallHead>;
  readonly path?: string;
  readonly mac?: string;
  readonly signal?: AbortSignal;
};

export class TestEdge {
  readonly beats: Beat[] = [];
  /** By "request/ordinal", as first heard; every further copy must be the same. */
  readonly receipts = new Map<string, Receipt>();
  /** How often each was heard. */
  readonly heard = new Map<string, number>();
  publicKey: string | undefined;
  acking = true;
  away = false;
  /** How far the edge's clock is ahead of the machine's. */
  aheadMs = 0;
  rejectTickets = new Set<string>();
  commands: Command[] = [];
  callKeys: { id: string; key: string }[] = [{ id: "k1", key: toBase64Url(new Uint8Array(32).fill(7)) }];
  #server: Server;
  #waiting: (() => void)[] = [];

  constructor() {
    this.#server = createServer((incoming, response) => {
      const chunks: Buffer[] = [];
      incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
      incoming.on("end", () => {
        const { url } = incoming;
        const header = (name: string): string => String(incoming.headers[name] ?? "");
        if (this.away || (url !== BEAT_PATH && url !== ENROL_PATH)) {
          response.writeHead(this.away ? 503 : 404).end("{}");
          return;
        }
        const text = Buffer.concat(chunks).toString();
        const answer = url === BEAT_PATH ? this.#beat(text, header) : this.#enrol(text, header);
        const send = (status: number, body: string): void => {
          response.writeHead(status, { "content-type": "application/json" }).end(body);
          for (const told of this.#waiting.splice(0)) told();
        };
        answer.then(
          (body) => send(200, JSON.stringify(body)),
          (error: unknown) => send(400, String(error)),
        );
      });
    });
  }

  async listen(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return this;
  }

  get url(): URL {
    return new URL(`http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`);
  }

  get nowMs(): number {
    return Date.now() + this.aheadMs;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** Waits for a beat after which `holds` is true. */
  async until(holds: () => boolean, what: string): Promise<void> {
    const overAtMs = Date.now() + WAIT_MS;
    while (!holds()) {
      if (Date.now() > overAtMs) throw new Error(`waited in vain for ${what}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 100);
        this.#waiting.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  async receipt(request: string, ordinal = 0): Promise<Receipt> {
    const name = `${request}/${ordinal}`;
    await this.until(() => this.receipts.has(name), `the receipt of ${name}`);
    const receipt = this.receipts.get(name);
    if (receipt === undefined) throw new Error("unreachable");
    return receipt;
  }

  head(head: Partial<CallHead> = {}): CallHead {
    const request = head.request ?? newRequest();
    return {
      v: 1,
      request,
      ordinal: 0,
      node: NODE_ID,
      issuedAtMs: this.nowMs,
      dialect: "openai.chat",
      responseId: `chatcmpl-${request.slice(4)}`,
      stream: true,
      createdS: 1_700_000_000,
      model: "script",
      modelAs: "deepseek-chat",
      thinkingDefault: false,
      tag: "tag-of-a-tenant",
      lane: "lane-of-a-tenant",
      promptCeiling: 10_000,
      outputCeiling: 1_000,
      ticket: `ticket-${request}-${head.ordinal ?? 0}`,
      ...head,
    };
  }

  async call(
    node: string,
    { body, head, path, mac, signal }: CallWish,
  ): Promise<Response & { request: string }> {
    const whole = this.head(head);
    const bytes = frameCall(whole, utf8(typeof body === "string" ? body : JSON.stringify(body)));
    const own = DIALECT_PATHS[whole.dialect];
    const signature = mac ?? (await this.#mac(own, bytes));
    const response = await fetch(`${node}${path ?? own}`, {
      method: "POST",
      headers: { "content-type": CALL_CONTENT_TYPE, [MAC_HEADER]: signature },
      body: bytes,
      ...(signal === undefined ? {} : { signal }),
    });
    return Object.assign(response, { request: whole.request });
  }

  async journal(node: string, request: string, from: number, to: number): Promise<JournalAnswer> {
    const path = journalPath({ request, ordinal: 0, choice: 0 }, from, to);
    return JournalAnswer.parse(await (await this.get(node, path)).json());
  }

  async journalList(node: string, after: number, begunBeforeMs: number): Promise<JournalList> {
    return JournalList.parse(await (await this.get(node, journalListPath(after, begunBeforeMs))).json());
  }

  /** A signed question without a body. */
  async get(node: string, path: string): Promise<Response> {
    return fetch(`${node}${path}`, {
      headers: { [MAC_HEADER]: await this.#mac(path, new Uint8Array()) },
    });
  }

  async #mac(path: string, bytes: Uint8Array): Promise<string> {
    const { id, key } = this.callKeys[0] ?? { id: "", key: "" };
    return signCall(id, await importCallKey(fromBase64Url(key) ?? new Uint8Array()), path, bytes);
  }

  async #enrol(text: string, header: (name: string) => string): Promise<EnrolAnswer> {
    const ask = EnrolAsk.parse(JSON.parse(text));
    if (ask.joinToken !== JOIN_TOKEN) throw new Error("unknown join token");
    const key = await importPublicKey(ask.publicKey);
    if (!(await verifyText(key, "sluice-enrol", text, header(SIGNATURE_HEADER))))
      throw new Error("bad signature");
    this.publicKey = ask.publicKey;
    return { v: 1, node: NODE_ID, region: "here", edgeTimeMs: this.nowMs, callKeys: this.callKeys };
  }

  async #beat(text: string, header: (name: string) => string): Promise<BeatReply> {
    if (this.publicKey === undefined || header(NODE_HEADER) !== NODE_ID) throw new Error("unknown node");
    const key = await importPublicKey(this.publicKey);
    if (!(await verifyText(key, "sluice-beat", text, header(SIGNATURE_HEADER))))
      throw new Error("bad signature");
    const beat = Beat.parse(JSON.parse(text));
    const last = this.beats.at(-1);
    if (last !== undefined && last.boot === beat.boot && beat.seq <= last.seq) throw new Error("stale beat");
    this.beats.push(beat);
    const reply = { v: 1, edgeTimeMs: this.nowMs, rejected: [], commands: this.commands } as const;
    const acks: BeatReply["acks"] = [];
    const rejected: BeatReply["rejected"] = [];
    for (const signed of beat.receipts) {
      const opened = await openReceipt(key, signed);
      if (!opened.ok) throw new Error(`a receipt is ${opened.why}`);
      const { request, ordinal, choice, ticket } = opened.receipt;
      const name = `${request}/${ordinal}`;
      this.receipts.set(name, this.receipts.get(name) ?? opened.receipt);
      this.heard.set(name, (this.heard.get(name) ?? 0) + 1);
      if (this.rejectTickets.has(ticket)) rejected.push({ ticket, why: "forged" });
      else if (this.acking) acks.push({ request, ordinal, choice });
    }
    const renewed = beat.renew.map(({ ticket }) => attemptOf(ticket));
    const newKeys = beat.callKeyIds.includes(this.callKeys[0]?.id ?? "") ? {} : { callKeys: this.callKeys };
    return { ...reply, acks, renewed, rejected, commands: this.commands, ...newKeys };
  }
}

/** Test tickets say in clear what real ones seal. */
function attemptOf(ticket: string): { request: string; ordinal: number; choice: number } {
  const [, request = "", ordinal = ""] = /^ticket-(req_\w+)-(\d+)$/.exec(ticket) ?? [];
  return { request, ordinal: Number(ordinal), choice: 0 };
}

export function newRequest(): string {
  return `req_${ulid(Date.now(), crypto.getRandomValues(new Uint8Array(16)))}`;
}
