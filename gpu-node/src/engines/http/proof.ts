/**
 * What a server really does, found out by a few tokens each time it becomes ready: versions, backends and flags decide whether
 * it shows token ids, keeps the prompts of different tags apart, binds by tokens and tells what was cached, and no server says so.
 * One without ids, or that reuses one user's prompt for another, is unfit: the alternative would be a wrong bill, or a leak.
 * A server that has no room, or is not well, has proved nothing: then this throws, and is tried again.
 */
import { Unfit } from "./peer.ts";
import type { Leg, Server, ServerFacts } from "./server.ts";
import { isErrorEvent } from "./server.ts";
import { type Wire, WireError } from "./wire.ts";
import type { Words } from "./words.ts";

export type Proven = {
  /** It wrote the one token a grammar left it. */
  readonly grammar: boolean;
  /** It says how many prompt tokens were cached. */
  readonly cached: boolean;
  /** Prompts of different tags are not reused for each other; undefined where that cannot be seen. */
  readonly apart: boolean | undefined;
};

const ASK_MS = 60_000;
const TILDE = 0x7e;
/** A prompt nobody else has, longer than the blocks in which any of these servers keeps prompts. */
const STRANGE_TOKENS = 512;
const STRANGE_TOKENS_MIN = 64;

/** Throws `Unfit` where the server cannot be fronted. */
export async function prove(
  wire: Wire,
  server: Server,
  { model, contextTokens }: Pick<ServerFacts, "model" | "contextTokens">,
  words: Words,
): Promise<Proven> {
  const { hints } = server;
  const token = unlikely(words);
  const leg: Leg = { tokens: [token], tokensMax: 1, sampling: { temperature: 0, topP: 1 } };
  const grammar = server.notation === "gbnf" ? `root ::= <[${token}]>` : `root ::= Token(${token})`;
  const bound = await one(wire, server, model, { leg: { ...leg, grammar } }).catch((error: unknown) => {
    // What cannot take the grammar may say so with any status but "later"; whether it is well is asked next, without it.
    if (error instanceof WireError && !error.isLater) return undefined;
    throw error;
  });
  const told = bound ?? (await one(wire, server, model, { leg }));
  if (told === undefined) throw new Error("it gave up the one token that it was asked for");
  if (told.ids.length === 0) throw new Unfit(`it shows no token ids (${hints.ids}; or --server openai)`);
  const cached = told.cached !== undefined;
  const apart = cached ? await keepsApart(wire, server, model, strange(words, contextTokens)) : undefined;
  if (apart === false)
    throw new Unfit(`it reuses the prompt of one user for another (${hints.apart}; or no prefix cache)`);
  return { grammar: bound?.ids[0] === token, cached, apart };
}

type Told = { readonly ids: readonly number[]; readonly cached: number | undefined };

/** Undefined where the server gave it up. */
async function one(
  wire: Wire,
  server: Server,
  model: string,
  { leg, tag }: { readonly leg: Leg; readonly tag?: string },
): Promise<Told | undefined> {
  const { path, body } = server.generate(model, leg, { tag });
  const read = server.reader();
  const ids: number[] = [];
  let cached: number | undefined;
  for await (const event of wire.events(path, body, AbortSignal.timeout(ASK_MS))) {
    const part = isErrorEvent(event) ? { gaveUp: true as const } : read(event);
    if (part.gaveUp === true) return undefined;
    ids.push(...(part.ids ?? []));
    cached = part.cached ?? cached;
  }
  return { ids, cached };
}

/** The same prompt under two tags: what is cached of it the second time is the first one's. */
async function keepsApart(
  wire: Wire,
  server: Server,
  model: string,
  tokens: readonly number[],
): Promise<boolean | undefined> {
  if (server.isolation !== "salt" || tokens.length < STRANGE_TOKENS_MIN) return undefined;
  const leg: Leg = { tokens, tokensMax: 1, sampling: { temperature: 0, topP: 1 } };
  let cached: number | undefined;
  for (const tag of [crypto.randomUUID(), crypto.randomUUID()])
    cached = (await one(wire, server, model, { leg, tag }))?.cached;
  return cached === undefined ? undefined : cached < tokens.length / 2;
}

/** Ordinary tokens, thrown anew each time. */
function strange({ vocabulary }: Words, contextTokens: number): readonly number[] {
  const ordinary: number[] = [];
  for (let id = 0; id < vocabulary.size; id++)
    if (!vocabulary.special.has(id) && (vocabulary.bytesOf(id)?.length ?? 0) > 0) ordinary.push(id);
  const dice = crypto.getRandomValues(new Uint32Array(Math.min(STRANGE_TOKENS, contextTokens >> 1)));
  return [...dice].flatMap((thrown) => ordinary[thrown % ordinary.length] ?? []);
}

/** The mark that closes thinking, or a tilde: no model goes on with it behind itself unless it must. */
function unlikely({ vocabulary }: Words): number {
  const { size, special, think } = vocabulary;
  if (think !== undefined) return think.close;
  for (let id = 0; id < size; id++) {
    const bytes = vocabulary.bytesOf(id);
    if (!special.has(id) && bytes?.length === 1 && bytes[0] === TILDE) return id;
  }
  return 0;
}
