/**
 * Whether a call thinks, and how much: said outright (`thinking`), by effort, or by a budget. Pure. The models served here
 * know no effort of their own, so the lower efforts are budgets: thinking is closed after so many tokens.
 */
import { z } from "zod";

const BUDGET_MAX = 10_000_000;

export const thinkingFields = {
  thinking: z
    .object({
      type: z.enum(["enabled", "disabled"]),
      budget_tokens: z.int().min(0).max(BUDGET_MAX).nullish(),
    })
    .nullish(),
  reasoning_effort: z.enum(["none", "minimal", "low", "medium", "high", "xhigh", "max"]).nullish(),
};
const ThinkingBody = z.object(thinkingFields);
type ThinkingBody = z.infer<typeof ThinkingBody>;

const EFFORT_TOKENS: { readonly [effort: string]: number | undefined } = {
  minimal: 256,
  low: 1_024,
  medium: 8_192,
};

export type ThinkingWish = {
  /** Undefined where the client does not say. */
  readonly thinks: boolean | undefined;
  /** The field by which it does. */
  readonly saidBy: "thinking" | "reasoning_effort" | undefined;
  readonly tokensMax: number | undefined;
  /** The client wrote the number itself. */
  readonly budgeted: boolean;
};

export function thinkingOf({ thinking, reasoning_effort: effort }: ThinkingBody): ThinkingWish {
  const named = effort ?? undefined;
  const thinks = thinking ? thinking.type === "enabled" : named === undefined ? undefined : named !== "none";
  const saidBy = thinking ? "thinking" : named === undefined ? undefined : "reasoning_effort";
  const budget = thinking?.budget_tokens ?? undefined;
  const tokensMax = budget ?? (named === undefined ? undefined : EFFORT_TOKENS[named]);
  return { thinks, saidBy, tokensMax, budgeted: budget !== undefined };
}
