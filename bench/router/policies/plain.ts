/** Policies that know nothing of prompts: round robin, and the power of two choices. */
import { UNTOLD, type MakePolicy } from "./policy.ts";

export const roundRobin: MakePolicy = (nodes, dice) => {
  let next = Math.floor(dice() * nodes.length);
  return {
    pick: ({ seen }) => seen[next++ % Math.max(1, seen.length)]?.at,
    sent: () => UNTOLD,
  };
};

/** As SMG does it: of two at random the one with less of its memory in use; where that is equal, with fewer of our own. */
export const powerOfTwo: MakePolicy = (_, dice) => ({
  pick({ seen, inFlight }) {
    const first = Math.floor(dice() * seen.length);
    const other = Math.floor(dice() * (seen.length - 1));
    const [a, b] = [seen[first], seen[other >= first ? other + 1 : other]];
    if (a === undefined || b === undefined) return (a ?? b)?.at;
    const less = a.sample.usage - b.sample.usage || (inFlight[a.at] ?? 0) - (inFlight[b.at] ?? 0);
    return (less <= 0 ? a : b).at;
  },
  sent: () => UNTOLD,
});
