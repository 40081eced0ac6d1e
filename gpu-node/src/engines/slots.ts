/**
 * Which slot takes a task: a pure decision. A slot remembers the tokens it has evaluated and the isolation tag they
 * belong to; a task may reuse a prefix only of its own tag. A match that is merely the template's first tokens must
 * not evict a long cached prompt, so a match counts from max(32 tokens, 10 % of the prompt) on, or when nothing is
 * lost by it (the slot's whole content, or the whole prompt, matches); else an empty slot is taken, else one of those
 * that were used longest ago. Of several, one beside a busy slot: llama.cpp evaluates neighbours together (eight answers in
 * slots that lie apart took nearly twice the processor of eight in a row). At least one token is always left to evaluate:
 * logits come from evaluation alone.
 */
export const MATCH_TOKENS_MIN = 32;
const MATCH_SHARE_MIN = 0.1;
/** So many of the free slots with a content count as used longest ago. */
const OLDER_SHARE = 0.5;

export type SlotView = {
  readonly busy: boolean;
  readonly tag: string;
  readonly tokens: readonly number[];
  /** Any clock that only rises. */
  readonly usedAt: number;
};

export type SlotChoice = {
  readonly slot: number;
  readonly reuse: number;
  /** The slot that `reuse` tokens are copied from; undefined where the slot itself holds them. */
  readonly from?: number;
};

type Match = { readonly slot: number; readonly reuse: number; readonly lost: number };

/** Undefined when every slot is busy. */
export function chooseSlot(
  slots: readonly SlotView[],
  tag: string,
  tokens: readonly number[],
  canCopy = false,
): SlotChoice | undefined {
  const need = Math.max(MATCH_TOKENS_MIN, Math.ceil(tokens.length * MATCH_SHARE_MIN));
  let best: Match | undefined;
  let busy: Match | undefined;
  const empties: Match[] = [];
  const others: (Match & { readonly usedAt: number })[] = [];
  for (const [index, slot] of slots.entries()) {
    if (slot.tokens.length === 0) {
      if (!slot.busy) empties.push({ slot: index, reuse: 0, lost: 0 });
      continue;
    }
    const match = slot.tag === tag ? commonPrefix(slot.tokens, tokens) : 0;
    const reuse = Math.max(0, Math.min(match, tokens.length - 1));
    const lost = slot.tokens.length - match;
    const found = { slot: index, reuse, lost };
    if (slot.busy) {
      if (match >= need && (busy === undefined || reuse > busy.reuse)) busy = found;
      continue;
    }
    const counts = match >= need || (match > 0 && (lost === 0 || match >= tokens.length - 1));
    if (counts && (best === undefined || reuse > best.reuse || (reuse === best.reuse && lost < best.lost)))
      best = found;
    others.push({ ...found, usedAt: slot.usedAt });
  }
  const empty = besideBusy(slots, empties)?.slot;
  others.sort((a, b) => a.usedAt - b.usedAt);
  const oldest = besideBusy(slots, others.slice(0, Math.ceil(others.length * OLDER_SHARE)));
  const copied = canCopy ? copyOf({ best, busy, empty, oldest: oldest?.slot }, need) : undefined;
  if (copied !== undefined) return copied;
  if (best !== undefined) return { slot: best.slot, reuse: best.reuse };
  if (empty !== undefined) return { slot: empty, reuse: 0 };
  return oldest === undefined ? undefined : { slot: oldest.slot, reuse: oldest.reuse };
}

/** The first of those with most busy neighbours. */
function besideBusy(slots: readonly SlotView[], free: readonly Match[]): Match | undefined {
  let best: Match | undefined;
  let most = -1;
  for (const match of free) {
    const busy = [match.slot - 1, match.slot + 1].filter((at) => slots[at]?.busy === true).length;
    if (busy > most) [best, most] = [match, busy];
  }
  return best;
}

function copyOf(
  found: {
    readonly best: Match | undefined;
    readonly busy: Match | undefined;
    readonly empty: number | undefined;
    readonly oldest: number | undefined;
  },
  need: number,
): SlotChoice | undefined {
  const { best, busy, empty, oldest } = found;
  if (busy !== undefined && busy.reuse >= (best?.reuse ?? 0) + MATCH_TOKENS_MIN) {
    // The best free match is no worse a place than an empty one: what it holds is in the copy too.
    const slot = empty ?? oldest;
    return slot === undefined ? undefined : { slot, reuse: busy.reuse, from: busy.slot };
  }
  if (best !== undefined && empty !== undefined && best.lost >= MATCH_TOKENS_MIN && best.reuse >= need)
    return { slot: empty, reuse: best.reuse, from: best.slot };
  return undefined;
}

export function commonPrefix(a: readonly number[], b: readonly number[]): number {
  const end = Math.min(a.length, b.length);
  let i = 0;
  while (i < end && a[i] === b[i]) i++;
  return i;
}
