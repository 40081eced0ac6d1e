/** The choice of a token, which has to be the same again when an answer is resumed. */
import fc from "fast-check";
import { describe, test } from "vitest";
import { chooseToken, diceAt } from "../../../gpu-node/src/engines/llama/sample.ts";

const THREE: readonly (readonly [number, number])[] = [
  [10, 0.5],
  [11, 0.3],
  [12, 0.2],
];

describe("the token chosen from probabilities", () => {
  const cases: readonly { temperature: number; topP: number; dice: number; token: number; name: string }[] = [
    { name: "temperature 0 takes the likeliest", temperature: 0, topP: 1, dice: 0.99, token: 10 },
    { name: "the first share of the dice", temperature: 1, topP: 1, dice: 0.49, token: 10 },
    { name: "the second share", temperature: 1, topP: 1, dice: 0.51, token: 11 },
    { name: "the last share", temperature: 1, topP: 1, dice: 0.99, token: 12 },
    { name: "top_p leaves out the tail", temperature: 1, topP: 0.8, dice: 0.99, token: 11 },
    { name: "top_p 0 leaves the likeliest", temperature: 1, topP: 0, dice: 0.99, token: 10 },
    { name: "a low temperature favours the likeliest", temperature: 0.1, topP: 1, dice: 0.95, token: 10 },
    {
      name: "a high temperature evens out: 1/3 each, nearly",
      temperature: 100,
      topP: 1,
      dice: 0.68,
      token: 12,
    },
    { name: "top_p is taken after temperature", temperature: 0.1, topP: 0.9, dice: 0.999, token: 10 },
  ];
  for (const { name, token, dice, ...rule } of cases) {
    test(name, ({ expect }) => {
      expect(chooseToken(THREE.flat(), rule, dice)).toBe(token);
      expect(chooseToken(THREE.toReversed().flat(), rule, dice)).toBe(token);
    });
  }

  test("there is none where nothing has a probability", ({ expect }) => {
    expect(chooseToken([1, 0], { temperature: 1, topP: 1 }, 0.5)).toBeUndefined();
    expect(chooseToken([], { temperature: 0, topP: 1 }, 0.5)).toBeUndefined();
  });

  test("is always one of the candidates", ({ expect }) => {
    const probability = fc.double({ min: 1e-30, max: 1, noNaN: true });
    const candidates = fc.array(fc.tuple(fc.nat(200), probability), { minLength: 1, maxLength: 64 });
    const unit = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true });
    fc.assert(
      fc.property(
        candidates,
        fc.double({ min: 0.01, max: 5, noNaN: true }),
        unit,
        unit,
        (list, temperature, topP, dice) => {
          expect(list.map(([id]) => id)).toContain(chooseToken(list.flat(), { temperature, topP }, dice));
        },
      ),
    );
  });
});

describe("the dice of a seeded answer", () => {
  test("depend on seed and position alone, and on both", ({ expect }) => {
    expect(diceAt(7, 3)).toBe(diceAt(7, 3));
    const all = [0, 1, -1, 0.5, 7, 2 ** 40, 2 ** 53 - 1].flatMap((seed) =>
      [0, 1, 2, 1_000].map((at) => diceAt(seed, at)),
    );
    expect(new Set(all).size).toBe(all.length);
  });

  test("are spread evenly along positions and along seeds", ({ expect }) => {
    for (const draw of [(i: number) => diceAt(42, i), (i: number) => diceAt(i, 0)]) {
      const tenths = Array.from({ length: 10 }, () => 0);
      for (let i = 0; i < 20_000; i++) {
        const value = draw(i);
        expect(value >= 0 && value < 1).toBe(true);
        const tenth = Math.floor(value * 10);
        tenths[tenth] = (tenths[tenth] ?? 0) + 1;
      }
      for (const count of tenths) expect(Math.abs(count - 2_000)).toBeLessThan(250);
    }
  });
});
