/** The line of admissions that wait for another request to end: who is served when. */
import { describe, test } from "vitest";
import { ACCOUNT } from "../../../src/account/admission.ts";
import { Line, WAITING_MAX, type Need, type Tried } from "../../../src/account/line.ts";

const REFUSED = { ok: false, refusal: { kind: "unknown_key" } } as const;

type Ask = { readonly name: string; readonly wants: Tried["waitsFor"]; readonly needs: readonly Need[] };
const BOTH = ["money", "place"] as const;

/** Serves the line once; returns who was answered. `wants` of an ask says what it still lacks. */
function serve(line: Line<Ask>, nowMs: number, answered: string[]): string[] {
  answered.length = 0;
  const attempt = ({ wants }: Ask): Tried => ({ verdict: REFUSED, waitsFor: wants });
  line.keep(line.serve(nowMs, { attempt, needs: ({ needs }) => needs }));
  return [...answered];
}

/** Who wants something of the account wants money; of a key, a place. */
function lineOf(asks: readonly (readonly [string, string | null, string?, number?, (readonly Need[])?])[]): {
  line: Line<Ask>;
  answered: string[];
} {
  const line = new Line<Ask>();
  const answered: string[] = [];
  for (const [name, scope, key = "k", untilMs = 500, needs = BOTH] of asks) {
    const wants = scope === null ? null : ({ need: scope === ACCOUNT ? "money" : "place", scope } as const);
    const answer = (): number => answered.push(name);
    line.join({ ask: { name, wants, needs }, scopes: [ACCOUNT, key], untilMs, answer });
  }
  return { line, answered };
}

describe("the line of waiting admissions", () => {
  test("who can start is answered at once", ({ expect }) => {
    const { line, answered } = lineOf([["a", null]]);
    expect(serve(line, 0, answered)).toEqual(["a"]);
    expect(line.length).toBe(0);
  });

  test("nobody takes the money that one in front is waiting for", ({ expect }) => {
    const { line, answered } = lineOf([
      ["large", ACCOUNT],
      ["small", null],
    ]);
    expect(serve(line, 0, answered)).toEqual([]);
  });

  test("who needs no money passes one who waits for it, and who needs no place one who waits for that", ({
    expect,
  }) => {
    const { line, answered } = lineOf([
      ["large", ACCOUNT, "k1"],
      ["priced", null, "k1"],
      ["free", null, "k1", 500, ["place"]],
      ["full", "k2", "k2", 500, ["place"]],
      ["free too", null, "k2", 500, ["place"]],
      ["cached", null, "k2", 500, []],
    ]);
    expect(serve(line, 0, answered)).toEqual(["free", "cached"]);
  });

  test("who waits for a place of its own key is in nobody else's way", ({ expect }) => {
    const { line, answered } = lineOf([
      ["a", "k1", "k1"],
      ["b", null, "k1"],
      ["c", null, "k2"],
    ]);
    expect(serve(line, 0, answered)).toEqual(["c"]);
  });

  test("when the time is up everyone is tried once more, past those in front, and answered", ({ expect }) => {
    const { line, answered } = lineOf([
      ["large", ACCOUNT, "k", 900],
      ["small", null, "k", 500],
      ["other", ACCOUNT, "k", 500],
    ]);
    expect(line.nextAtMs).toBe(900);
    expect(serve(line, 500, answered)).toEqual(["small", "other"]);
    expect(serve(line, 900, answered)).toEqual(["large"]);
  });

  test("a full line turns newcomers away at once", ({ expect }) => {
    const asks = Array.from({ length: WAITING_MAX + 3 }, (_, at) => [`${at}`, ACCOUNT] as const);
    const { line, answered } = lineOf(asks);
    expect(serve(line, 0, answered)).toHaveLength(3);
    expect(line.length).toBe(WAITING_MAX);
  });
});
