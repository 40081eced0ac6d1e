/** What is left of a grammar behind a beginning of an answer: any beginning of anything it allows, and nothing else. */
import fc from "fast-check";
import { describe, test } from "vitest";
import type { Token } from "../../../gpu-node/src/engines/engine.ts";
import { leftOf, type Left } from "../../../gpu-node/src/grammar/advance.ts";
import { answerGrammar } from "../../../gpu-node/src/grammar/answer-grammar.ts";
import type { Form } from "../../../gpu-node/src/grammar/form.ts";

const textToken = (text: string): Token => ({ id: -1, bytes: Buffer.from(text) });
const marks = { format: "v3.1", callsBegin: 90, callsEnd: 91, callBegin: 92, callEnd: 93, sep: 94 } as const;
const mark = (id: number): Token => ({ id, bytes: new Uint8Array() });

function gbnfOf(form: Partial<Form>): string {
  const whole: Form = { format: { kind: "text" }, tools: [], call: "may", parallel: true, ...form };
  const built = answerGrammar(whole, marks, undefined);
  if (!built.ok || built.grammar === undefined) throw new Error("no grammar");
  return built.grammar.gbnf;
}

const ANY_JSON = gbnfOf({ format: { kind: "json" } });
const allowed = (left: Left): boolean => left.ok;

describe("what is left of a grammar", () => {
  test("begins at any place of any JSON, cut into any tokens, and ends where the JSON ends", ({ expect }) => {
    const value = fc.dictionary(fc.string({ maxLength: 4 }), fc.jsonValue({ maxDepth: 2 }), { maxKeys: 3 });
    const plain = (text: string): boolean =>
      !/[\u007f\ud800-\udfff]|\d{16}|\d\.\d{17}|e[+-]?\d{3}/.test(text);
    fc.assert(
      fc.property(value, fc.infiniteStream(fc.integer({ min: 1, max: 7 })), (json, sizes) => {
        const bytes = Buffer.from(JSON.stringify(json));
        fc.pre(plain(bytes.toString("utf8")));
        const tokens: Token[] = [];
        for (let at = 0; at < bytes.length;) {
          const size = sizes.next().value;
          tokens.push({ id: -1, bytes: bytes.subarray(at, at + size) });
          at += size;
        }
        const cut = Math.floor(tokens.length / 2);
        const half = leftOf(ANY_JSON, tokens.slice(0, cut));
        // Inside a character nothing can be said; everywhere else the rest follows.
        if (half.ok) {
          const rest = leftOf(half.print("gbnf"), tokens.slice(cut));
          expect(rest).toMatchObject({ ok: true, whole: true });
        } else expect(half.why).toContain("inside a character");
        expect(leftOf(ANY_JSON, tokens)).toMatchObject({ ok: true, whole: true });
      }),
      { numRuns: 200 },
    );
  });

  test("is nothing at all behind what the grammar does not allow", ({ expect }) => {
    for (const text of ["[", "{a", '{"a" :: 1', '{"a":1}}', '{"a":01'])
      expect(allowed(leftOf(ANY_JSON, [textToken(text)])), text).toBe(false);
  });

  test("knows marks by their id, and repetitions by how many are left", ({ expect }) => {
    const schema = {
      type: "object",
      properties: { s: { type: "string", minLength: 2, maxLength: 3 } },
      required: ["s"],
      additionalProperties: false,
    };
    const gbnf = gbnfOf({ tools: [{ name: "f", strict: true, schema }], call: "must", parallel: false });
    const begun = [mark(90), mark(92), textToken("f"), mark(94), textToken('{"s":"ab')];
    const left = leftOf(gbnf, begun);
    if (!left.ok) throw new Error(left.why);
    const then = (text: string): boolean => leftOf(left.print("gbnf"), [textToken(text)]).ok;
    expect([then('"}'), then('c"}'), then('cd"')]).toEqual([true, true, false]);
    expect(left.print("xgrammar")).toContain("Token(93)");
    expect(left.print("xgrammar")).not.toContain("<[");
    expect(leftOf(gbnf, [mark(91)]).ok).toBe(false);
    const whole = leftOf(gbnf, [...begun, textToken('"}'), mark(93), mark(91)]);
    expect(whole).toMatchObject({ ok: true, whole: true });
  });

  test("takes what a client wrote for text, also where it looks like a mark", ({ expect }) => {
    const schema = { enum: ["<[93]>", "\u0001a", "你\u{1f600}"] };
    const gbnf = gbnfOf({ format: { kind: "schema", schema, strict: false } });
    const left = leftOf(gbnf, []);
    if (!left.ok) throw new Error(left.why);
    expect(left.print("xgrammar")).not.toContain("Token(");
    for (const text of ['"<[93]>"', '"你\u{1f600}"'])
      expect(leftOf(left.print("gbnf"), [textToken(text)]), text).toMatchObject({ ok: true, whole: true });
  });
});
