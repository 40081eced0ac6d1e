/**
 * What stands between the edge and a node: a wire that can be cut after any byte, reset, left hanging, or made slow. It
 * understands nothing of what it carries but one thing: the request id in a node call, so that whoever strikes can say
 * which request was struck. It counts the bytes of an answer from there.
 */
import { createServer, connect, type AddressInfo, type Server, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

export type WireFault =
  /** The stream ends, as if the node had closed it. */
  | "cut"
  | "reset"
  /** Nothing comes any more, and nobody says so. */
  | "stall"
  /** A trickle, for a while. */
  | "throttle";

export type Struck = { readonly fault: WireFault; readonly request: string; readonly atMs: number };

type Wire = {
  readonly edge: Socket;
  readonly node: Socket;
  /** Of the call that is on it now; undefined before the first. */
  request: string | undefined;
  /** Of its answer, so far. */
  bytes: number;
  fate: { readonly fault: WireFault; readonly atByte: number } | undefined;
  state: "flows" | "trickles" | "hangs" | "broken";
};

const REQUEST = /"request":"(req_[0-9A-Z]{26})"/;
/** A stalled wire is broken after this long: whoever did not notice gets its answer then. */
const STALL_MS = 30_000;
const TRICKLE_BYTES = 64;
const TRICKLE_EVERY_MS = 20;
const TRICKLE_MS = 1_500;

export class TcpProxy {
  readonly #server: Server;
  readonly #wires = new Set<Wire>();
  readonly #onStruck: (struck: Struck) => void;
  readonly #nodePort: number;
  #onCall: ((request: string) => void) | undefined;

  constructor(nodePort: number, onStruck: (struck: Struck) => void) {
    this.#nodePort = nodePort;
    this.#onStruck = onStruck;
    this.#server = createServer((edge) => this.#join(edge));
  }

  /** The url at which the node is reached through it. */
  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** The request on each wire that is whole; one that is over rests on its wire until the next one comes. */
  get carried(): readonly string[] {
    return [...this.#wires].flatMap(({ request, state }) =>
      request === undefined || (state !== "flows" && state !== "trickles") ? [] : [request],
    );
  }

  /** Tells of every call that comes from now on; undefined: of none. */
  onCall(listener: ((request: string) => void) | undefined): void {
    this.#onCall = listener;
  }

  /** Strikes the wire that carries this request, so many bytes from now; false where it is not here any more. */
  strike(request: string, fault: WireFault, inBytes: number): boolean {
    const wire = [...this.#wires].find((candidate) => candidate.request === request);
    if (wire === undefined || wire.state !== "flows" || wire.fate !== undefined) return false;
    wire.fate = { fault, atByte: wire.bytes + inBytes };
    return true;
  }

  async close(): Promise<void> {
    for (const wire of this.#wires) this.#break(wire);
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #join(edge: Socket): void {
    const node = connect(this.#nodePort, "127.0.0.1");
    const wire: Wire = { edge, node, request: undefined, bytes: 0, fate: undefined, state: "flows" };
    this.#wires.add(wire);
    edge.setNoDelay(true);
    node.setNoDelay(true);
    // What an end does to the other follows from `close`; errors have nothing to add.
    edge.on("error", () => undefined);
    node.on("error", () => undefined);
    edge.on("data", (bytes) => {
      const request = REQUEST.exec(bytes.toString("latin1"))?.[1];
      if (request !== undefined) {
        wire.request = request;
        wire.bytes = 0;
        wire.fate = undefined;
        this.#onCall?.(request);
      }
      if (!node.write(bytes)) edge.pause();
    });
    node.on("drain", () => edge.resume());
    edge.on("drain", () => node.resume());
    node.on("data", (bytes) => this.#carry(wire, bytes));
    node.on("close", () => {
      if (wire.state === "flows" || wire.state === "trickles") edge.end();
      if (wire.state !== "hangs") this.#wires.delete(wire);
    });
    edge.on("close", () => this.#break(wire));
  }

  #carry(wire: Wire, bytes: Buffer): void {
    const { fate } = wire;
    const before = wire.bytes;
    wire.bytes += bytes.length;
    if (wire.state === "hangs" || wire.state === "broken") return;
    if (fate === undefined || wire.bytes < fate.atByte) {
      if (wire.state === "flows" && !wire.edge.write(bytes)) wire.node.pause();
      return;
    }
    wire.fate = undefined;
    const first = bytes.subarray(0, Math.max(0, fate.atByte - before));
    wire.edge.write(first);
    this.#onStruck({ fault: fate.fault, request: wire.request ?? "", atMs: performance.now() });
    switch (fate.fault) {
      case "cut":
        wire.state = "broken";
        wire.edge.end();
        wire.node.destroy();
        return;
      case "reset":
        wire.state = "broken";
        wire.edge.resetAndDestroy();
        wire.node.destroy();
        return;
      case "stall":
        wire.state = "hangs";
        setTimeout(() => this.#break(wire), STALL_MS).unref();
        return;
      case "throttle":
        void this.#trickle(wire, bytes.subarray(first.length));
    }
  }

  /** Everything that comes in this time goes on in small pieces, in order; then the wire flows again. */
  async #trickle(wire: Wire, rest: Buffer): Promise<void> {
    wire.state = "trickles";
    const waiting: Buffer[] = [rest];
    const collect = (bytes: Buffer): void => {
      waiting.push(bytes);
    };
    wire.node.on("data", collect);
    const untilMs = performance.now() + TRICKLE_MS;
    while (performance.now() < untilMs && !wire.edge.destroyed) {
      const bytes = Buffer.concat(waiting.splice(0));
      wire.edge.write(bytes.subarray(0, TRICKLE_BYTES));
      waiting.unshift(bytes.subarray(TRICKLE_BYTES));
      await delay(TRICKLE_EVERY_MS);
    }
    wire.node.off("data", collect);
    wire.edge.write(Buffer.concat(waiting));
    wire.state = "flows";
    if (wire.node.destroyed) wire.edge.end();
  }

  #break(wire: Wire): void {
    wire.state = "broken";
    this.#wires.delete(wire);
    wire.edge.destroy();
    wire.node.destroy();
  }
}
