/**
 * What is read of a JSON Schema: one node, and what is wrong with it. Pure. The rules it becomes are schema.ts's.
 */
import { z } from "zod";

const ENUM_MAX = 1_000;

/** What is wrong, and where: a path below the schema, as `.properties.name`. */
export class SchemaFault extends Error {
  override readonly name = "SchemaFault";
  readonly path: string;

  constructor(path: string, message: string) {
    super(message);
    this.path = path;
  }
}

const Types = z.enum(["object", "array", "string", "number", "integer", "boolean", "null"]);
export type Type = z.infer<typeof Types>;
const Count = z.int().min(0);

const Node = z.looseObject({
  type: z.union([Types, z.array(Types).min(1)]).optional(),
  enum: z.array(z.unknown()).min(1).max(ENUM_MAX).optional(),
  const: z.unknown().optional(),
  anyOf: z.array(z.unknown()).min(1).optional(),
  oneOf: z.array(z.unknown()).min(1).optional(),
  allOf: z.array(z.unknown()).min(1).optional(),
  $ref: z.string().optional(),
  properties: z.record(z.string(), z.unknown()).optional(),
  required: z.array(z.string()).optional(),
  additionalProperties: z.unknown().optional(),
  items: z.unknown().optional(),
  prefixItems: z.array(z.unknown()).optional(),
  minItems: Count.optional(),
  maxItems: Count.optional(),
  minLength: Count.optional(),
  maxLength: Count.optional(),
  format: z.string().optional(),
  minimum: z.number().optional(),
  maximum: z.number().optional(),
  exclusiveMinimum: z.number().optional(),
  exclusiveMaximum: z.number().optional(),
  $defs: z.record(z.string(), z.unknown()).optional(),
  definitions: z.record(z.string(), z.unknown()).optional(),
});
export type Node = z.infer<typeof Node>;

/** These say nothing of what is valid. */
const REMARKS = new Set([
  "title",
  "description",
  "default",
  "examples",
  "$schema",
  "$id",
  "$comment",
  "deprecated",
  "readOnly",
  "writeOnly",
  "nullable",
]);
const KNOWN = new Set([...Object.keys(Node.shape), ...REMARKS]);
/** Each is all that is compiled of its schema. */
const WHOLE = ["$ref", "anyOf", "oneOf", "allOf"] as const;
const BESIDE = new Set([...REMARKS, "$defs", "definitions"]);

/** One schema of a schema, its parts not read yet. In strict mode what is not kept to is a fault. */
export function readNode(schema: unknown, path: string, strict: boolean): Node {
  const parsed = Node.safeParse(schema);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const at = (issue?.path ?? []).map((part) => `.${String(part)}`).join("");
    throw new SchemaFault(path + at, issue?.message ?? "is not a schema");
  }
  const node = parsed.data;
  if (strict) checkKept(node, path);
  return node;
}

function checkKept(node: Node, path: string): void {
  const odd = Object.keys(node).find((key) => !KNOWN.has(key));
  if (odd !== undefined)
    throw new SchemaFault(`${path}.${odd}`, "this keyword is not supported in strict mode");
  const whole = WHOLE.find((key) => node[key] !== undefined);
  const beside = Object.keys(node).find((key) => key !== whole && !BESIDE.has(key));
  if (whole !== undefined && beside !== undefined)
    throw new SchemaFault(`${path}.${beside}`, `may not stand beside '${whole}' in strict mode`);
}

/** What a schema without a type means, from the keywords it has. */
export function guessed(node: Node): readonly Type[] {
  if (node.properties !== undefined || node.required !== undefined || node.additionalProperties !== undefined)
    return ["object"];
  if (node.items !== undefined || node.prefixItems !== undefined) return ["array"];
  if (node.minLength !== undefined || node.maxLength !== undefined || node.format !== undefined)
    return ["string"];
  return [];
}

/** `#` and pointers below it; nothing is fetched from anywhere. */
export function resolve(root: unknown, ref: string): unknown {
  if (!/^#(?:\/|$)/.test(ref)) return undefined;
  let at: unknown = root;
  for (const part of ref.split("/").slice(1)) {
    const key = part.replaceAll("~1", "/").replaceAll("~0", "~");
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, key)) return undefined;
    at = (at as { readonly [key: string]: unknown })[key];
  }
  return at;
}
