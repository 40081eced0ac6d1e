/** Sluice's notes inside an answer: printed and read back alike, never taken from a client's own text. */
import { notesOf, parseNote, printNote, type Note } from "@sluice/protocol/events";
import { Ending } from "@sluice/protocol/receipt";
import fc from "fast-check";
import { describe, test } from "vitest";

const count = fc.integer({ min: 0, max: 999_999_999 });
const anyNote: fc.Arbitrary<Note> = fc.record(
  {
    accepted: fc.constant(true as const),
    queued: count,
    prompt: count,
    cached: count,
    from: count,
    to: count,
    ids: fc.array(count, { minLength: 1, maxLength: 5 }),
    ended: fc.constantFrom(...Ending.options),
  },
  { requiredKeys: [] },
);

describe("a note", () => {
  test("is read as it was printed", ({ expect }) => {
    fc.assert(
      fc.property(anyNote, (note) => {
        fc.pre(Object.keys(note).length > 0);
        expect(parseNote(printNote(note))).toEqual(note);
      }),
    );
  });

  test("of a later version is read as far as it is known", ({ expect }) => {
    expect(parseNote(": sluice to=3 mood=fine ids=1,2 ended=bored")).toEqual({ to: 3, ids: [1, 2] });
  });

  test.for([": keep-alive", "data: : sluice to=3", " : sluice to=3", ": sluicegate to=3", ""])(
    "is not %j",
    (line, { expect }) => {
      expect(parseNote(line)).toBeUndefined();
    },
  );

  test("no line makes reading throw", ({ expect }) => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        parseNote(`: sluice ${text}`);
        notesOf(text);
      }),
    );
    expect(notesOf("")).toEqual([]);
  });

  test("inside a client's text is text", ({ expect }) => {
    const events = `: sluice prompt=12 cached=8 from=0 to=1\ndata: {"content":": sluice to=99"}\n\n: sluice to=2 ended=stop\ndata: [DONE]\n\n`;
    expect(notesOf(events)).toEqual([
      { prompt: 12, cached: 8, from: 0, to: 1 },
      { to: 2, ended: "stop" },
    ]);
  });
});
