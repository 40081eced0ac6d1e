/**
 * What a node says of the prompts it has cached, in a form an edge can compare with a prompt it has only as text.
 *
 * The edge cannot afford to tokenise, so nothing here is about tokens. Both sides read the same client's body and turn
 * it into the same sequence of characters: what stands before the messages in a prompt (model, thinking, tools), then
 * message after message. A **mark** is a 32-bit hash of such a sequence from its first character to some boundary, so
 * one equal mark means that everything before it is equal. A prompt's marks, shallow to deep, are its **trail**; a
 * node's **sketch** is the set of marks of what its engine could reuse now.
 *
 * Boundaries are where two prompts are likely to part: the ends of messages (the first few, where system prompts end,
 * and the last few, where the turn before ended), and between them a scale of four boundaries to every doubling of the
 * length. So a trail of any length has at most TRAIL_MARKS_MAX marks, and its error is a part of what is shared.
 *
 * Marks are keyed by the isolation tag: two accounts (or `user_id`s) never share one, as they never share a cache. The
 * hash is fast and no signature: a sketch is a hint that orders nodes, and a wrong one costs milliseconds, never a
 * wrong answer or a wrong bill.
 *
 * What a node owes: a sketch is closed towards the beginning (where a mark is in it, the marks of the same trail before
 * it are, too), which follows from dropping the least recently used first and, among those, the deepest.
 */
import { z } from "zod";
import { fromBase64Url, toBase64Url, type Bytes } from "./bytes.ts";

/** Marks in one sketch: eight kilobytes, ten in base64. About a million tokens of conversations fit. */
export const SKETCH_MARKS_MAX = 2_048;
/** Marks of one trail: the scale up to four million characters, and the message ends. */
export const TRAIL_MARKS_MAX = 128;
/** A node says its sketch anew at most this often; a beat without one means: as before. */
export const SKETCH_INTERVAL_MS = 1_000;

/** The scale's first boundaries are this far apart... */
const STEP_CHARS_MIN = 256;
/** ...and later ones a quarter of the last power of two. */
const STEPS_PER_DOUBLING = 4;
/** Message ends that are boundaries, counted from the first message and from the last. */
const FIRST_ENDS = 8;
const LAST_ENDS = 24;
const BASE64_CHARS_MAX = Math.ceil((SKETCH_MARKS_MAX * 4 * 4) / 3);

export const Sketch = z.object({
  /** The recipe of the marks. A reader that knows another ignores the sketch. */
  recipe: z.literal(1),
  /** Ascending 32-bit little-endian numbers, base64url. */
  marks: z.string().max(BASE64_CHARS_MAX),
  /** Characters of this module's sequence to one token of prompt, as this node measured it. */
  charsPerToken: z.number().min(0.1).max(100).optional(),
});
export type Sketch = z.infer<typeof Sketch>;

/** What of a client's body decides how its prompt begins, as `JSON.parse` gave it; the rest is not read. */
export type PromptSource = {
  /** The model's public id, aliases resolved, as the node call's head says it. */
  readonly model: string;
  readonly thinkingDefault: boolean;
  readonly body: {
    readonly messages: readonly unknown[];
    readonly tools?: unknown;
    readonly functions?: unknown;
    readonly thinking?: unknown;
    readonly reasoning_effort?: unknown;
  };
};

/** A prompt's hashes before they are keyed: they never leave the process that made them. */
export type Trail = {
  /** Shallow to deep, `chars[i]` being where boundary i lies. */
  readonly states: Uint32Array;
  readonly chars: Uint32Array;
  /** The whole prompt's length in characters. */
  readonly charsTotal: number;
  /** At the end of the first message of a user: the same for all turns of a conversation. */
  readonly opening: number;
};

/** A trail under one isolation tag. */
export type Marks = {
  readonly marks: Uint32Array;
  readonly chars: Uint32Array;
  readonly charsTotal: number;
  readonly opening: number;
};

/** The trail of a prompt. About 1.5 ns per character. */
export function trailOf(source: PromptSource): Trail {
  const { messages } = source.body;
  const walk = walkTo(source, messages.length);
  return walk.end();
}

/** The opening of a prompt alone: all that a router needs while no node has said a sketch. */
export function openingOf(source: PromptSource): number {
  const at = source.body.messages.findIndex(isUsers);
  return walkTo(source, at + 1 || source.body.messages.length).end().opening;
}

function walkTo({ model, thinkingDefault, body }: PromptSource, messages: number): Walk {
  const walk = new Walk();
  walk.feed(model);
  walk.feed(thinkingDefault ? "\u0001t" : "\u0001f");
  for (const value of [body.thinking, body.reasoning_effort, body.tools, body.functions])
    feedJson(walk, value);
  for (let at = 0; at < messages; at++) {
    const message = body.messages[at];
    feedMessage(walk, isObject(message) ? message : {});
    if (at < FIRST_ENDS || at >= messages - LAST_ENDS) walk.mark();
    if (isUsers(message)) walk.open();
  }
  return walk;
}

function isUsers(message: unknown): boolean {
  return isObject(message) && message["role"] === "user";
}

/** Keys an opening as `marksOf` does. */
export function keyedOpening(opening: number, tag: string): number {
  return keyOf(tag)(opening);
}

/** Keys a trail by the isolation tag of the call: what may be compared with a sketch, and what a node's sketch holds. */
export function marksOf(trail: Trail, tag: string): Marks {
  const key = keyOf(tag);
  const { chars, charsTotal, states, opening } = trail;
  return { marks: states.map(key), chars, charsTotal, opening: key(opening) };
}

function keyOf(tag: string): (state: number) => number {
  const a = hashOf(tag, 0x9747b28c);
  const b = hashOf(tag, 0x3c6ef372);
  return (state) => mix(mix(state ^ a) ^ b);
}

/** A node's sketch of these marks. The caller keeps the limit: of more than SKETCH_MARKS_MAX the last ones are lost. */
export function sketchOf(marks: Iterable<number>, charsPerToken?: number): Sketch {
  const kept = Uint32Array.from([...new Set(marks)].slice(0, SKETCH_MARKS_MAX)).toSorted();
  const bytes = new Uint8Array(kept.length * 4);
  const view = new DataView(bytes.buffer);
  for (const [at, mark] of kept.entries()) view.setUint32(at * 4, mark, true);
  const sketch = { recipe: 1, marks: toBase64Url(bytes) } as const;
  return charsPerToken === undefined ? sketch : { ...sketch, charsPerToken };
}

/** The marks in a sketch, ascending. Empty where it holds anything else: a hint that cannot be read is none. */
export function readSketch(sketch: Sketch): Uint32Array {
  const bytes: Bytes | undefined = fromBase64Url(sketch.marks);
  if (bytes === undefined || bytes.length % 4 !== 0) return NONE;
  const view = new DataView(bytes.buffer);
  const marks = new Uint32Array(bytes.length / 4);
  for (let at = 0; at < marks.length; at++) {
    const mark = view.getUint32(at * 4, true);
    if (at > 0 && mark <= (marks[at - 1] ?? 0)) return NONE;
    marks[at] = mark;
  }
  return marks;
}

const NONE = new Uint32Array();

/** How many characters of a prompt's beginning are among `held`, ascending marks as `readSketch` gives them. */
export function charsHeld(prompt: Marks, held: Uint32Array): number {
  return charsHeldBy(prompt, (mark) => has(held, mark));
}

/** The same, however it is known which marks are held. */
export function charsHeldBy({ marks, chars }: Marks, holds: (mark: number) => boolean): number {
  let known = 0;
  let unknown = marks.length;
  // Closed towards the beginning, so the deepest mark that is held can be found by halving.
  while (known < unknown) {
    const middle = (known + unknown) >>> 1;
    if (holds(marks[middle] ?? 0)) known = middle + 1;
    else unknown = middle;
  }
  return known === 0 ? 0 : (chars[known - 1] ?? 0);
}

function has(ascending: Uint32Array, mark: number): boolean {
  let low = 0;
  let high = ascending.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((ascending[middle] ?? 0) < mark) low = middle + 1;
    else high = middle;
  }
  return low < ascending.length && ascending[low] === mark;
}

/** The first boundary of the scale beyond a position. */
export function nextOnScale(chars: number): number {
  const octave = chars < 1 ? 0 : 2 ** Math.floor(Math.log2(chars));
  const step = Math.max(STEP_CHARS_MIN, octave / STEPS_PER_DOUBLING);
  return (Math.floor(chars / step) + 1) * step;
}

/** One pass over a prompt's characters, leaving a state at every boundary. */
class Walk {
  state = 0x811c9dc5;
  #chars = 0;
  #opening: number | undefined;
  #next = nextOnScale(0);
  readonly #states: number[] = [];
  readonly #at: number[] = [];

  feed(text: string): void {
    let { state } = this;
    let from = 0;
    while (from < text.length) {
      const to = Math.min(text.length, from + this.#next - this.#chars);
      // Two characters a step. Where pairs begin depends on what came before alone, so equal beginnings stay equal.
      const odd = (to - from) % 2;
      for (let i = from; i < to - odd; i += 2) {
        state = Math.imul(state ^ (text.charCodeAt(i) | (text.charCodeAt(i + 1) << 16)), 0x9e3779b1);
        state ^= state >>> 15;
      }
      if (odd === 1) {
        state = Math.imul(state ^ text.charCodeAt(to - 1), 0x85ebca77);
        state ^= state >>> 15;
      }
      this.#chars += to - from;
      from = to;
      this.state = state;
      if (this.#chars === this.#next) {
        this.mark();
        this.#next = nextOnScale(this.#chars);
      }
    }
  }

  mark(): void {
    if (this.#at.at(-1) === this.#chars || this.#at.length >= TRAIL_MARKS_MAX) return;
    this.#states.push(this.state >>> 0);
    this.#at.push(this.#chars);
  }

  /** The conversation's first question ends here, if it has not ended before. */
  open(): void {
    this.#opening ??= this.state;
  }

  end(): Trail {
    return {
      states: Uint32Array.from(this.#states),
      chars: Uint32Array.from(this.#at),
      charsTotal: this.#chars,
      opening: (this.#opening ?? this.state) >>> 0,
    };
  }
}

/** Role and text, with what a template prints beside them. The signs between keep "ab" + "c" and "a" + "bc" apart. */
function feedMessage(walk: Walk, message: { readonly [field: string]: unknown }): void {
  walk.feed(`\u0002${typeof message["role"] === "string" ? message["role"] : ""}\u0003`);
  const { content } = message;
  if (typeof content === "string") walk.feed(content);
  else if (Array.isArray(content)) for (const part of content) feedPart(walk, part);
  for (const field of ["name", "tool_calls", "tool_call_id", "reasoning_content"])
    feedJson(walk, message[field]);
}

/** A text part is its text, so that both spellings of a message have one trail. */
function feedPart(walk: Walk, part: unknown): void {
  const text = isObject(part) && part["type"] === "text" ? part["text"] : undefined;
  if (typeof text === "string") walk.feed(text);
  else feedJson(walk, part);
}

function feedJson(walk: Walk, value: unknown): void {
  if (value === undefined || value === null) return;
  walk.feed(`\u0001${JSON.stringify(value)}`);
}

function isObject(value: unknown): value is { readonly [field: string]: unknown } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function hashOf(text: string, seed: number): number {
  let state = seed;
  for (let i = 0; i < text.length; i++) state = mix(Math.imul(state, 31) ^ text.charCodeAt(i));
  return state;
}

/** Spreads 32 bits over 32 bits, one to one. */
export function mix(value: number): number {
  let x = value;
  x ^= x >>> 16;
  x = Math.imul(x, 0x85ebca6b);
  x ^= x >>> 13;
  x = Math.imul(x, 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}
