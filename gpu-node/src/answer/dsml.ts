/**
 * V3.2's tool section: tags made of one mark and text. A parameter's value is plain text where `string="true"`, and JSON
 * otherwise; together they become one JSON object, written as it grows. Pure.
 */
import { DSML } from "./marks.ts";
import type { Section, SectionStep } from "./section.ts";

/** The first tag's bracket stood in the text before the section. */
const TAG = new RegExp(`<?(/?)${DSML}([a-z_]+)((?:(?!${DSML})[^>])*)>`);
const VALUE_END = `</${DSML}parameter>`;
/** More than any tag has: what is longer and still no tag is dropped. */
const TAG_CHARS_MAX = 4_096;

export function readDsml(section: Section): SectionStep {
  if (section.phase === "over") return { section: { ...section, buffer: "" }, deltas: [] };
  return section.phase === "value" ? readValue(section) : readTag(section);
}

function readTag(section: Section): SectionStep {
  const found = TAG.exec(section.buffer);
  if (found === null)
    return { section: { ...section, buffer: section.buffer.slice(-TAG_CHARS_MAX) }, deltas: [] };
  const [whole, closes, tag, attributes = ""] = found;
  const read: Section = { ...section, buffer: section.buffer.slice(found.index + whole.length) };
  const call = section.calls - 1;
  switch (`${closes ?? ""}${tag ?? ""}`) {
    case "invoke": {
      const name = attribute(attributes, "name");
      if (name === undefined || name === "") return { section: read, deltas: [] };
      return {
        section: { ...read, calls: section.calls + 1, told: 0 },
        deltas: [{ call: section.calls, name, text: "" }],
      };
    }
    case "parameter": {
      const name = attribute(attributes, "name");
      if (name === undefined || call < 0) return { section: read, deltas: [] };
      const quoted = attribute(attributes, "string") !== "false";
      const text = `${section.told === 0 ? "{" : ","}${JSON.stringify(name)}:${quoted ? '"' : ""}`;
      return {
        section: { ...read, phase: "value", told: section.told + 1, quoted },
        deltas: [{ call, text }],
      };
    }
    case "/invoke":
      if (call < 0) return { section: read, deltas: [] };
      return { section: read, deltas: [{ call, text: section.told === 0 ? "{}" : "}" }] };
    case "/function_calls":
      return { section: { ...read, phase: "over" }, deltas: [] };
    default:
      return { section: read, deltas: [] };
  }
}

function readValue(section: Section): SectionStep {
  const { buffer, quoted } = section;
  const at = buffer.indexOf(VALUE_END);
  const ended = at >= 0;
  const end = ended ? at : buffer.length - possibleEnd(buffer);
  const raw = buffer.slice(0, end).replaceAll(DSML, "");
  const text = (quoted ? JSON.stringify(raw).slice(1, -1) : raw) + (ended && quoted ? '"' : "");
  return {
    section: {
      ...section,
      phase: ended ? "between" : "value",
      buffer: buffer.slice(ended ? at + VALUE_END.length : end),
    },
    deltas: text === "" ? [] : [{ call: section.calls - 1, text }],
  };
}

/** How much of the text's tail may be the beginning of what ends a value. */
function possibleEnd(text: string): number {
  for (let length = Math.min(VALUE_END.length - 1, text.length); length > 0; length--)
    if (VALUE_END.startsWith(text.slice(text.length - length))) return length;
  return 0;
}

function attribute(attributes: string, name: string): string | undefined {
  return new RegExp(`\\b${name}="([^"]*)"`).exec(attributes)?.[1];
}
