/**
 * Number formats of a GGUF's tensors: F32 as it is, F16, and Q8_0 (blocks of 32: one F16 scale, 32 signed bytes).
 *
 * Rounding follows ggml's reference, so a file written here equals one quantised by its own tool.
 */
import { at } from "../at.ts";

export type Quant = "F32" | "F16" | "Q8_0";

export const GGML_TYPE: Record<Quant, number> = { F32: 0, F16: 1, Q8_0: 8 };
/** `general.file_type`: what most tensors are. */
export const FILE_TYPE: Record<Quant, number> = { F32: 0, F16: 1, Q8_0: 7 };

const BLOCK = 32;
const BLOCK_BYTES = 2 + BLOCK;

export function quantize(values: Float32Array, quant: Quant): Uint8Array {
  switch (quant) {
    case "F32":
      return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    case "F16":
      return new Uint8Array(Uint16Array.from(values, toHalf).buffer);
    case "Q8_0":
      return toQ8(values);
  }
}

function toQ8(values: Float32Array): Uint8Array {
  if (values.length % BLOCK !== 0) throw new Error(`Q8_0 needs rows of whole blocks of ${BLOCK}`);
  const out = new Uint8Array((values.length / BLOCK) * BLOCK_BYTES);
  const view = new DataView(out.buffer);
  for (let block = 0; block * BLOCK < values.length; block++) {
    const from = block * BLOCK;
    let largest = 0;
    for (let i = 0; i < BLOCK; i++) largest = Math.max(largest, Math.abs(at(values, from + i)));
    const scale = Math.fround(largest / 127);
    const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
    view.setUint16(block * BLOCK_BYTES, toHalf(scale), true);
    for (let i = 0; i < BLOCK; i++) {
      const scaled = Math.fround(at(values, from + i) * inverse);
      // C's roundf: halves away from zero, which Math.round does not do for negative numbers.
      view.setInt8(block * BLOCK_BYTES + 2 + i, Math.sign(scaled) * Math.round(Math.abs(scaled)));
    }
  }
  return out;
}

const scratch = new DataView(new ArrayBuffer(4));

/** The IEEE half nearest to a single, ties to even. */
export function toHalf(value: number): number {
  scratch.setFloat32(0, value);
  const bits = scratch.getUint32(0);
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude >= 0x7f800000) return sign | (magnitude > 0x7f800000 ? 0x7e00 : 0x7c00);
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  if (magnitude < 0x38800000) {
    // Below the smallest normal half: a multiple of 2^-24, rounded by adding and taking away 0.5.
    scratch.setFloat32(0, Math.fround(Math.abs(value) + 0.5));
    return sign | (scratch.getUint32(0) - 0x3f000000);
  }
  return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
}
