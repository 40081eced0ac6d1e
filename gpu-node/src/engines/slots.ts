/**
 * Which slot takes a task: a pure decision. A slot remembers the tokens it has evaluated and the isolation tag they
 * belong to; a task may reuse a prefix only of its own tag. A match that is merely the template's first tokens must
 * not evict a long cached prompt, so a match counts from max(32 tokens, 10 % of the prompt) on, or when nothing is
 * lost by it (the slot's whole content, or the whole prompt, matches); else an empty slot is taken, else the one
 * that was used longest ago. At least one token is always left to evaluate: logits come from evaluation alone.
 */
export const MATCH_TOKENS_MIN = 32;
export const MATCH_SHARE_MIN = 0.1;

export type SlotView = {
  readonly busy: boolean;
  readonly tag: string;
  readonly tokens: readonly number[];
  /** Any clock that only rises. */
  readonly usedAt: number;
};

export type SlotChoice = { readonly slot: number; readonly reuse: number };

/** Undefined when every slot is busy. */
export function chooseSlot(
  slots: readonly SlotView[],
  tag: string,
  tokens: readonly number[],
): SlotChoice | undefined {
  const need = Math.max(MATCH_TOKENS_MIN, Math.ceil(tokens.length * MATCH_SHARE_MIN));
  let best: (SlotChoice & { readonly lost: number }) | undefined;
  let empty: number | undefined;
  let oldest: (SlotChoice & { readonly usedAt: number }) | undefined;
  for (const [index, slot] of slots.entries()) {
    if (slot.busy) continue;
    if (slot.tokens.length === 0) {
      empty ??= index;
      continue;
    }
    const match = slot.tag === tag ? commonPrefix(slot.tokens, tokens) : 0;
    const reuse = Math.max(0, Math.min(match, tokens.length - 1));
    const lost = slot.tokens.length - match;
    const counts = match >= need || (match > 0 && (lost === 0 || match >= tokens.length - 1));
    if (counts && (best === undefined || reuse > best.reuse || (reuse === best.reuse && lost < best.lost))) {
      best = { slot: index, reuse, lost };
    }
    if (oldest === undefined || slot.usedAt < oldest.usedAt)
      oldest = { slot: index, reuse, usedAt: slot.usedAt };
  }
  if (best !== undefined) return { slot: best.slot, reuse: best.reuse };
  if (empty !== undefined) return { slot: empty, reuse: 0 };
  return oldest === undefined ? undefined : { slot: oldest.slot, reuse: oldest.reuse };
}

export function commonPrefix(a: readonly number[], b: readonly number[]): number {
  const end = Math.min(a.length, b.length);
  let i = 0;
  while (i < end && a[i] === b[i]) i++;
  return i;
}
