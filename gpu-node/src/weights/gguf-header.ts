/**
 * Reads the header of a GGUF file: version, metadata, tensor infos. Every count and length is bounded, so a damaged
 * file costs a sentence, never memory or a loop; llama.cpp itself aborts the whole process on several such files.
 * Big arrays are skipped unless they are among `ARRAYS_KEPT`: merges and scores of a large vocabulary are of no use here.
 * gguf-check.ts says whether the header makes sense; this file only says whether it can be read.
 */
import { closeSync, fstatSync, openSync } from "node:fs";
import { type ByteSource, Cursor, GgufProblem, fileSource } from "./byte-source.ts";
import { TENSOR_TYPES, type TensorType } from "./ggml-types.ts";

const KEYS_MAX = 65_536;
const TENSORS_MAX = 65_536;
const KEY_BYTES_MAX = 65_535;
const NAME_BYTES_MAX = 63;
const STRING_BYTES_MAX = 16 << 20;
const ARRAY_ITEMS_MAX = 16 << 20;
const DIMENSIONS_MAX = 4;
const ALIGNMENT_DEFAULT = 32;
const ALIGNMENT_MAX = 1 << 20;
/** Arrays shorter than this are kept whatever their key: per-layer head counts, rope sections. */
const SHORT_ARRAY_ITEMS = 2_048;
const ARRAYS_KEPT: ReadonlySet<string> = new Set(["tokenizer.ggml.tokens", "tokenizer.ggml.token_type"]);

export type GgufScalar = number | boolean | string;
/** A skipped array keeps only its length. */
export type GgufArray = { readonly length: number; readonly items: readonly GgufScalar[] | undefined };
export type GgufValue = GgufScalar | GgufArray;

export type GgufTensor = {
  readonly name: string;
  /** Fastest dimension first. */
  readonly shape: readonly number[];
  readonly type: TensorType;
  readonly bytes: number;
  /** From the start of the data section. */
  readonly offset: number;
};

export type GgufHeader = {
  readonly version: number;
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly tensors: ReadonlyMap<string, GgufTensor>;
  readonly dataStart: number;
  readonly fileBytes: number;
};

/** Throws GgufProblem where the file cannot be read as GGUF. */
export function readGgufFile(path: string): GgufHeader {
  const fd = openSync(path, "r");
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw new GgufProblem("it is not a file");
    return readGgufHeader(fileSource(fd, stat.size));
  } finally {
    closeSync(fd);
  }
}

export function readGgufHeader(source: ByteSource): GgufHeader {
  const cursor = new Cursor(source);
  if (source.size < 24)
    throw new GgufProblem(`it has only ${source.size} bytes; a GGUF header alone needs 24`);
  const magic = cursor.bytes(4).toString("latin1");
  if (magic !== "GGUF")
    throw new GgufProblem(`it does not begin with "GGUF": it is no GGUF file${hint(magic)}`);
  const version = cursor.u32();
  if (version !== 2 && version !== 3) {
    const swapped = version === 0x03000000 || version === 0x02000000;
    throw new GgufProblem(
      swapped
        ? "it is a big-endian GGUF file; convert it to little-endian"
        : `its GGUF version is ${version}; 2 and 3 are understood`,
    );
  }
  const tensorCount = bounded(cursor.u64("the tensor count"), TENSORS_MAX, "tensors");
  const keyCount = bounded(cursor.u64("the metadata count"), KEYS_MAX, "metadata keys");
  const metadata = readMetadata(cursor, keyCount);
  const alignment = readAlignment(metadata);
  const tensors = readTensors(cursor, tensorCount, alignment);
  const dataStart = Math.ceil(cursor.at / alignment) * alignment;
  for (const tensor of tensors.values()) {
    const missing = dataStart + tensor.offset + tensor.bytes - source.size;
    if (missing > 0) {
      throw new GgufProblem(
        `tensor ${quoted(tensor.name)} would end ${missing} bytes behind the end of the file: the file is truncated (an unfinished download?)`,
      );
    }
  }
  return { version, metadata, tensors, dataStart, fileBytes: source.size };
}

function readMetadata(cursor: Cursor, count: number): Map<string, GgufValue> {
  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < count; i++) {
    const key = cursor.string(`metadata key ${i}`, KEY_BYTES_MAX);
    if (key === "" || metadata.has(key)) {
      throw new GgufProblem(
        `metadata key ${quoted(key)} is ${key === "" ? "empty" : "there twice"}: the header is damaged`,
      );
    }
    metadata.set(key, readValue(cursor, key, cursor.u32()));
  }
  return metadata;
}

function readValue(cursor: Cursor, key: string, type: number): GgufValue {
  if (type !== ARRAY) return readScalar(cursor, key, type);
  const itemType = cursor.u32();
  const length = cursor.u64(`the length of ${quoted(key)}`);
  const width = itemType === STRING ? 8 : SCALAR_BYTES[itemType];
  if (width === undefined)
    throw new GgufProblem(`metadata ${quoted(key)} is an array of unknown type ${itemType}`);
  if (length > ARRAY_ITEMS_MAX || length * width > cursor.left) {
    throw new GgufProblem(
      `metadata ${quoted(key)} claims ${length} items, more than there can be: the header is damaged`,
    );
  }
  const kept = length <= SHORT_ARRAY_ITEMS || ARRAYS_KEPT.has(key);
  if (!kept && itemType !== STRING) {
    cursor.skip(length * width);
    return { length, items: undefined };
  }
  const items: GgufScalar[] = [];
  for (let i = 0; i < length; i++) {
    if (kept) items.push(readScalar(cursor, key, itemType));
    else
      cursor.skip(
        bounded(
          cursor.u64(`an item of ${quoted(key)}`),
          STRING_BYTES_MAX,
          `bytes in an item of ${quoted(key)}`,
        ),
      );
  }
  return { length, items: kept ? items : undefined };
}

const BOOL = 7;
const STRING = 8;
const ARRAY = 9;
/** By GGUF value type; strings and arrays have no fixed width. */
const SCALAR_BYTES: readonly (number | undefined)[] = [1, 1, 2, 2, 4, 4, 4, 1, undefined, undefined, 8, 8, 8];

function readScalar(cursor: Cursor, key: string, type: number): GgufScalar {
  switch (type) {
    case 0:
      return cursor.u8();
    case 1:
      return cursor.i8();
    case 2:
      return cursor.u16();
    case 3:
      return cursor.i16();
    case 4:
      return cursor.u32();
    case 5:
      return cursor.i32();
    case 6:
      return cursor.f32();
    case BOOL: {
      const value = cursor.u8();
      if (value > 1)
        throw new GgufProblem(
          `metadata ${quoted(key)} is a boolean with value ${value}: the header is damaged`,
        );
      return value === 1;
    }
    case STRING:
      return cursor.string(`metadata ${quoted(key)}`, STRING_BYTES_MAX);
    case 10:
      return cursor.u64(`metadata ${quoted(key)}`);
    case 11:
      return cursor.i64();
    case 12:
      return cursor.f64();
    default:
      throw new GgufProblem(`metadata ${quoted(key)} has unknown type ${type}: the header is damaged`);
  }
}

function readAlignment(metadata: ReadonlyMap<string, GgufValue>): number {
  const value = metadata.get("general.alignment") ?? ALIGNMENT_DEFAULT;
  if (
    typeof value !== "number" ||
    value < 1 ||
    value > ALIGNMENT_MAX ||
    !Number.isInteger(Math.log2(value))
  ) {
    throw new GgufProblem("its general.alignment is not a power of two");
  }
  return value;
}

function readTensors(cursor: Cursor, count: number, alignment: number): Map<string, GgufTensor> {
  const tensors = new Map<string, GgufTensor>();
  let expectedOffset = 0;
  for (let i = 0; i < count; i++) {
    const name = cursor.string(`the name of tensor ${i}`, NAME_BYTES_MAX);
    if (tensors.has(name))
      throw new GgufProblem(`tensor ${quoted(name)} is there twice: the header is damaged`);
    const tensor = readTensor(cursor, name);
    // llama.cpp insists on tensors lying back to back in the order of their infos.
    if (tensor.offset !== expectedOffset) {
      throw new GgufProblem(
        `tensor ${quoted(name)} begins at ${tensor.offset}, not at ${expectedOffset}: the header is damaged`,
      );
    }
    expectedOffset += Math.ceil(tensor.bytes / alignment) * alignment;
    tensors.set(name, tensor);
  }
  return tensors;
}

function readTensor(cursor: Cursor, name: string): GgufTensor {
  const dimensions = cursor.u32();
  if (dimensions < 1 || dimensions > DIMENSIONS_MAX) {
    throw new GgufProblem(
      `tensor ${quoted(name)} has ${dimensions} dimensions; 1 to ${DIMENSIONS_MAX} are possible`,
    );
  }
  const shape: number[] = [];
  let values = 1;
  for (let i = 0; i < dimensions; i++) {
    const extent = cursor.u64(`a dimension of tensor ${quoted(name)}`);
    shape.push(extent);
    values *= extent;
  }
  const typeId = cursor.u32();
  const type = TENSOR_TYPES.get(typeId);
  if (type === undefined)
    throw new GgufProblem(`tensor ${quoted(name)} has unknown type ${typeId}: a newer format, or damage`);
  const offset = cursor.u64(`the offset of tensor ${quoted(name)}`);
  if (values < 1 || values > Number.MAX_SAFE_INTEGER)
    throw new GgufProblem(`tensor ${quoted(name)} has the impossible shape ${shape.join(" x ")}`);
  if ((shape[0] ?? 0) % type.blockValues !== 0) {
    throw new GgufProblem(
      `tensor ${quoted(name)} has rows of ${shape[0]} values, no multiple of ${type.name}'s ${type.blockValues}`,
    );
  }
  return { name, shape, type, bytes: (values / type.blockValues) * type.blockBytes, offset };
}

function bounded(value: number, max: number, what: string): number {
  if (value > max)
    throw new GgufProblem(
      `its header claims ${value} ${what}; ${max} is the most there can be: it is damaged`,
    );
  return value;
}

function hint(magic: string): string {
  if (magic.startsWith("PK"))
    return " (a zip or PyTorch file: convert it with llama.cpp's convert_hf_to_gguf.py)";
  if (magic.startsWith("vers")) return " (a git-lfs pointer: run `git lfs pull`)";
  if (magic.startsWith("<")) return " (a web page: the download was refused)";
  return "";
}

/** Names come from the file: shown short and without control characters. */
function quoted(name: string): string {
  return JSON.stringify(name.length > 64 ? `${name.slice(0, 64)}...` : name);
}
