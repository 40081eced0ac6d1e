/**
 * Reads a body, never keeping more of it than allowed, nor waiting for it without end. A length that is announced is
 * believed only to refuse early; what arrives is counted, and asked room for before it is kept. A client's body that is
 * refused is read to its end all the same, within reason, and dropped: a client that is still sending when its
 * connection closes sees a broken pipe and never the answer that says why.
 *
 * An answer's announced length says nothing at all: the runtime has unpacked what came, and sixty kilobytes may be sixty
 * megabytes. It is never drained, either: who answers too much is hung up on.
 */
import { FaultError } from "../core/fault.ts";
import { within } from "../core/within.ts";

/** Refused bodies are read and dropped up to here; whoever sends more has to live with the broken pipe. */
const DISCARD_BYTES_MAX = 32 * 1024 * 1024;
/** Whoever sends nothing for so long is not waited for... */
export const BODY_IDLE_MS = 10_000;
/** ...and nobody longer than this: four megabytes in it are half a megabit a second. */
export const BODY_TOTAL_MS = 60_000;
/**
 * A client's body that announces no more is taken in one native read, which is what nearly every call costs. Nobody sees
 * where it pauses, so it has the time of a whole one.
 */
const AT_ONCE_BYTES_MAX = 64 * 1024;
/** What is kept of a body grows by doubling, so that a body in a million pieces costs what one in a single piece does. */
const KEPT_BYTES_MIN = 16 * 1024;

/** Asked before more of a body is kept, with how much that would be in all. Throws a FaultError to refuse. */
export type Room = (bytes: number) => void;

const ANY_ROOM: Room = () => undefined;

/** Throws a FaultError `too_large` or `too_slow`, or what `room` throws; having kept nothing beyond that. */
export async function readBody(
  message: Request | Response,
  bytesMax: number,
  room: Room = ANY_ROOM,
): Promise<Uint8Array> {
  const announced = announcedLength(message);
  if (announced !== undefined && announced > bytesMax) throw tooLarge(bytesMax);
  if (message.body === null) return new Uint8Array();
  const isClients = message instanceof Request;
  // The runtime holds a client to what it announced.
  if (isClients && announced !== undefined && announced <= AT_ONCE_BYTES_MAX) {
    room(announced);
    const whole = await within(message.arrayBuffer(), BODY_TOTAL_MS);
    if (whole === undefined) throw tooSlow();
    return new Uint8Array(whole);
  }
  const kept = new Kept(isClients ? (announced ?? bytesMax) : bytesMax, bytesMax, room);
  let refused: FaultError | undefined;
  await eachPiece(message.body, (piece, length) => {
    try {
      if (refused === undefined) kept.add(piece);
    } catch (error) {
      if (!(error instanceof FaultError) || !isClients) throw error;
      refused = error;
      kept.drop();
    }
    return length <= DISCARD_BYTES_MAX;
  }).catch((error: unknown) => {
    throw refused ?? error;
  });
  if (refused !== undefined) throw refused;
  return kept.whole();
}

/** Reads what is left of a body nobody wanted. */
export async function discardBody(request: Request): Promise<void> {
  if (request.body === null || request.bodyUsed) return;
  if ((announcedLength(request) ?? 0) > DISCARD_BYTES_MAX) return;
  try {
    await eachPiece(request.body, (_, length) => length <= DISCARD_BYTES_MAX);
  } catch {
    // The client stopped sending: then it is not waiting for an answer either.
  }
}

/** Hands over each piece, and how much there has been with it, until there is no more or `take` wants no more. */
async function eachPiece(
  body: ReadableStream<Uint8Array>,
  take: (piece: Uint8Array, length: number) => boolean,
): Promise<void> {
  const reader = body.getReader();
  const patience = waitForPieces();
  let length = 0;
  let isOver = false;
  try {
    while (!isOver) {
      const { done, value } = await Promise.race([reader.read(), patience.over]);
      patience.heard();
      isOver = done;
      if (value === undefined) continue;
      length += value.length;
      if (!take(value, length)) return;
    }
  } finally {
    patience.stop();
    // What was not read is not wanted, and who sends it need not know.
    if (!isOver) void reader.cancel().catch(() => undefined);
  }
}

/** `over` rejects when nothing was heard for too long, or it all takes too long. One timer for a thousand pieces. */
function waitForPieces() {
  const beganAtMs = Date.now();
  let heardAtMs = beganAtMs;
  let timer: ReturnType<typeof setTimeout> | null = null;
  const over = new Promise<never>((_, reject) => {
    const look = (): void => {
      const leftMs = Math.min(heardAtMs + BODY_IDLE_MS, beganAtMs + BODY_TOTAL_MS) - Date.now();
      if (leftMs <= 0) reject(tooSlow());
      else timer = setTimeout(look, leftMs);
    };
    look();
  });
  over.catch(() => undefined);
  return {
    over,
    heard: () => {
      heardAtMs = Date.now();
    },
    stop: () => {
      if (timer !== null) clearTimeout(timer);
    },
  };
}

/** The beginning of a body: as much of it as has arrived, in one piece. */
class Kept {
  readonly #likely: number;
  readonly #bytesMax: number;
  readonly #room: Room;
  #bytes = new Uint8Array();
  #length = 0;

  /** `likely`: how long it will be, by what can be believed; room for that much is never asked before half of it is here. */
  constructor(likely: number, bytesMax: number, room: Room) {
    this.#likely = likely;
    this.#bytesMax = bytesMax;
    this.#room = room;
  }

  add(piece: Uint8Array): void {
    const length = this.#length + piece.length;
    if (length > this.#bytesMax) throw tooLarge(this.#bytesMax);
    if (length > this.#bytes.length) {
      const doubled = Math.min(Math.max(KEPT_BYTES_MIN, 2 * length), this.#likely);
      const size = Math.max(length, doubled);
      this.#room(size);
      const grown = new Uint8Array(size);
      grown.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = grown;
    }
    this.#bytes.set(piece, this.#length);
    this.#length = length;
  }

  drop(): void {
    this.#bytes = new Uint8Array();
    this.#length = 0;
    this.#room(0);
  }

  whole(): Uint8Array {
    return this.#length === this.#bytes.length ? this.#bytes : this.#bytes.slice(0, this.#length);
  }
}

function tooLarge(bytesMax: number): FaultError {
  return new FaultError({ kind: "too_large", bytesMax });
}

function tooSlow(): FaultError {
  return new FaultError({ kind: "too_slow", idleMs: BODY_IDLE_MS, totalMs: BODY_TOTAL_MS });
}

function announcedLength(message: Request | Response): number | undefined {
  const length = Number(message.headers.get("content-length") ?? "NaN");
  return Number.isFinite(length) ? length : undefined;
}
