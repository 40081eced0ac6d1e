/**
 * The upstream of every target, a process of its own: raw sockets, bytes rendered beforehand, connections kept alive. On
 * one port it speaks plain OpenAI; on another it is a node of Sluice and says the same bytes in the node's protocol.
 */
import { createServer, type Socket } from "node:net";
import type { AddressInfo } from "node:net";
import { HttpReader } from "../http-reader.ts";
import { answering, type FromUpstream, type ToUpstream } from "../messages.ts";
import { render, SCENES, type Rendered, type Tongue } from "../script.ts";
import { startAnswer, type Answer } from "./answering.ts";
import { NodeSide, type NodeCallFacts } from "./node-side.ts";

const HOST = "127.0.0.1";
const NOT_FOUND = Buffer.from("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
const LINE_FEED = 10;

const rendered: Readonly<Record<Tongue, ReadonlyMap<string, Rendered>>> = {
  openai: new Map(Object.values(SCENES).map((scene) => [scene.model, render(scene, "openai")])),
  node: new Map(Object.values(SCENES).map((scene) => [scene.model, render(scene, "node")])),
};

let node: NodeSide | undefined;

function modelIn(body: Buffer): string {
  return /"model" *: *"([^"]+)"/.exec(body.toString("latin1"))?.[1] ?? "";
}

/** One connection; it answers one request after another. */
function serve(socket: Socket, tongue: Tongue): void {
  socket.setNoDelay(true);
  let parts: Buffer[] = [];
  let running:
    | {
        readonly answer: Answer;
        readonly call: NodeCallFacts | undefined;
        readonly side: NodeSide | undefined;
      }
    | undefined;

  const answer = (): void => {
    const body = parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts);
    parts = [];
    const cut = tongue === "node" ? body.indexOf(LINE_FEED) : -1;
    const found = rendered[tongue].get(modelIn(body.subarray(cut + 1)));
    const side = tongue === "node" ? node : undefined;
    if (found === undefined || (tongue === "node" && side === undefined)) {
      socket.write(NOT_FOUND);
      return;
    }
    const call = cut < 0 ? undefined : (JSON.parse(body.toString("utf8", 0, cut)) as NodeCallFacts);
    side?.begin();
    let over = false;
    const started = startAnswer(socket, found, () => {
      over = true;
      running = undefined;
      if (call !== undefined) side?.end(call, found.tokens, "stop");
    });
    if (!over) running = { answer: started, call, side };
  };

  const reader = new HttpReader({
    onHead: () => undefined,
    onBody: (part) => parts.push(part),
    onEnd: answer,
  });
  socket.on("data", (bytes) => reader.push(bytes));
  socket.on("error", () => socket.destroy());
  socket.on("close", () => {
    if (running === undefined) return;
    const { answer, call, side } = running;
    answer.stop();
    if (call !== undefined) side?.end(call, answer.written(), "client_gone");
    running = undefined;
  });
}

function listen(tongue: Tongue): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => serve(socket, tongue));
    server.once("error", reject);
    server.listen(0, HOST, () => resolve((server.address() as AddressInfo).port));
  });
}

const ports = { openaiPort: await listen("openai"), nodePort: await listen("node") };

answering(async (ask: ToUpstream): Promise<FromUpstream> => {
  switch (ask.do) {
    case "ports":
      return ports;
    case "enrol": {
      node?.stop();
      node = new NodeSide(ask.edgeUrl);
      return { node: await node.enrol(ask.joinToken) };
    }
    case "rejected":
      return { rejected: node?.rejected ?? 0 };
    case "leave":
      node?.stop();
      node = undefined;
      return {};
  }
});
