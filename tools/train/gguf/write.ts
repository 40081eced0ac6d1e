/**
 * A GGUF version 3 writer: metadata, tensor table, aligned data; little-endian throughout.
 *
 * `dims` are given fastest first, as the file stores them. Tensors are written one after another into one buffer of
 * known size, so a file of some hundred megabytes costs its own size and no more.
 */
import { GGML_TYPE, quantize, type Quant } from "./quantize.ts";

export type Metadata =
  | { readonly type: "u32" | "i32" | "f32"; readonly value: number }
  | { readonly type: "bool"; readonly value: boolean }
  | { readonly type: "string"; readonly value: string }
  | { readonly type: "strings"; readonly value: readonly string[] }
  | { readonly type: "i32s"; readonly value: readonly number[] };

export interface Tensor {
  readonly name: string;
  readonly dims: readonly number[];
  readonly quant: Quant;
  /** Called once, when its turn comes. */
  readonly values: () => Float32Array;
}

const ALIGNMENT = 32;
const U32 = 4;
const I32 = 5;
const F32 = 6;
const BOOL = 7;
const STRING = 8;
const ARRAY = 9;

class Bytes {
  #chunks: Uint8Array[] = [];
  length = 0;

  raw(bytes: Uint8Array): void {
    this.#chunks.push(bytes);
    this.length += bytes.length;
  }

  number(size: 1 | 4 | 8, set: (view: DataView) => void): void {
    const view = new DataView(new ArrayBuffer(size));
    set(view);
    this.raw(new Uint8Array(view.buffer));
  }

  u32(n: number): void {
    this.number(4, (v) => v.setUint32(0, n, true));
  }

  i32(n: number): void {
    this.number(4, (v) => v.setInt32(0, n, true));
  }

  u64(n: number): void {
    this.number(8, (v) => v.setBigUint64(0, BigInt(n), true));
  }

  string(text: string): void {
    const bytes = Buffer.from(text, "utf8");
    this.u64(bytes.length);
    this.raw(bytes);
  }

  copyTo(target: Uint8Array): void {
    let offset = 0;
    for (const chunk of this.#chunks) {
      target.set(chunk, offset);
      offset += chunk.length;
    }
  }
}

const align = (n: number): number => Math.ceil(n / ALIGNMENT) * ALIGNMENT;
const count = (dims: readonly number[]): number => dims.reduce((product, n) => product * n, 1);

function tensorBytes(dims: readonly number[], quant: Quant): number {
  const n = count(dims);
  return quant === "F32" ? n * 4 : quant === "F16" ? n * 2 : (n / 32) * 34;
}

function writeMetadata(out: Bytes, key: string, entry: Metadata): void {
  out.string(key);
  switch (entry.type) {
    case "u32":
      out.u32(U32);
      return out.u32(entry.value);
    case "i32":
      out.u32(I32);
      return out.i32(entry.value);
    case "f32":
      out.u32(F32);
      return out.number(4, (v) => v.setFloat32(0, entry.value, true));
    case "bool":
      out.u32(BOOL);
      return out.number(1, (v) => v.setUint8(0, entry.value ? 1 : 0));
    case "string":
      out.u32(STRING);
      return out.string(entry.value);
    case "strings":
      out.u32(ARRAY);
      out.u32(STRING);
      out.u64(entry.value.length);
      return entry.value.forEach((text) => out.string(text));
    case "i32s":
      out.u32(ARRAY);
      out.u32(I32);
      out.u64(entry.value.length);
      return entry.value.forEach((n) => out.i32(n));
  }
}

export function writeGguf(metadata: ReadonlyMap<string, Metadata>, tensors: readonly Tensor[]): Uint8Array {
  const head = new Bytes();
  head.raw(Buffer.from("GGUF", "latin1"));
  head.u32(3);
  head.u64(tensors.length);
  head.u64(metadata.size);
  for (const [key, entry] of metadata) writeMetadata(head, key, entry);
  let offset = 0;
  const offsets = tensors.map(({ name, dims, quant }) => {
    const here = offset;
    head.string(name);
    head.u32(dims.length);
    dims.forEach((n) => head.u64(n));
    head.u32(GGML_TYPE[quant]);
    head.u64(here);
    offset = align(here + tensorBytes(dims, quant));
    return here;
  });
  const start = align(head.length);
  const file = new Uint8Array(start + offset);
  head.copyTo(file);
  tensors.forEach((tensor, i) => {
    const values = tensor.values();
    if (values.length !== count(tensor.dims))
      throw new Error(`${tensor.name}: ${values.length} values for [${tensor.dims.join(", ")}]`);
    file.set(quantize(values, tensor.quant), start + (offsets[i] ?? 0));
  });
  return file;
}
