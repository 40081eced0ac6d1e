/** Which slot a prompt gets: the longest prefix of its own tag, and never a long one for a short match. */
import fc from "fast-check";
import { describe, test } from "vitest";
import {
  MATCH_TOKENS_MIN,
  type SlotView,
  chooseSlot,
  commonPrefix,
} from "../../../gpu-node/src/engines/slots.ts";

const range = (length: number, from = 0): number[] => Array.from({ length }, (_, i) => from + i);
const slot = (rest: Partial<SlotView>): SlotView => ({
  busy: false,
  tag: "a",
  tokens: [],
  usedAt: 0,
  ...rest,
});
const LONG = range(400);

describe("which slot a task gets", () => {
  const cases: readonly {
    readonly name: string;
    readonly slots: readonly SlotView[];
    readonly tokens: readonly number[];
    readonly choice: { readonly slot: number; readonly reuse: number } | undefined;
  }[] = [
    {
      name: "none while all are busy",
      slots: [slot({ busy: true }), slot({ busy: true })],
      tokens: LONG,
      choice: undefined,
    },
    {
      name: "an empty one first",
      slots: [slot({ tokens: range(9, 900) }), slot({})],
      tokens: LONG,
      choice: { slot: 1, reuse: 0 },
    },
    {
      name: "the one with the longest prefix",
      slots: [slot({ tokens: LONG.slice(0, 100) }), slot({ tokens: LONG.slice(0, 300) }), slot({})],
      tokens: LONG,
      choice: { slot: 1, reuse: 300 },
    },
    {
      name: "an empty one rather than evict a long prompt for the sake of its first token",
      slots: [slot({ tokens: [0, ...range(2_000, 500)] }), slot({})],
      tokens: LONG,
      choice: { slot: 1, reuse: 0 },
    },
    {
      name: "the one used longest ago rather than evict for the sake of the first token",
      slots: [
        slot({ tokens: [0, ...range(2_000, 500)], usedAt: 9 }),
        slot({ tokens: range(50, 700), usedAt: 3 }),
      ],
      tokens: LONG,
      choice: { slot: 1, reuse: 0 },
    },
    {
      name: "an empty one beside a busy one",
      slots: [
        slot({}),
        slot({}),
        slot({ busy: true, tokens: [7] }),
        slot({}),
        slot({ busy: true, tokens: [8] }),
      ],
      tokens: LONG,
      choice: { slot: 3, reuse: 0 },
    },
    {
      name: "of those used longest ago one beside a busy one",
      slots: [
        slot({ tokens: range(50, 700), usedAt: 1 }),
        slot({ tokens: range(50, 800), usedAt: 9 }),
        slot({ tokens: range(50, 900), usedAt: 2, busy: true }),
        slot({ tokens: range(50, 700), usedAt: 3 }),
        slot({ tokens: range(50, 700), usedAt: 8 }),
      ],
      tokens: LONG,
      choice: { slot: 3, reuse: 0 },
    },
    {
      name: "a match of a tenth of a long prompt is too little",
      slots: [slot({ tokens: [...range(39), ...range(100, 9_000)] }), slot({})],
      tokens: LONG,
      choice: { slot: 1, reuse: 0 },
    },
    {
      name: "more than a tenth is enough",
      slots: [slot({ tokens: [...range(40), ...range(100, 9_000)] }), slot({})],
      tokens: LONG,
      choice: { slot: 0, reuse: 40 },
    },
    {
      name: "a short prompt is reused when nothing is lost by it",
      slots: [slot({ tokens: range(5) }), slot({})],
      tokens: LONG,
      choice: { slot: 0, reuse: 5 },
    },
    {
      name: "a short prompt asked again is reused, but for its last token",
      slots: [slot({ tokens: range(20) }), slot({})],
      tokens: range(10),
      choice: { slot: 0, reuse: 9 },
    },
    {
      name: "never another tag's prefix",
      slots: [slot({ tag: "b", tokens: LONG }), slot({})],
      tokens: LONG,
      choice: { slot: 1, reuse: 0 },
    },
    {
      name: "another tag's slot if there is no other, and nothing of it",
      slots: [slot({ tag: "b", tokens: LONG })],
      tokens: LONG,
      choice: { slot: 0, reuse: 0 },
    },
    {
      name: "of two equal prefixes the one with less behind it",
      slots: [slot({ tokens: [...LONG, ...range(900, 900)] }), slot({ tokens: LONG })],
      tokens: [...LONG, 7],
      choice: { slot: 1, reuse: 400 },
    },
  ];
  for (const { name, slots, tokens, choice } of cases) {
    test(name, ({ expect }) => {
      expect(chooseSlot(slots, "a", tokens)).toEqual(choice);
    });
  }

  test("a busy slot's longer prefix is copied into an empty slot, else into the one used longest ago", ({
    expect,
  }) => {
    const busy = slot({ busy: true, tokens: LONG });
    const other = slot({ tokens: range(60, 700) });
    expect(chooseSlot([busy, other, slot({})], "a", LONG, true)).toEqual({ slot: 2, reuse: 399, from: 0 });
    expect(chooseSlot([busy, other], "a", LONG, true)).toEqual({ slot: 1, reuse: 399, from: 0 });
    expect(chooseSlot([busy, slot({ tokens: LONG.slice(0, 390) })], "a", LONG, true)).toEqual({
      slot: 1,
      reuse: 390,
    });
    expect(chooseSlot([{ ...busy, tag: "b" }, other], "a", LONG, true)).toEqual({ slot: 1, reuse: 0 });
    expect(chooseSlot([busy], "a", LONG, true)).toBeUndefined();
  });

  test("a long conversation stays where another only shares its beginning and a slot is empty", ({
    expect,
  }) => {
    const conversation = slot({ tokens: [...LONG, ...range(500, 5_000)] });
    expect(chooseSlot([conversation, slot({})], "a", [...LONG, 7], true)).toEqual({
      slot: 1,
      reuse: 400,
      from: 0,
    });
    expect(chooseSlot([conversation], "a", [...LONG, 7], true)).toEqual({ slot: 0, reuse: 400 });
  });

  test("whatever the slots hold: never a busy one, never a foreign prefix, always a token left to evaluate", ({
    expect,
  }) => {
    const tokens = fc.array(fc.integer({ min: 0, max: 2 }), { maxLength: 3 * MATCH_TOKENS_MIN });
    const slots = fc.array(
      fc.record({ busy: fc.boolean(), tag: fc.constantFrom("a", "b"), tokens, usedAt: fc.nat() }),
      { maxLength: 6 },
    );
    fc.assert(
      fc.property(
        slots,
        tokens.filter((prompt) => prompt.length > 0),
        fc.boolean(),
        (views, prompt, canCopy) => {
          const choice = chooseSlot(views, "a", prompt, canCopy);
          const chosen = choice === undefined ? undefined : views[choice.slot];
          if (choice === undefined || chosen === undefined) {
            expect(views.every(({ busy }) => busy)).toBe(true);
            return;
          }
          expect(chosen.busy).toBe(false);
          expect(choice.reuse).toBeLessThan(prompt.length);
          const source = choice.from === undefined ? chosen : (views[choice.from] ?? chosen);
          expect(choice.reuse).toBeLessThanOrEqual(
            source.tag === "a" ? commonPrefix(source.tokens, prompt) : 0,
          );
        },
      ),
    );
  });
});
