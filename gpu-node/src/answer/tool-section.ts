/**
 * Reads a tool section as it is written, piece by piece: which tool is called, and its arguments as a growing JSON text.
 * Pure: a state and a piece of text give the next state and what it told, so a section continued on another node is read on
 * from exactly where it was.
 *
 * What does not have the form is dropped, never shown: a client that sees half a mark in an answer has no use for it.
 */
import type { ToolMarks } from "../engines/engine.ts";
import { readDsml } from "./dsml.ts";
import type { CallDelta, Section, SectionStep } from "./section.ts";
import { CALL_BEGIN, CALL_END, CALLS_END, MARK_UNITS, MARKS, SEP } from "./marks.ts";

export function beginSection(calls: number): Section {
  return { phase: "between", buffer: "", calls, told: 0, quoted: false };
}

/** `text`: with marks as marks.ts writes them. */
export function readSection(format: ToolMarks["format"], before: Section, text: string): SectionStep {
  let section: Section = { ...before, buffer: before.buffer + text };
  const deltas: CallDelta[] = [];
  // Each turn takes something off the buffer or moves to the next phase; a turn that does neither is the last.
  for (;;) {
    const next = format === "v3.2" ? readDsml(section) : readMarked(format, section);
    deltas.push(...next.deltas);
    const stuck = next.section.buffer === section.buffer && next.section.phase === section.phase;
    section = next.section;
    if (stuck) return { section, deltas: merged(deltas) };
  }
}

/** What one token tells of one call is one delta, so that nobody gets the token without all of its text. */
function merged(deltas: readonly CallDelta[]): readonly CallDelta[] {
  const whole: CallDelta[] = [];
  for (const delta of deltas) {
    const last = whole.at(-1);
    if (last?.call === delta.call && delta.name === undefined)
      whole[whole.length - 1] = { ...last, text: last.text + delta.text };
    else whole.push(delta);
  }
  return whole;
}

function readMarked(format: "v3" | "v3.1", section: Section): SectionStep {
  switch (section.phase) {
    case "between":
      return between(format, section);
    case "kind":
      return kind(section);
    case "name":
      return name(format, section);
    case "fence":
      return fence(section);
    case "arguments":
      return args(format, section);
    case "value":
    case "over":
      return quiet({ ...section, buffer: "" });
  }
}

function quiet(section: Section): SectionStep {
  return { section, deltas: [] };
}

function between(format: "v3" | "v3.1", section: Section): SectionStep {
  const at = firstOf(section.buffer, [CALL_BEGIN, CALLS_END]);
  if (at < 0) return quiet({ ...section, buffer: "" });
  const buffer = section.buffer.slice(at + MARK_UNITS);
  if (section.buffer.startsWith(CALLS_END, at)) return quiet({ ...section, phase: "over", buffer: "" });
  return quiet({ ...section, phase: format === "v3" ? "kind" : "name", buffer, told: 0 });
}

/** "function": there is nothing else it could be. */
function kind(section: Section): SectionStep {
  const at = firstOf(section.buffer, [SEP, CALL_END]);
  if (at < 0) return quiet(section);
  const buffer = section.buffer.slice(at + MARK_UNITS);
  return quiet({ ...section, phase: section.buffer.startsWith(SEP, at) ? "name" : "between", buffer });
}

function name(format: "v3" | "v3.1", section: Section): SectionStep {
  const nameEnd = format === "v3" ? "\n" : SEP;
  const at = firstOf(section.buffer, [nameEnd, CALL_END]);
  if (at < 0) return quiet(section);
  const called = section.buffer.slice(0, at).replaceAll(MARKS, "").trim();
  const ended = section.buffer.startsWith(CALL_END, at);
  const rest = section.buffer.slice(at + (ended ? CALL_END : nameEnd).length);
  // What has no name is no call, and what it says is not another's.
  if (called === "") return quiet({ ...section, phase: "between", buffer: rest });
  const begun: Section = { ...section, buffer: rest, calls: section.calls + 1, told: 0 };
  // A call that says nothing of arguments has none.
  const text = ended ? "{}" : "";
  const phase = ended ? "between" : format === "v3" ? "fence" : "arguments";
  return { section: { ...begun, phase }, deltas: [{ call: section.calls, name: called, text }] };
}

const FENCE = "```";

/** The line that opens the block, whatever language it names. */
function fence(section: Section): SectionStep {
  const { buffer } = section;
  if (buffer === "" || (buffer.length < FENCE.length && FENCE.startsWith(buffer))) return quiet(section);
  if (!buffer.startsWith(FENCE)) return quiet({ ...section, phase: "arguments" });
  const at = firstOf(buffer, ["\n", CALL_END]);
  if (at < 0) return quiet(section);
  const rest = buffer[at] === "\n" ? buffer.slice(at + 1) : buffer.slice(at);
  return quiet({ ...section, phase: "arguments", buffer: rest });
}

function args(format: "v3" | "v3.1", section: Section): SectionStep {
  const at = section.buffer.indexOf(CALL_END);
  const ended = at >= 0;
  let text = (ended ? section.buffer.slice(0, at) : section.buffer).replaceAll(MARKS, "");
  const closing = format === "v3" ? closingFence(text, ended) : text.length;
  const held = ended ? "" : text.slice(closing);
  text = text.slice(0, closing);
  if (section.told === 0) text = text.trimStart();
  if (ended && section.told === 0 && text === "") text = "{}";
  const next: Section = {
    ...section,
    phase: ended ? "between" : "arguments",
    buffer: ended ? section.buffer.slice(at + MARK_UNITS) : held,
    told: section.told + text.length,
  };
  return { section: next, deltas: text === "" ? [] : [{ call: section.calls - 1, text }] };
}

/** Where the fence that closes the block begins, or may be about to. */
function closingFence(text: string, ended: boolean): number {
  const found = (ended ? /\s*(?:```\s*)?$/ : /\n[`\s]*$|`{1,3}\s*$/).exec(text);
  return found?.index ?? text.length;
}

function firstOf(text: string, marks: readonly string[]): number {
  let first = -1;
  for (const mark of marks) {
    const at = text.indexOf(mark);
    if (at >= 0 && (first < 0 || at < first)) first = at;
  }
  return first;
}
