/**
 * What a server really does, found out by one token each time it becomes ready: versions, backends and flags decide whether
 * a grammar binds by tokens and whether cached tokens are told, and no server says so. A server that has no room, or is not
 * well, has proved nothing: then this throws, and is tried again.
 */
import type { Leg, Server } from "./server.ts";
import { isErrorEvent } from "./server.ts";
import { type Wire, WireError } from "./wire.ts";
import type { Words } from "./words.ts";

export type Proven = {
  /** It wrote the one token a grammar left it. */
  readonly grammar: boolean;
  /** It says how many prompt tokens were cached. */
  readonly cached: boolean;
};

const ASK_MS = 60_000;
const TILDE = 0x7e;

export async function prove(wire: Wire, server: Server, model: string, words: Words): Promise<Proven> {
  const token = unlikely(words);
  const leg: Leg = { tokens: [token], tokensMax: 1, sampling: { temperature: 0, topP: 1 } };
  const grammar = server.notation === "gbnf" ? `root ::= <[${token}]>` : `root ::= Token(${token})`;
  const bound = await one(wire, server, model, { ...leg, grammar }).catch((error: unknown) => {
    // What cannot take the grammar may say so with any status but "later"; whether it is well is asked next, without it.
    if (error instanceof WireError && !error.isLater) return undefined;
    throw error;
  });
  const told = bound ?? (await one(wire, server, model, leg));
  return { grammar: bound?.ids[0] === token, cached: told?.cached !== undefined };
}

type Told = { readonly ids: readonly number[]; readonly cached: number | undefined };

/** Undefined where the server gave it up. */
async function one(wire: Wire, server: Server, model: string, leg: Leg): Promise<Told | undefined> {
  const { path, body } = server.generate(model, leg, { tag: undefined });
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
