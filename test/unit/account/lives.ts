/** Random lives of one request: what words, receipts and renewals are told of it, in order and shuffled. */
import fc from "fast-check";
import { call, receipt, renewal, UPSTREAM, word, type Message } from "./support.ts";

/**
 * The messages of one request's life, each true, in the order they happened. A client may never see an answer that its node
 * has ended: then the word that goes on comes after a natural end.
 */
export const life = fc
  .record({
    stream: fc.boolean(),
    failovers: fc.integer({ min: 0, max: 4 }),
    produced: fc.array(fc.integer({ min: 0, max: 20 }), { minLength: 6, maxLength: 6 }),
    ending: fc.constantFrom("natural", "client_gone", "node_lost", "refused", "silent", "overflowed"),
    renewed: fc.boolean(),
    unseen: fc.array(fc.boolean(), { minLength: 6, maxLength: 6 }),
    certainty: fc.constantFrom(undefined, "reported" as const),
  })
  .map(({ stream, failovers, produced, ending, renewed, unseen, certainty }) => {
    const messages: Message[] = [];
    const counted = certainty === undefined ? {} : { certainty };
    let to = 0;
    for (let ordinal = 0; ordinal <= failovers; ordinal++) {
      const from = stream ? to : 0;
      to = from + (produced[ordinal] ?? 0);
      const last = ordinal === failovers;
      if (renewed) messages.push(renewal(ordinal, from));
      const seen = { seenTo: stream ? to : 0, prompt: to > 0 ? 50 : 0 };
      if (last && ending === "overflowed") {
        messages.push(
          word(ordinal, "no_node", { next: call(ordinal + 1, UPSTREAM) }),
          word(ordinal + 1, "answered", {
            ...seen,
            node: UPSTREAM,
            ended: "stop",
            counted: { certainty: "reported", costNanoUsd: 1 },
          }),
        );
      } else if (!last) {
        const goesOn = word(ordinal, "node_lost", { ...seen, next: call(ordinal + 1) });
        if (unseen[ordinal]) messages.push(receipt(ordinal, "stop", { from, to, ...counted }), goesOn);
        else messages.push(goesOn, receipt(ordinal, "node_died", { from, to, ...counted }));
      } else if (ending === "natural") messages.push(receipt(ordinal, "stop", { from, to, ...counted }));
      else if (ending === "refused") messages.push(word(ordinal, "refused", { ...seen, seenTo: from }));
      else if (ending === "silent") messages.push(receipt(ordinal, "client_gone", { from, to, ...counted }));
      else if (ending !== "overflowed") {
        messages.push(word(ordinal, ending, seen));
        messages.push(receipt(ordinal, "client_gone", { from, to, ...counted }));
      }
    }
    return { stream, messages };
  });

export const shuffledLife = life.chain(({ stream, messages }) =>
  fc.record({
    stream: fc.constant(stream),
    told: fc.constant(messages),
    heard: fc.shuffledSubarray([...messages, ...messages], {
      minLength: messages.length * 2,
      maxLength: messages.length * 2,
    }),
  }),
);
