/** Tool calls in deltas: whatever a server's habits, SDKs that join the strings of pieces read the same. */
import { describe, test } from "vitest";
import { z } from "zod";
import { CallPiece, ToolCalls } from "../../../src/upstream/calls.ts";

describe("tool calls", () => {
  const piece = (index: unknown, id?: string, name?: string, text?: string) => ({
    ...(index === undefined ? {} : { index }),
    ...(id === undefined ? {} : { id, type: "function" }),
    function: { ...(name === undefined ? {} : { name }), ...(text === undefined ? {} : { arguments: text }) },
  });
  const A = { id: "a", type: "function", function: { name: "f", arguments: '{"x":1}' } };
  const B = { id: "b", type: "function", function: { name: "g", arguments: "{}" } };

  const CALLED: readonly (readonly [string, readonly unknown[][], readonly object[]])[] = [
    [
      "with id and name in every piece",
      [[piece(0, "a", "f", '{"x"')], [piece(0, "a", "f", ":1}")], [piece(1, "b", "g", "{}")]],
      [A, B],
    ],
    [
      "with an id in every piece and no index",
      [[piece(null, "a", "f", '{"x"')], [piece(null, "b", "g", "{}")], [piece(null, "a", "f", ":1}")]],
      [A, B],
    ],
    [
      "whole, several together, without index",
      [[piece(undefined, "a", "f", '{"x":1}'), piece(undefined, "b", "g", "{}")]],
      [A, B],
    ],
    [
      "without index, and an id at their beginning alone",
      [
        [piece(null, "a", "f")],
        [piece(null, undefined, undefined, '{"x":1}')],
        [piece(null, "b", "g", "{}")],
      ],
      [A, B],
    ],
    [
      "with numbers from anywhere",
      [[piece(200, "a", "f", '{"x"')], [piece(-1, "b", "g", "{}")], [piece(200, "", "", ":1}")]],
      [A, B],
    ],
    [
      "with an index that is no number, and nothing beside them",
      [[null], [piece("0", "a", "f", '{"x":1}')], [{}], [piece("0", "b", "g", "{}"), null]],
      [A, B],
    ],
  ];
  test.for(CALLED)("%s are told as everybody reads them", ([, deltas, want], { expect }) => {
    const calls = new ToolCalls();
    const joined: { id: string; name: string; text: string }[] = [];
    for (const delta of deltas)
      for (const piece of calls.read(z.array(CallPiece.nullish()).parse(delta))) {
        const call = (joined[piece.index] ??= { id: "", name: "", text: "" });
        call.id += piece.id ?? "";
        call.name += piece.name ?? "";
        call.text += piece.arguments;
      }
    expect(
      joined.map(({ id, name, text }) => ({ id, type: "function", function: { name, arguments: text } })),
    ).toEqual(want);
  });
});
